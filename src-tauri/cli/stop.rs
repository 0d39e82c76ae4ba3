//! When a command that runs until told otherwise should end.

use std::io::Read;

use tokio::sync::oneshot;

/// Returns when the person or the system asks the process to end, or, if `until_stdin_closes`, when whoever holds the
/// other end of standard input is gone, by whatever death.
pub(crate) async fn asked(until_stdin_closes: bool) {
    let closed = stdin_closed(until_stdin_closes);
    tokio::select! {
        () = signal() => {}
        () = closed => {}
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

async fn stdin_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (closed, wait) = oneshot::channel();
    // A thread of its own: a blocked read cannot be cancelled and would hold up the runtime's end.
    std::thread::spawn(move || {
        let mut buffer = [0u8; 256];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        let _ = closed.send(());
    });
    let _ = wait.await;
}
