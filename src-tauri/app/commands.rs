//! What the window may ask: one call each into the node or the system. Each has a permission of its own in
//! `src-tauri/permissions`; `lib.rs` lists them.

use std::path::PathBuf;

use hayloft_node::{
    model::{
        ApiError, AuditHistory, AuditReport, Earning, ErrorCode, FarmSettings, FarmStatus, FileEntry,
        FileHealth, GetRequest, Job, JobReport, PutRequest, Quote, ReceiptShown, ReceiptWish, Recipient,
        SendReport, SendRequest, SpendingLimits, Status, Wallet, WalletEntry,
    },
    receipts,
};
use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, Manager};
use tauri_plugin_autostart::ManagerExt;
use tauri_plugin_opener::OpenerExt;

use crate::{
    behaviour::Behaviour,
    dialogs,
    home::{Phase, home},
    window,
};

type Answer<T> = Result<T, ApiError>;

/// How the app behaves on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct WindowSettings {
    /// Starts with the computer, in the tray.
    pub start_with_computer: bool,
    /// Closing the window leaves the node running.
    pub close_hides: bool,
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn phase(app: AppHandle) -> Phase {
    home(&app).phase().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn open_again(app: AppHandle) {
    home(&app).open().await;
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn take_over(app: AppHandle) -> Answer<()> {
    home(&app).take_over().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn status(app: AppHandle) -> Answer<Status> {
    home(&app).node().await?.status().await
}

/// The recovery phrase goes to the window this once and is kept nowhere.
#[tauri::command]
#[specta::specta]
pub(crate) async fn create_identity(
    app: AppHandle,
    passphrase: String,
    keychain: bool,
) -> Answer<Vec<String>> {
    let identity = home(&app).node().await?.create_identity(&passphrase, keychain).await?;
    Ok(identity.words.split(' ').map(str::to_owned).collect())
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn unlock(app: AppHandle, passphrase: String) -> Answer<()> {
    home(&app).node().await?.unlock(&passphrase).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn farm_status(app: AppHandle) -> Answer<FarmStatus> {
    home(&app).node().await?.farm_status().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn farm_set(app: AppHandle, settings: FarmSettings) -> Answer<FarmStatus> {
    home(&app).node().await?.farm_set(settings).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn farm_scrub(app: AppHandle) -> Answer<FarmStatus> {
    home(&app).node().await?.farm_scrub().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn farm_leave(app: AppHandle, leave: bool) -> Answer<FarmStatus> {
    home(&app).node().await?.farm_leave(leave).await
}

/// Free bytes of the disk that holds `folder`, before it is chosen.
#[tauri::command]
#[specta::specta]
pub(crate) async fn disk_free(folder: PathBuf) -> Answer<u64> {
    fs4::available_space(&folder).map_err(|error| disk(&folder, &error))
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn quote(app: AppHandle, request: PutRequest) -> Answer<Quote> {
    home(&app).node().await?.quote(request).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn put(app: AppHandle, request: PutRequest) -> Answer<u32> {
    home(&app).node().await?.put(request).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn get(app: AppHandle, request: GetRequest) -> Answer<u32> {
    home(&app).node().await?.get(request).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn jobs(app: AppHandle) -> Answer<Vec<Job>> {
    home(&app).node().await?.jobs().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn job_report(app: AppHandle, id: u32) -> Answer<Option<JobReport>> {
    home(&app).node().await?.job_report(id).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pause(app: AppHandle, id: u32) -> Answer<()> {
    home(&app).node().await?.pause(id).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn resume(app: AppHandle, id: u32) -> Answer<()> {
    home(&app).node().await?.resume(id).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn cancel(app: AppHandle, id: u32) -> Answer<()> {
    home(&app).node().await?.cancel(id).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn files(app: AppHandle) -> Answer<Vec<FileEntry>> {
    home(&app).node().await?.files().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn remove(app: AppHandle, names: Vec<String>) -> Answer<()> {
    home(&app).node().await?.remove(names).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn health(app: AppHandle, name: String) -> Answer<FileHealth> {
    home(&app).node().await?.health(&name).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn repair(app: AppHandle, name: String) -> Answer<u32> {
    home(&app).node().await?.repair(&name).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn audit(app: AppHandle, name: Option<String>) -> Answer<AuditReport> {
    home(&app).node().await?.audit(name).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn audit_history(app: AppHandle, name: Option<String>) -> Answer<AuditHistory> {
    home(&app).node().await?.audit_history(name).await
}

/// Writes a receipt to a file that anyone can check.
#[tauri::command]
#[specta::specta]
pub(crate) async fn audit_export(app: AppHandle, wish: ReceiptWish, output: PathBuf) -> Answer<()> {
    receipts::save(&home(&app).node().await?.audit_export(wish).await?, &output)
}

/// What the receipt in a file shows; it takes no node and no network.
#[tauri::command]
#[specta::specta]
pub(crate) async fn audit_verify(receipt: PathBuf) -> Answer<ReceiptShown> {
    tauri::async_runtime::spawn_blocking(move || receipts::verify(&receipt)).await.map_err(internal)?
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet(app: AppHandle) -> Answer<Wallet> {
    home(&app).node().await?.wallet().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_fund(app: AppHandle) -> Answer<Wallet> {
    home(&app).node().await?.wallet_fund().await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_look_up(app: AppHandle, address: String) -> Answer<Recipient> {
    home(&app).node().await?.wallet_look_up(&address).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_send(app: AppHandle, request: SendRequest) -> Answer<SendReport> {
    home(&app).node().await?.wallet_send(&request).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_history(app: AppHandle) -> Answer<Vec<WalletEntry>> {
    home(&app).node().await?.wallet_history().await
}

/// Writes all that happened to the wallet to a file, as comma-separated values.
#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_export(app: AppHandle, output: PathBuf) -> Answer<()> {
    let table = home(&app).node().await?.wallet_export().await?;
    std::fs::write(&output, table).map_err(|error| disk(&output, &error))
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_earnings(app: AppHandle) -> Answer<Vec<Earning>> {
    home(&app).node().await?.wallet_earnings().await
}

/// Takes over an account that exists already; gives its address.
#[tauri::command]
#[specta::specta]
pub(crate) async fn wallet_import(app: AppHandle, secret: String) -> Answer<String> {
    let secret = zeroize::Zeroizing::new(secret);
    home(&app).node().await?.wallet_import(&secret).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn set_wallet_limits(app: AppHandle, limits: SpendingLimits) -> Answer<SpendingLimits> {
    home(&app).node().await?.wallet_limits(limits).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn renew(
    app: AppHandle,
    name: String,
    keep_seconds: u64,
    auto: Option<bool>,
) -> Answer<FileEntry> {
    home(&app).node().await?.renew(&name, keep_seconds, auto).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_files(app: AppHandle) -> Vec<PathBuf> {
    dialogs::pick_files(&app).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_file(app: AppHandle) -> Option<PathBuf> {
    dialogs::pick_file(&app).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_folder(app: AppHandle) -> Option<PathBuf> {
    dialogs::pick_folder(&app).await
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn pick_output(app: AppHandle, name: String) -> Option<PathBuf> {
    dialogs::pick_output(&app, &name).await
}

/// Shows a file in the system's file manager.
#[tauri::command]
#[specta::specta]
pub(crate) async fn reveal(app: AppHandle, path: PathBuf) -> Answer<()> {
    app.opener().reveal_item_in_dir(&path).map_err(internal)
}

#[tauri::command]
#[specta::specta]
pub(crate) fn window_settings(app: AppHandle) -> WindowSettings {
    let start_with_computer = app.autolaunch().is_enabled().unwrap_or(false);
    WindowSettings { start_with_computer, close_hides: app.state::<Behaviour>().close_hides() }
}

#[tauri::command]
#[specta::specta]
pub(crate) fn set_window_settings(app: AppHandle, settings: WindowSettings) -> Answer<()> {
    let launch = app.autolaunch();
    if settings.start_with_computer != launch.is_enabled().unwrap_or(false) {
        if settings.start_with_computer { launch.enable() } else { launch.disable() }.map_err(internal)?;
    }
    app.state::<Behaviour>().set_close_hides(settings.close_hides).map_err(internal)
}

#[tauri::command]
#[specta::specta]
pub(crate) fn hide_window(app: AppHandle) {
    window::hide(&app);
}

#[tauri::command]
#[specta::specta]
pub(crate) async fn quit(app: AppHandle) {
    window::quit(&app).await;
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError { code: ErrorCode::Internal, message: error.to_string() }
}

fn disk(place: &std::path::Path, error: &std::io::Error) -> ApiError {
    let message = format!("{} cannot be used: {error}. Choose another place.", place.display());
    ApiError { code: ErrorCode::Disk, message }
}
