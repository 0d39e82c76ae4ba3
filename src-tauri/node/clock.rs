//! The node's one source of time: the wall clock's and the seconds lived, the system's or moved by hand for tests. Timers
//! are tokio's.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use hayloft_core::Timestamp;

/// What the system's lived seconds are counted from.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Tells the time; clones agree with each other.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Hand>>);

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Hand {
    wall: AtomicU64,
    lived: AtomicU64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set`] moves it and all its clones.
    pub fn by_hand(start: Timestamp) -> Self {
        Self(Some(Arc::new(Hand { wall: AtomicU64::new(start.0), lived: AtomicU64::new(0) })))
    }

    /// What the wall clock says: it may be wrong, and set at any time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(hand) => Timestamp(hand.wall.load(Ordering::SeqCst)),
            None => Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())),
        }
    }

    /// Seconds that this process has lived, from some point on: they only grow, whatever the wall clock is set to.
    pub fn lived_seconds(&self) -> u64 {
        match &self.0 {
            Some(hand) => hand.lived.load(Ordering::SeqCst),
            None => BEGUN.elapsed().as_secs(),
        }
    }

    /// Lets time be lived by a hand-moved clock; the system's is not moved.
    pub fn advance(&self, seconds: u64) {
        if let Some(hand) = &self.0 {
            hand.lived.fetch_add(seconds, Ordering::SeqCst);
            hand.wall.fetch_add(seconds, Ordering::SeqCst);
        }
    }

    /// Sets a hand-moved clock, as a person or a time server sets one; the system's is not moved.
    pub fn set(&self, wall: Timestamp) {
        if let Some(hand) = &self.0 {
            hand.wall.store(wall.0, Ordering::SeqCst);
        }
    }
}
