//! The desktop app: a window, a tray icon and a node inside. Whatever the window may ask is one command with one
//! permission; everything else is denied.
//!
//! Deliberately absent: rules of storage, contracts or money (`node` and below), and words that the page shows (`ui`).

mod behaviour;
mod commands;
mod dialogs;
mod home;
mod notifications;
mod options;
mod window;

use std::{hash::BuildHasher, process::ExitCode};

use clap::Parser;
use tauri::{App, Manager, Wry};
use tauri_specta::{Builder, ErrorHandlingMode, collect_commands, collect_events};

use crate::{behaviour::Behaviour, home::Home, options::Options};

/// Runs the app until it is quit.
pub fn run() -> ExitCode {
    prepare_process();
    let options = Options::parse();
    let bindings = bindings();
    let built = tauri::Builder::default()
        .plugin(single_instance(&options))
        .plugin(tauri_plugin_autostart::Builder::new().arg("--hidden").build())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_opener::init())
        .invoke_handler(bindings.invoke_handler())
        .on_window_event(window::on_event)
        .setup(move |app| {
            bindings.mount_events(app);
            set_up(app, &options)
        })
        .build(tauri::generate_context!());
    match built {
        Ok(app) => {
            app.run(|_, _| ());
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "Hayloft could not start");
            ExitCode::FAILURE
        }
    }
}

/// The commands and events the page sees, and from which its types are written.
fn bindings() -> Builder<Wry> {
    Builder::<Wry>::new()
        .commands(collect_commands![
            commands::phase,
            commands::open_again,
            commands::take_over,
            commands::status,
            commands::create_identity,
            commands::unlock,
            commands::farm_status,
            commands::farm_set,
            commands::farm_scrub,
            commands::farm_leave,
            commands::disk_free,
            commands::quote,
            commands::put,
            commands::get,
            commands::jobs,
            commands::job_report,
            commands::pause,
            commands::resume,
            commands::cancel,
            commands::files,
            commands::remove,
            commands::health,
            commands::repair,
            commands::audit,
            commands::audit_history,
            commands::audit_export,
            commands::audit_verify,
            commands::wallet,
            commands::wallet_fund,
            commands::wallet_look_up,
            commands::wallet_send,
            commands::wallet_history,
            commands::wallet_export,
            commands::wallet_earnings,
            commands::wallet_import,
            commands::set_wallet_limits,
            commands::renew,
            commands::pick_files,
            commands::pick_file,
            commands::pick_folder,
            commands::pick_output,
            commands::reveal,
            commands::window_settings,
            commands::set_window_settings,
            commands::hide_window,
            commands::quit,
        ])
        .events(collect_events![home::Phase, home::News, window::CloseAsked])
        .error_handling(ErrorHandlingMode::Throw)
        // Byte counts and times stay far below 2^53, where a number is still exact.
        .dangerously_cast_bigints_to_number()
        // One type per value, not one for each direction.
        .disable_serde_phases()
}

fn set_up(app: &mut App, options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let handle = app.handle().clone();
    let home = Home::new(handle.clone(), options.node(&handle)?);
    hayloft_node::make_home(home.folder())?;
    app.manage(Behaviour::load(home.folder()));
    app.manage(home.clone());
    // Some desktops have no tray; then starting Hayloft again brings the window back.
    window::tray(&handle).unwrap_or_else(|error| tracing::warn!(%error, "there is no tray icon"));
    if !options.hidden {
        window::show(&handle);
    }
    tauri::async_runtime::spawn(async move { home.open().await });
    tauri::async_runtime::spawn(quit_on_signal(handle));
    Ok(())
}

/// A second start on the same home shows the first one's window and ends.
fn single_instance(options: &Options) -> tauri::plugin::TauriPlugin<Wry> {
    let instance =
        tauri_plugin_single_instance::Builder::new().callback(|app, _arguments, _folder| window::show(app));
    match options.named_home() {
        None => instance.build(),
        Some(home) => instance.dbus_id(format!("org.hayloft.app.h{:016x}", stable_hash(home))).build(),
    }
}

/// The same in each process of this version: keys of the standard hasher are fixed by its default constructor.
fn stable_hash(home: &std::path::Path) -> u64 {
    std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(home)
}

/// Ends the node cleanly when the session or a script asks the process to stop.
async fn quit_on_signal(app: tauri::AppHandle) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = terminated.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
        window::quit(&app).await;
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_ok() {
        window::quit(&app).await;
    }
}

fn prepare_process() {
    #[cfg(target_os = "linux")]
    start_again_without_dmabuf();
    let filter = tracing_subscriber::EnvFilter::try_from_env("HAYLOFT_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// WebKitGTK shows an empty window with some graphics drivers unless this variable is set before the process starts.
#[cfg(target_os = "linux")]
fn start_again_without_dmabuf() {
    use std::{env, os::unix::process::CommandExt, process::Command};

    const VARIABLE: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    if env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    // Returns only if the program could not be started again; then this process goes on as it is.
    let _ = Command::new(program).args(env::args_os().skip(1)).env(VARIABLE, "1").exec();
}

#[cfg(test)]
mod tests;
