//! How a process dies at a named point. Each crate that has crash points includes this file in its tests, and plays scenes
//! that come by each of them in processes of their own.

use std::{
    fmt::Debug,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Which point to die at, and at which of its hits: `PartSynced 2`.
pub(crate) const AT: &str = "HAYLOFT_CRASH_AT";

/// The points of a crate.
macro_rules! points {
    ($($name:ident,)*) => {
        /// Where a process may die.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Point { $($name,)* }

        impl Point {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}
pub(crate) use points;

/// Ends the process at once, with nothing unwound or flushed, if this is where a test wants it.
pub(crate) fn reached(point: impl Debug) {
    static WANTED: LazyLock<Option<(String, usize)>> = LazyLock::new(|| {
        let at = std::env::var(AT).ok()?;
        let (name, hit) = at.split_once(' ')?;
        Some((name.to_owned(), hit.parse().ok()?))
    });
    static HITS: AtomicUsize = AtomicUsize::new(0);
    if let Some((name, hit)) = &*WANTED
        && *name == format!("{point:?}")
        && HITS.fetch_add(1, Ordering::SeqCst) + 1 == *hit
    {
        std::process::abort();
    }
}
