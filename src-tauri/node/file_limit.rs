//! A limit of how long files may become (`ulimit -f`) is an error of the write that meets it, as a full disk is: the signal
//! that comes with it ends only processes that do not handle it.

/// Handles the signal, by nothing, for as long as this process lives.
#[cfg(unix)]
pub(crate) fn is_an_error_only() {
    use tokio::signal::unix::{SignalKind, signal};
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    if let Err(error) = signal(kind) {
        tracing::warn!(%error, "a limit of how long files may become would end this node");
    }
}

/// There is no such limit.
#[cfg(not(unix))]
pub(crate) fn is_an_error_only() {}
