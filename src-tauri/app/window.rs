//! The window and the tray icon. A closed window hides, so that a farmer stays online; the tray brings it back or
//! quits.

use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{
    AppHandle, Manager, Window, WindowEvent,
    menu::{Menu, MenuItem},
    tray::{MouseButton, TrayIconBuilder, TrayIconEvent},
};
use tauri_specta::Event as _;

use crate::{
    behaviour::{Behaviour, Close},
    home::home,
};

const MAIN: &str = "main";

/// The window was closed for the first time: say what closing means.
#[derive(Debug, Clone, Serialize, Deserialize, Type, tauri_specta::Event)]
pub(crate) struct CloseAsked;

/// Puts the icon into the tray. Its two words are here because the tray exists before and without the page.
pub(crate) fn tray(app: &AppHandle) -> tauri::Result<()> {
    let open = MenuItem::with_id(app, "open", "Open Hayloft", true, None::<&str>)?;
    let quit_item = MenuItem::with_id(app, "quit", "Quit Hayloft", true, None::<&str>)?;
    let menu = Menu::with_items(app, &[&open, &quit_item])?;
    let mut tray =
        TrayIconBuilder::with_id("hayloft").tooltip("Hayloft").menu(&menu).show_menu_on_left_click(false);
    if let Some(icon) = app.default_window_icon() {
        tray = tray.icon(icon.clone());
    }
    tray.on_menu_event(|app, event| match event.id().as_ref() {
        "quit" => quit_soon(app),
        _ => show(app),
    })
    .on_tray_icon_event(|tray, event| {
        if let TrayIconEvent::Click { button: MouseButton::Left, .. } = event {
            show(tray.app_handle());
        }
    })
    .build(app)?;
    Ok(())
}

/// Brings the window to the front.
pub(crate) fn show(app: &AppHandle) {
    let Some(window) = app.get_webview_window(MAIN) else { return };
    let shown = window.show().and_then(|()| window.unminimize()).and_then(|()| window.set_focus());
    shown.unwrap_or_else(|error| tracing::warn!(%error, "the window was not shown"));
}

/// Whether the window is in front of everything else.
pub(crate) fn is_looked_at(app: &AppHandle) -> bool {
    let Some(window) = app.get_webview_window(MAIN) else { return false };
    window.is_visible().unwrap_or(false) && window.is_focused().unwrap_or(false)
}

/// Hides the window; the node goes on.
pub(crate) fn hide(app: &AppHandle) {
    let Some(window) = app.get_webview_window(MAIN) else { return };
    window.hide().unwrap_or_else(|error| tracing::warn!(%error, "the window was not hidden"));
}

/// Closing the window asks once, then hides it.
pub(crate) fn on_event(window: &Window, event: &WindowEvent) {
    let WindowEvent::CloseRequested { api, .. } = event else { return };
    api.prevent_close();
    let app = window.app_handle();
    match app.state::<Behaviour>().close() {
        Close::Ask => {
            CloseAsked.emit(app).unwrap_or_else(|error| tracing::warn!(%error, "the window was not told"))
        }
        Close::Hide => hide(app),
        Close::Quit => quit_soon(app),
    }
}

/// Ends the node cleanly, then the app.
pub(crate) async fn quit(app: &AppHandle) {
    home(app).close().await;
    app.exit(0);
}

/// Begins to quit and returns at once.
pub(crate) fn quit_soon(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move { quit(&app).await });
}
