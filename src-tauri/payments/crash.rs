//! Named points at which tests let the process die. Nothing of this is in a build that people get.

/// Lets the process die here if a test wants it.
macro_rules! crash_point {
    ($point:ident) => {
        #[cfg(test)]
        $crate::crash::reached(stringify!($point))
    };
}

/// Which point to die at, and at which of its hits: `RowWritten 2`.
#[cfg(test)]
pub(crate) const AT: &str = "HAYLOFT_PAYMENTS_CRASH_AT";

/// Every point there is.
#[cfg(test)]
pub(crate) const POINTS: [&str; 6] =
    ["EscrowKept", "BeforeRow", "RowWritten", "HandedIn", "BeforeClose", "RowClosed"];

/// Ends the process at once, with nothing unwound or flushed, if this is where a test wants it.
#[cfg(test)]
pub(crate) fn reached(point: &'static str) {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static HITS: AtomicUsize = AtomicUsize::new(0);
    assert!(POINTS.contains(&point), "an unknown point");
    let wanted = std::env::var(AT).unwrap_or_default();
    let Some((name, hit)) = wanted.split_once(' ') else { return };
    if name == point && HITS.fetch_add(1, Ordering::SeqCst) + 1 == hit.parse::<usize>().unwrap_or(0) {
        std::process::abort();
    }
}
