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
    if let Some(stage) = std::env::var_os(STAGE) {
        return block_on(play(stage.into()));
    }
    let points: Vec<Point> = points.into_iter().collect();
    let next = Mutex::new(points.into_iter());
    let one_after_the_other = || {
        loop {
            let Some(point) = next.lock().expect("no panic").next() else { return };
            let folder = tempfile::tempdir().expect("a temp folder can be made");
            let played = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", test, "--nocapture"])
                .env(STAGE, folder.path())
                .env(AT, format!("{point:?} 1"))
                .output()
                .expect("it can be started");
            assert!(!played.status.success(), "nothing comes by {point:?}");
            let said = String::from_utf8_lossy(&played.stderr);
            assert!(!said.contains("panicked"), "{point:?}: {said}");
            block_on(play(folder.path().to_owned()));
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(one_after_the_other))));
}
