//! The node's one source of time: the wall clock's and the seconds lived, the system's or moved by hand for tests. Timers
//! are tokio's; what comes round by this clock's time rests by it too, so that tests need not wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hayloft_core::Timestamp;
use tokio::sync::watch;

/// What the system's lived seconds are counted from.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Tells the time; clones agree with each other.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Hand>>);

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Hand {
    time: watch::Sender<Time>,
    /// What goes by this clock, and up to which time each has done all it could; none while it works.
    rounds: watch::Sender<BTreeMap<u64, Option<Timestamp>>>,
    next: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Time {
    wall: Timestamp,
    lived_seconds: u64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set`] moves it and all its clones.
    pub fn by_hand(start: Timestamp) -> Self {
        let time = watch::Sender::new(Time { wall: start, lived_seconds: 0 });
        Self(Some(Arc::new(Hand { time, rounds: watch::Sender::default(), next: AtomicU64::new(0) })))
    }

    /// What the wall clock says: it may be wrong, and set at any time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(hand) => hand.time.borrow().wall,
            None => Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())),
        }
    }

    /// Seconds that this process has lived, from some point on: they only grow, whatever the wall clock is set to.
    pub fn lived_seconds(&self) -> u64 {
        match &self.0 {
            Some(hand) => hand.time.borrow().lived_seconds,
            None => BEGUN.elapsed().as_secs(),
        }
    }

    /// Lets time be lived by a hand-moved clock; the system's is not moved.
    pub fn advance(&self, seconds: u64) {
        self.move_to(|time| {
            time.lived_seconds += seconds;
            time.wall.0 += seconds;
        });
    }

    /// Sets a hand-moved clock, as a person or a time server sets one; the system's is not moved.
    pub fn set(&self, wall: Timestamp) {
        self.move_to(|time| time.wall = wall);
    }

    fn move_to(&self, change: impl FnOnce(&mut Time)) {
        if let Some(hand) = &self.0 {
            hand.time.send_modify(change);
        }
    }

    /// For work that comes round by this clock; it counts as under way until [`Rounds::rest`] is called, and while that is not
    /// waited for.
    pub(crate) fn rounds(&self) -> Rounds {
        let number = self.0.as_ref().map_or(0, |hand| hand.next.fetch_add(1, Ordering::SeqCst));
        let rounds = Rounds { clock: self.clone(), number };
        rounds.note(None);
        rounds
    }

    /// Returns once all that goes by a hand-moved clock has done what it could at the time that the clock shows.
    #[cfg(test)]
    pub(crate) async fn kept_up(&self) {
        let Some(hand) = &self.0 else { return };
        let mut rounds = hand.rounds.subscribe();
        let all = |rounds: &BTreeMap<u64, Option<Timestamp>>| {
            rounds.values().all(|rested| *rested == Some(self.now()))
        };
        // The clock owns the sender: it is never gone.
        let _ = rounds.wait_for(all).await;
    }
}

/// Work that comes round by a clock.
#[derive(Debug)]
pub(crate) struct Rounds {
    clock: Clock,
    number: u64,
}

impl Rounds {
    /// Rests for so long by tokio's time; a hand-moved clock ends that as soon as it shows another time than `from`, at which
    /// the round began.
    pub(crate) async fn rest(&self, from: Timestamp, pause: Duration) {
        let Some(hand) = &self.clock.0 else { return tokio::time::sleep(pause).await };
        let mut time = hand.time.subscribe();
        let _resting = Resting::begin(self, from);
        let moved = time.wait_for(|time| time.wall != from);
        let _ = tokio::time::timeout(pause, moved).await;
    }

    fn note(&self, rested: Option<Timestamp>) {
        if let Some(hand) = &self.clock.0 {
            hand.rounds.send_modify(|rounds| {
                rounds.insert(self.number, rested);
            });
        }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        if let Some(hand) = &self.clock.0 {
            hand.rounds.send_modify(|rounds| {
                rounds.remove(&self.number);
            });
        }
    }
}

/// Ends the rest of a round, also when something else ends it.
struct Resting<'a>(&'a Rounds);

impl<'a> Resting<'a> {
    fn begin(rounds: &'a Rounds, from: Timestamp) -> Self {
        rounds.note(Some(from));
        Self(rounds)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.note(None);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn whoever_rests_goes_on_when_the_clock_is_moved_and_the_clock_knows_who_has_kept_up() {
        let (clock, start) = (Clock::by_hand(Timestamp(7)), Timestamp(7));
        let rounds = clock.rounds();
        assert!(clock.kept_up().now_or_never().is_none(), "its first round is under way");
        let mut resting = Box::pin(rounds.rest(start, HOUR));
        assert!((&mut resting).now_or_never().is_none());
        assert!(clock.kept_up().now_or_never().is_some());
        clock.advance(1);
        assert!(clock.kept_up().now_or_never().is_none());
        resting.await;
        rounds.rest(start, HOUR).await;
        assert!(
            clock.kept_up().now_or_never().is_none(),
            "a time that passed meanwhile is not slept through"
        );
        drop(rounds);
        assert!(clock.kept_up().now_or_never().is_some(), "what has ended holds nothing up");
    }
}
