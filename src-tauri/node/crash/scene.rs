//! Playing a scene in a process that dies at a point, and then on to its end.

use std::{path::PathBuf, process::Command, sync::Mutex};

use super::{AT, Point};

/// Where the process that dies plays.
const STAGE: &str = "HAYLOFT_CRASH_STAGE";
/// Processes that play at once.
const WORKERS: usize = 2;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(work)
}

/// For each of the points: plays on a fresh folder in a process of its own that dies there, and then on the same folder here.
/// `test` is the full name of the test that calls this.
pub(crate) fn dies_at_each(
    test: &str,
    points: impl IntoIterator<Item = Point>,
    play: impl AsyncFn(PathBuf) + Sync,
) {
    dies_at_hits(test, points.into_iter().map(|point| (point, 1)), async |_| (), play);
}

/// The same at hits of points other than their first, on folders that are prepared first.
pub(crate) fn dies_at_hits(
    test: &str,
    hits: impl IntoIterator<Item = (Point, usize)>,
    prepare: impl AsyncFn(PathBuf) + Sync,
    play: impl AsyncFn(PathBuf) + Sync,
) {
    if let Some(stage) = std::env::var_os(STAGE) {
        return block_on(play(stage.into()));
    }
    let hits: Vec<(Point, usize)> = hits.into_iter().collect();
    let next = Mutex::new(hits.into_iter());
    let one_after_the_other = || {
        loop {
            let Some((point, hit)) = next.lock().expect("no panic").next() else { return };
            let folder = tempfile::tempdir().expect("a temp folder can be made");
            block_on(prepare(folder.path().to_owned()));
            let played = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", test, "--nocapture"])
                .env(STAGE, folder.path())
                .env(AT, format!("{point:?} {hit}"))
                .output()
                .expect("it can be started");
            assert!(!played.status.success(), "nothing comes by {point:?} for the {hit}. time");
            let said = String::from_utf8_lossy(&played.stderr);
            assert!(!said.contains("panicked"), "{point:?} {hit}: {said}");
            block_on(play(folder.path().to_owned()));
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(one_after_the_other))));
}
