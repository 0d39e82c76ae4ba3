//! The farmers that are sent the columns of a segment, side by side: how far each is, and which one is late.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hayloft_core::{
    DeviceId,
    pace::{self, LATELY, Transfer},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One farmer that is sent one column.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    pub(super) column: u8,
    pub(super) farmer: DeviceId,
    /// Bytes that it says it has.
    pub(super) received: Arc<AtomicU64>,
    /// Cancelled when another one has the column.
    pub(super) lost: CancellationToken,
    begun: Instant,
    took: Option<Duration>,
    samples: VecDeque<(Instant, u64)>,
}

/// All of them. Those that failed or lost are not kept.
#[derive(Debug)]
pub(super) struct Race {
    bytes: u64,
    runners: Vec<Runner>,
}

impl Race {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, runners: Vec::new() }
    }

    pub(super) fn enter(&mut self, column: u8, farmer: DeviceId, now: Instant) -> Runner {
        let runner = Runner {
            column,
            farmer,
            received: Arc::default(),
            lost: CancellationToken::new(),
            begun: now,
            took: None,
            samples: VecDeque::new(),
        };
        self.runners.push(runner.clone());
        runner
    }

    /// The farmer has its column: whoever was sent it beside has lost. False if it has lost itself.
    pub(super) fn won(&mut self, column: u8, farmer: DeviceId, now: Instant) -> bool {
        let Some(winner) = self.runners.iter().position(|one| (one.column, one.farmer) == (column, farmer))
        else {
            return false;
        };
        self.runners[winner].took = Some(now - self.runners[winner].begun);
        self.runners.retain(|one| {
            let loses = one.column == column && one.farmer != farmer;
            if loses {
                one.lost.cancel();
            }
            !loses
        });
        true
    }

    /// The farmer will not have its column; the one that is sent it beside, if there is one.
    pub(super) fn failed(&mut self, column: u8, farmer: DeviceId) -> Option<DeviceId> {
        self.runners.retain(|one| (one.column, one.farmer) != (column, farmer));
        self.runners.iter().find(|one| one.column == column).map(|one| one.farmer)
    }

    /// Takes down how far all are.
    pub(super) fn look(&mut self, now: Instant) {
        for one in &mut self.runners {
            one.samples.push_back((now, one.received.load(Ordering::Relaxed)));
            while one.samples.len() > 1 && one.samples.front().is_some_and(|(at, _)| now - *at > LATELY) {
                one.samples.pop_front();
            }
        }
    }

    /// Bytes that have arrived, of each column those of the farmer that has most.
    pub(super) fn arrived(&self) -> u64 {
        let mut most = std::collections::BTreeMap::new();
        for one in &self.runners {
            let received = if one.took.is_some() { self.bytes } else { one.received.load(Ordering::Relaxed) };
            let most = most.entry(one.column).or_insert(0);
            *most = received.max(*most);
        }
        most.values().sum()
    }

    /// Columns whose one farmer is late, with it.
    pub(super) fn late(&self) -> Vec<(u8, DeviceId)> {
        self.judged(pace::late)
    }

    /// Columns whose one farmer is so late that it is quicker to do without it.
    pub(super) fn hopeless(&self) -> Vec<(u8, DeviceId)> {
        self.judged(pace::hopeless)
    }

    fn judged(&self, judge: fn(&[Transfer]) -> Vec<usize>) -> Vec<(u8, DeviceId)> {
        let alone = |column| self.runners.iter().filter(|other| other.column == column).count() == 1;
        let alone: Vec<&Runner> = self.runners.iter().filter(|one| alone(one.column)).collect();
        let transfers: Vec<Transfer> = alone.iter().map(|one| self.transfer(one)).collect();
        judge(&transfers).into_iter().map(|index| (alone[index].column, alone[index].farmer)).collect()
    }

    fn transfer(&self, runner: &Runner) -> Transfer {
        // What has all arrived is not yet stored: only the farmer's word for that makes it whole.
        let most = if runner.took.is_some() { self.bytes } else { self.bytes.saturating_sub(1) };
        let (looked, now) = runner.samples.back().copied().unwrap_or((runner.begun, 0));
        let before = runner.samples.front().map_or(0, |(_, received)| *received);
        let age = looked - runner.begun;
        let young = age < LATELY;
        Transfer {
            bytes: self.bytes,
            done: if runner.took.is_some() { self.bytes } else { now.min(most) },
            lately: if young { now.min(most) } else { now - before.min(now) },
            age: runner.took.unwrap_or(age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farmer_that_drips_is_late_until_another_runs_beside_it_and_wins() {
        let (mut race, begun) = (Race::new(1_000_000), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let farmer = |number: u8| DeviceId([number; 32]);
        let runners: Vec<Runner> = (0..5).map(|number| race.enter(number, farmer(number), begun)).collect();
        for number in 0..4 {
            assert!(race.won(number, farmer(number), at(2)));
        }
        for second in 3..7 {
            runners[4].received.fetch_add(51, Ordering::Relaxed);
            race.look(at(second));
        }
        assert_eq!((race.late(), race.hopeless()), (vec![(4, farmer(4))], vec![]));
        assert_eq!(race.arrived(), 4_000_204);
        race.look(at(13));
        assert_eq!(race.hopeless(), [(4, farmer(4))]);
        let second = race.enter(4, farmer(9), at(13));
        assert_eq!((race.late(), race.hopeless()), (vec![], vec![]));
        assert!(race.won(4, farmer(9), at(15)));
        assert!(runners[4].lost.is_cancelled() && !second.lost.is_cancelled());
        assert!(!race.won(4, farmer(4), at(16)), "too late");
        assert_eq!(race.arrived(), 5_000_000);
    }

    #[test]
    fn the_farmer_that_is_left_goes_on_alone() {
        let (mut race, now) = (Race::new(10), Instant::now());
        race.enter(0, DeviceId([1; 32]), now);
        race.enter(0, DeviceId([2; 32]), now);
        assert_eq!(race.failed(0, DeviceId([1; 32])), Some(DeviceId([2; 32])));
        assert_eq!(race.failed(0, DeviceId([2; 32])), None);
    }
}
