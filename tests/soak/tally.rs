//! What was done, counted.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// Counts of one run.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Counts {
    /// What owners did and how it ended.
    pub(crate) actions: BTreeMap<String, u64>,
    /// What befell nodes.
    pub(crate) blows: BTreeMap<String, u64>,
    /// Refusals by code, and failed transfers by what they said.
    pub(crate) refusals: BTreeMap<String, u64>,
    pub(crate) bytes_put: u64,
    pub(crate) bytes_got: u64,
}

/// The counts, shared by all who do something.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn action(&self, what: &str) {
        *self.counts().actions.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn blow(&self, what: &str) {
        *self.counts().blows.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn refusal(&self, what: &str) {
        *self.counts().refusals.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn put(&self, bytes: u64) {
        self.counts().bytes_put += bytes;
    }

    pub(crate) fn got(&self, bytes: u64) {
        self.counts().bytes_got += bytes;
    }

    pub(crate) fn snapshot(&self) -> Counts {
        self.counts().clone()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("What owners did", &self.actions),
            ("What befell nodes", &self.blows),
            ("Refused", &self.refusals),
        ];
        for (title, counts) in parts {
            writeln!(f, "{title}:")?;
            for (what, count) in counts {
                writeln!(f, "  {count:>7}  {what}")?;
            }
        }
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        writeln!(f, "Stored {:.1} MB, fetched {:.1} MB", megabytes(self.bytes_put), megabytes(self.bytes_got))
    }
}
