//! The system's file dialogs. In debug builds `HAYLOFT_TEST_DIALOG` may name a file that stands in for the person: its
//! lines are the chosen paths, none means cancelled.

use std::path::PathBuf;

use tauri::AppHandle;
use tauri_plugin_dialog::{DialogExt, FilePath};
use tokio::sync::oneshot;

/// Files to store; none were chosen if empty.
pub(crate) async fn pick_files(app: &AppHandle) -> Vec<PathBuf> {
    if let Some(paths) = stand_in() {
        return paths;
    }
    let (answer, answered) = oneshot::channel();
    app.dialog().file().pick_files(move |paths| drop(answer.send(paths)));
    paths(answered.await.ok().flatten().unwrap_or_default())
}

/// One file, to read it.
pub(crate) async fn pick_file(app: &AppHandle) -> Option<PathBuf> {
    if let Some(paths) = stand_in() {
        return paths.into_iter().next();
    }
    let (answer, answered) = oneshot::channel();
    app.dialog().file().pick_file(move |path| drop(answer.send(path)));
    answered.await.ok().flatten().and_then(|path| path.into_path().ok())
}

/// A folder, to store it or to keep shards in it.
pub(crate) async fn pick_folder(app: &AppHandle) -> Option<PathBuf> {
    if let Some(paths) = stand_in() {
        return paths.into_iter().next();
    }
    let (answer, answered) = oneshot::channel();
    app.dialog().file().set_can_create_directories(true).pick_folder(move |path| drop(answer.send(path)));
    answered.await.ok().flatten().and_then(|path| path.into_path().ok())
}

/// Where to save a file that is called `name`. The system's dialog has asked before it names a file that exists.
pub(crate) async fn pick_output(app: &AppHandle, name: &str) -> Option<PathBuf> {
    if let Some(paths) = stand_in() {
        return paths.into_iter().next();
    }
    let (answer, answered) = oneshot::channel();
    let suggested = name.rsplit('/').next().unwrap_or(name);
    app.dialog().file().set_file_name(suggested).save_file(move |path| drop(answer.send(path)));
    answered.await.ok().flatten().and_then(|path| path.into_path().ok())
}

fn paths(chosen: Vec<FilePath>) -> Vec<PathBuf> {
    chosen.into_iter().filter_map(|path| path.into_path().ok()).collect()
}

#[cfg(debug_assertions)]
fn stand_in() -> Option<Vec<PathBuf>> {
    let answers = std::env::var_os("HAYLOFT_TEST_DIALOG")?;
    let lines = std::fs::read_to_string(answers).unwrap_or_default();
    Some(lines.lines().map(PathBuf::from).collect())
}

#[cfg(not(debug_assertions))]
fn stand_in() -> Option<Vec<PathBuf>> {
    None
}
