//! Room for segments in memory, and how large those that are begun should be.
//!
//! Invariants: whoever fills or sends a segment has a place for it, given back once nothing of the segment is in memory any
//! more; who waits for more segments to be signed for together with learns when the last one's shards have arrived, and
//! when no other comes before some are signed for.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hayloft_core::content::{Parities, TARGET_SEGMENT, TARGET_SEGMENT_QUICK};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::lock;

/// A segment whose shards arrived within this was quick.
const QUICK: Duration = Duration::from_secs(30);

/// Segments put aside at once, so that farmers that are slow to sign do not fill this disk. Enough that farmers sign for
/// many shards together.
const ASIDE: usize = 24;

/// Held by all of whose segments more is to come; the token is cancelled when the last one lets go.
type Coming = Arc<DropGuard>;

/// Room of one put.
#[derive(Debug)]
pub(crate) struct Room {
    places: Arc<Semaphore>,
    aside: Arc<Semaphore>,
    parities: Parities,
    target: AtomicUsize,
    reading: Mutex<Option<Coming>>,
    nothing_more: CancellationToken,
    /// Of those whose shards wait to be signed for together.
    waiting: Mutex<CancellationToken>,
}

/// A segment's place in memory.
#[derive(Debug)]
pub(crate) struct Place {
    room: Option<Arc<Room>>,
    permit: Option<OwnedSemaphorePermit>,
    /// Its segment may be put aside.
    aside: Option<OwnedSemaphorePermit>,
    coming: Option<Coming>,
}

/// A segment whose shards have arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Others could use the place, and the segment may be put aside.
    pub(crate) may_leave: bool,
    /// Cancelled once no other segment is worth waiting for to be signed for together with this one.
    pub(crate) nothing_more: CancellationToken,
}

impl Arrival {
    /// Of a segment that waits for no other.
    pub(crate) fn alone() -> Self {
        let nothing_more = CancellationToken::new();
        nothing_more.cancel();
        Self { may_leave: false, nothing_more }
    }
}

impl Room {
    /// Room for so many segments, the one being filled among them.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        let nothing_more = CancellationToken::new();
        let waiting = Mutex::new(nothing_more.child_token());
        let reading = Mutex::new(Some(Arc::new(nothing_more.clone().drop_guard())));
        let (places, aside) = (Arc::new(Semaphore::new(places)), Arc::new(Semaphore::new(ASIDE)));
        let (parities, target) = (Parities::default(), TARGET_SEGMENT.into());
        Arc::new(Self { places, aside, parities, target, reading, nothing_more, waiting })
    }

    /// A place for one segment, once there is one.
    pub(crate) async fn place(self: &Arc<Self>) -> Option<Place> {
        let permit = self.permit().await;
        permit.is_some().then(|| Place {
            room: Some(self.clone()),
            permit,
            aside: None,
            coming: lock(&self.reading).clone(),
        })
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// No other segment will be begun.
    pub(crate) fn close(&self) {
        *lock(&self.reading) = None;
    }

    fn sign_now(&self) {
        std::mem::replace(&mut *lock(&self.waiting), self.nothing_more.child_token()).cancel();
    }

    /// Sealed bytes that the next segment should have.
    pub(crate) fn target(&self) -> usize {
        self.target.load(Ordering::Relaxed)
    }

    /// A segment's shards took so long to arrive. Larger ones have less to do for each of their bytes; but one that breaks
    /// off is sent again as a whole, so that on a slow line they stay small.
    pub(crate) fn took(&self, time: Duration) {
        let target = if time <= QUICK { TARGET_SEGMENT_QUICK } else { TARGET_SEGMENT };
        self.target.store(target, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }
}

impl Place {
    /// The place of a segment that comes alone.
    pub(crate) fn alone() -> Self {
        Self { room: None, permit: None, aside: None, coming: None }
    }

    /// Where its parity lies.
    pub(crate) fn parities(&self) -> Parities {
        self.room.as_ref().map(|room| room.parities.clone()).unwrap_or_default()
    }

    /// Its segment's shards have arrived, for the first time after so long. If no more may be put aside, no other segment is
    /// begun before some are signed for: then those that wait for others wait no longer.
    pub(crate) fn arrived(&mut self, after: Duration) -> Arrival {
        let Some(room) = &self.room else { return Arrival::alone() };
        if self.coming.take().is_some() {
            room.took(after);
        }
        let may_leave = lock(&room.reading).is_some() && {
            self.aside = self.aside.take().or_else(|| room.aside.clone().try_acquire_owned().ok());
            if self.aside.is_none() {
                room.sign_now();
                return Arrival::alone();
            }
            self.permit.is_some()
        };
        Arrival { may_leave, nothing_more: lock(&room.waiting).clone() }
    }

    /// Nothing of its segment is in memory now.
    pub(crate) fn leave(&mut self) {
        self.permit = None;
    }

    /// Waits until its segment may be in memory again.
    pub(crate) async fn come_back(&mut self) {
        if let (Some(room), None) = (&self.room, &self.permit) {
            self.permit = room.permit().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_more_comes_once_reading_has_ended_and_all_that_was_begun_has_arrived() {
        let room = Room::new(2);
        let mut first = room.place().await.expect("there is room");
        let second = room.place().await.expect("there is room");
        assert!(room.is_full());
        let arrival = first.arrived(Duration::ZERO);
        assert!(arrival.may_leave, "another segment is to be read");
        first.leave();
        assert!(!room.is_full());
        room.close();
        assert!(!arrival.nothing_more.is_cancelled(), "the second is on its way");
        drop(second);
        arrival.nothing_more.cancelled().await;
        first.come_back().await;
        assert!(!first.arrived(Duration::ZERO).may_leave, "nobody wants its place");
    }

    #[tokio::test]
    async fn nobody_waits_for_others_once_no_more_may_be_put_aside() {
        let room = Room::new(1);
        let mut aside = Vec::new();
        for _ in 0..ASIDE {
            let mut place = room.place().await.expect("there is room");
            let arrival = place.arrived(Duration::ZERO);
            assert!(arrival.may_leave && !arrival.nothing_more.is_cancelled(), "another is to come");
            place.leave();
            aside.push((place, arrival.nothing_more));
        }
        let mut place = room.place().await.expect("there is room");
        let arrival = place.arrived(Duration::ZERO);
        assert!(!arrival.may_leave && arrival.nothing_more.is_cancelled());
        assert!(aside.iter().all(|(_, nothing_more)| nothing_more.is_cancelled()));
        aside.clear();
        assert!(!place.arrived(Duration::ZERO).nothing_more.is_cancelled(), "there is room for others again");
    }
}
