//! Room for segments in memory, and how large those that are begun should be.
//!
//! Invariant: whoever fills a segment has a place for it, given back once nothing of the segment is in memory any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hayloft_core::content::{TARGET_SEGMENT, TARGET_SEGMENT_QUICK};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A segment that was placed within this was quick.
const QUICK: Duration = Duration::from_secs(30);

/// Room of one put.
#[derive(Debug)]
pub(crate) struct Room {
    places: Arc<Semaphore>,
    target: AtomicUsize,
}

impl Room {
    /// Room for so many segments, the one being filled among them.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(places)), target: TARGET_SEGMENT.into() })
    }

    /// A place for one segment, once there is one.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Sealed bytes that the next segment should have.
    pub(crate) fn target(&self) -> usize {
        self.target.load(Ordering::Relaxed)
    }

    /// A segment took so long to be placed. Larger ones have less to do for each of their bytes; but one that breaks off is
    /// sent again as a whole, so that on a slow line they stay small.
    pub(crate) fn took(&self, time: Duration) {
        let target = if time <= QUICK { TARGET_SEGMENT_QUICK } else { TARGET_SEGMENT };
        self.target.store(target, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }
}
