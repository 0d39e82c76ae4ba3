//! How the farmers asked for one stretch of stripes are doing, and how many more to ask.
//!
//! Farmers that send nothing are replaced at once and in growing numbers: many may have gone together. Those that send
//! are judged by each other: if all are slow it is our own line, and asking more would only make it slower.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hayloft_core::pace::{self, LATELY, Transfer};
use tokio::time::Instant;

/// After so long without news, others are asked in place of farmers that have sent nothing yet, and soon after that
/// still more of them.
const HEDGE: Duration = Duration::from_millis(150);
/// So often; from then on each wait is twice the one before.
const QUICK_HEDGES: u32 = 3;
/// The longest wait.
const SLOW: Duration = Duration::from_secs(2);

/// One farmer asked for its column.
#[derive(Debug)]
struct Asked {
    arrived: Arc<AtomicU64>,
    at: Instant,
    samples: VecDeque<(Instant, u64)>,
}

/// All farmers asked, of which some have done their part.
#[derive(Debug)]
pub(super) struct Tally {
    needed: usize,
    bytes: u64,
    usual: Duration,
    running: BTreeMap<u8, Asked>,
    took: Vec<Duration>,
    waits: u32,
}

impl Tally {
    /// `needed` columns of `bytes` each, from farmers that usually answer within `usual`.
    pub(super) fn new(needed: usize, bytes: u64, usual: Duration) -> Self {
        Self { needed, bytes, usual, running: BTreeMap::new(), took: Vec::new(), waits: 0 }
    }

    /// A farmer is asked for a column; what comes must be counted in the result.
    pub(super) fn ask(&mut self, column: u8, now: Instant) -> Arc<AtomicU64> {
        let arrived = Arc::<AtomicU64>::default();
        let asked = Asked { arrived: arrived.clone(), at: now, samples: VecDeque::new() };
        self.running.insert(column, asked);
        arrived
    }

    /// A column came.
    pub(super) fn came(&mut self, column: u8, now: Instant) {
        let asked = self.running.remove(&column);
        self.took.push(asked.map_or(Duration::ZERO, |asked| now - asked.at));
    }

    /// A column will not come.
    pub(super) fn failed(&mut self, column: u8) {
        self.running.remove(&column);
    }

    /// Farmers that are asked and have not done their part.
    pub(super) fn asked(&self) -> usize {
        self.running.len()
    }

    /// How long to wait for news before others are asked.
    pub(super) fn patience(&self) -> Duration {
        let doubled = self.waits.saturating_sub(QUICK_HEDGES).min(8);
        let first = (self.usual * 3).max(HEDGE);
        (first * (1 << doubled)).min(SLOW.max(self.usual * 3))
    }

    /// How many more to ask after a wait in vain.
    pub(super) fn more_after_wait(&mut self, now: Instant) -> usize {
        for asked in self.running.values_mut() {
            asked.samples.push_back((now, asked.arrived.load(Ordering::Relaxed)));
            while asked.samples.len() > 1 && asked.samples.front().is_some_and(|(at, _)| now - *at > LATELY) {
                asked.samples.pop_front();
            }
        }
        let moving: Vec<Transfer> =
            self.running.values().filter_map(|asked| self.transfer(asked, now)).collect();
        let whole = |age: &Duration| Transfer { bytes: self.bytes, done: self.bytes, lately: 0, age: *age };
        let all: Vec<Transfer> = moving.iter().copied().chain(self.took.iter().map(whole)).collect();
        let in_pace = self.took.len() + moving.len() - pace::behind(&all).len();
        let silent = self.running.len() - moving.len();
        let for_silent = self.needed.saturating_sub(all.len()) << self.waits.min(QUICK_HEDGES);
        let for_late = self.needed.saturating_sub(in_pace + silent);
        self.waits += 1;
        for_silent.max(for_late)
    }

    /// How many more to ask after a failure, so that one spare is on its way as long as there are farmers.
    pub(super) fn more_after_failure(&self) -> usize {
        (self.needed + 1).saturating_sub(self.took.len() + self.running.len())
    }

    /// What a farmer is sending; none if nothing has come yet.
    fn transfer(&self, asked: &Asked, now: Instant) -> Option<Transfer> {
        let (_, done) = *asked.samples.back().filter(|(_, done)| *done > 0)?;
        let (since, before) = asked.samples.front().copied().unwrap_or((asked.at, 0));
        let age = now - asked.at;
        // The first look may be younger than the span that the rule counts over.
        let lately = if age <= LATELY || now - since < LATELY / 2 { done } else { done - before.min(done) };
        Some(Transfer { bytes: self.bytes.max(done + 1), done, lately, age })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1_000_000;

    fn asked(needed: usize, farmers: u8, now: Instant) -> (Tally, Vec<Arc<AtomicU64>>) {
        let mut tally = Tally::new(needed, BYTES, Duration::ZERO);
        let counters = (0..farmers).map(|column| tally.ask(column, now)).collect();
        (tally, counters)
    }

    #[test]
    fn others_are_asked_for_farmers_that_send_nothing() {
        let now = Instant::now();
        let (mut tally, counters) = asked(4, 6, now);
        counters[0].store(10, Ordering::Relaxed);
        assert_eq!(tally.more_after_wait(now + HEDGE), 3, "three of four needed have sent nothing");
        assert_eq!(tally.more_after_wait(now + HEDGE), 6, "nor have those asked in their place");
    }

    #[test]
    fn nobody_is_asked_more_however_slow_all_are() {
        let now = Instant::now();
        let (mut tally, counters) = asked(4, 6, now);
        for round in 1..100 {
            for counter in &counters {
                counter.fetch_add(500, Ordering::Relaxed);
            }
            assert_eq!(tally.more_after_wait(now + SLOW * round), 0);
        }
    }

    #[test]
    fn farmers_that_drip_are_replaced_once_they_hold_up_the_rest() {
        let now = Instant::now();
        let (mut tally, counters) = asked(5, 6, now);
        for seconds in 1..20 {
            let now = now + Duration::from_secs(seconds);
            for (index, counter) in counters.iter().enumerate() {
                counter.fetch_add(if index < 2 { 51 } else { 40_000 }, Ordering::Relaxed);
            }
            if tally.more_after_wait(now) > 0 {
                assert!(seconds >= 3, "too soon");
                assert_eq!(tally.more_after_wait(now), 1, "four of five needed keep the pace");
                tally.ask(9, now);
                assert_eq!(tally.more_after_wait(now), 0, "the new one has yet to show");
                return;
            }
        }
        panic!("dripping farmers hold it up");
    }

    #[test]
    fn one_spare_is_on_its_way_after_each_failure() {
        let now = Instant::now();
        let (mut tally, _counters) = asked(4, 5, now);
        tally.came(0, now);
        tally.failed(1);
        assert_eq!(tally.more_after_failure(), 1);
        tally.ask(6, now);
        assert_eq!((tally.more_after_failure(), tally.asked()), (0, 4));
    }
}
