//! The node's one source of wall-clock time: the system's, or a hand-moved one for tests. Timers are tokio's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use hayloft_core::Timestamp;

/// Tells the time; clones agree with each other.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until [`Clock::advance`] moves it and all its clones.
    pub fn by_hand(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicU64::new(start.0))))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(hand) => Timestamp(hand.load(Ordering::SeqCst)),
            None => Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())),
        }
    }

    /// Moves a hand-moved clock on; the system's is not moved.
    pub fn advance(&self, seconds: u64) {
        if let Some(hand) = &self.0 {
            hand.fetch_add(seconds, Ordering::SeqCst);
        }
    }
}
