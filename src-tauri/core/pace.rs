//! Which of several transfers is held up by its own farmer, and not by the line that all of them share.
//!
//! Invariants: a transfer is judged by the others of the same attempt alone, so that a line on which all are slow makes
//! none of them late; one that keeps half the pace of the others is never late; at most a minority is. Deliberately
//! absent: whether the line works at all, which the node finds out before it acts.

use std::time::Duration;

/// The span over which [`Transfer::lately`] counts.
pub const LATELY: Duration = Duration::from_secs(5);
/// Nothing younger is judged, and nothing that will be done sooner.
const GRACE: Duration = Duration::from_secs(3);
/// A transfer is late if it will still take so many times as long as one begun anew would.
const LATE: u32 = 2;
/// It is hopeless if it will still take so many times as long as the slowest of the others took.
const HOPELESS: u32 = 4;

/// One of several transfers of equal size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that have arrived.
    pub done: u64,
    /// Of these, those of the last [`LATELY`], or since it began.
    pub lately: u64,
    /// How long ago it began, or how long it took if it is whole.
    pub age: Duration,
}

impl Transfer {
    /// Whether all of it has arrived.
    pub fn is_whole(&self) -> bool {
        self.done >= self.bytes
    }

    /// How long the rest takes at its present pace; none if it does not move.
    fn remaining(&self) -> Option<Duration> {
        scaled(self.age.min(LATELY), self.bytes.saturating_sub(self.done), self.lately)
    }

    /// How long all of it takes at its pace so far.
    fn in_all(&self) -> Option<Duration> {
        scaled(self.age, self.bytes, self.done)
    }

    fn takes_longer_than(&self, limit: Duration) -> bool {
        !self.is_whole() && self.age >= GRACE && self.remaining().is_none_or(|rest| rest > limit.max(GRACE))
    }
}

/// `span · times ÷ parts`; none if there are no parts.
fn scaled(span: Duration, times: u64, parts: u64) -> Option<Duration> {
    let nanos = (span.as_nanos().saturating_mul(u128::from(times))).checked_div(u128::from(parts))?;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

/// How long a transfer begun now would take, by the middle one of those there are.
fn anew(transfers: &[Transfer]) -> Option<Duration> {
    let mut all: Vec<_> = transfers.iter().map(|one| one.in_all().unwrap_or(Duration::MAX)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().filter(|middle| *middle < Duration::MAX)
}

fn longer_than(transfers: &[Transfer], limit: Option<Duration>) -> Vec<usize> {
    let Some(limit) = limit else { return Vec::new() };
    let late = transfers.iter().enumerate().filter(|(_, one)| one.takes_longer_than(limit));
    late.map(|(index, _)| index).collect()
}

/// Those that have taken longer than the limit already and still will; none before most are whole.
fn overdue(transfers: &[Transfer], limit: Option<Duration>) -> Vec<usize> {
    let most_are_whole = transfers.iter().filter(|one| one.is_whole()).count() * 2 > transfers.len();
    let mut overdue = if most_are_whole { longer_than(transfers, limit) } else { Vec::new() };
    overdue.retain(|index| limit.is_some_and(|limit| transfers[*index].age >= limit));
    overdue
}

/// Transfers of which any share is enough, such as columns of which k are needed: those that are far behind the middle
/// one, beside which others should be begun.
pub fn behind(transfers: &[Transfer]) -> Vec<usize> {
    longer_than(transfers, anew(transfers).map(|anew| anew.saturating_mul(LATE)))
}

/// Transfers all of which must end well: those that another farmer would do sooner from the beginning. None before most
/// are whole.
pub fn late(transfers: &[Transfer]) -> Vec<usize> {
    overdue(transfers, anew(transfers).map(|anew| anew.saturating_mul(LATE)))
}

/// Transfers all of which must end well: those for which it is quicker to begin all of them again without their farmers.
/// None before most are whole.
pub fn hopeless(transfers: &[Transfer]) -> Vec<usize> {
    let slowest = transfers.iter().filter(|one| one.is_whole()).map(|one| one.age).max();
    overdue(transfers, slowest.map(|slowest| slowest.max(GRACE).saturating_mul(HOPELESS)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: u64 = 1_000_000;

    /// A transfer that has been going at a steady rate.
    fn at(bytes_per_second: u64, age: Duration) -> Transfer {
        let moved = |span: Duration| (u128::from(bytes_per_second) * span.as_millis() / 1000) as u64;
        let done = moved(age).min(BYTES);
        let age = if done == BYTES {
            scaled(Duration::from_secs(1), BYTES, bytes_per_second).unwrap().min(age)
        } else {
            age
        };
        Transfer { bytes: BYTES, done, lately: moved(LATELY.min(age)).min(done), age }
    }

    #[test]
    fn a_farmer_that_drips_is_late_soon_after_the_others_are_done_and_hopeless_later() {
        let after = |seconds| {
            let age = Duration::from_secs(seconds);
            let mut all = vec![at(500_000, age); 4];
            all.push(at(51, age));
            all
        };
        assert_eq!(late(&after(1)), [0usize; 0], "none is whole");
        assert_eq!((late(&after(3)), late(&after(5))), (vec![], vec![4]), "twice as long as the others");
        assert_eq!((hopeless(&after(5)), hopeless(&after(13))), (vec![], vec![4]));
    }

    #[test]
    fn a_farmer_a_little_slower_than_the_others_is_let_finish() {
        let mut all = vec![at(500_000, Duration::from_secs(4)); 4];
        all.push(at(150_000, Duration::from_secs(4)));
        assert_eq!((late(&all), hopeless(&all)), (vec![], vec![]));
    }

    #[test]
    fn columns_from_a_stalled_farmer_are_behind_while_the_others_still_come() {
        let age = Duration::from_secs(4);
        let mut all = vec![at(30_000, age); 5];
        all.push(Transfer { lately: 0, done: 1000, ..at(30_000, age) });
        assert_eq!((behind(&all), late(&all)), (vec![5], vec![]));
    }

    proptest! {
        #[test]
        fn on_a_slow_line_where_all_are_alike_none_is_late(
            rate in 1u64..10_000_000, tenths in 0u64..100_000, shares in prop::collection::vec(60u64..=100, 1..40),
        ) {
            let age = Duration::from_millis(tenths * 100);
            let all: Vec<_> = shares.iter().map(|share| at((rate * share / 100).max(1), age)).collect();
            // Less than a byte in all that time says nothing about a pace.
            prop_assume!(all.iter().all(|one| one.lately >= 100));
            prop_assert_eq!(behind(&all), Vec::<usize>::new());
            prop_assert_eq!(late(&all), Vec::<usize>::new());
            prop_assert_eq!(hopeless(&all), Vec::<usize>::new());
        }

        #[test]
        fn never_more_than_a_minority_is_late_and_the_whole_never(
            all in prop::collection::vec((0u64..=BYTES, 0u64..=BYTES, 0u64..200_000), 1..40),
        ) {
            let all: Vec<Transfer> = all.into_iter().map(|(done, lately, millis)| {
                Transfer { bytes: BYTES, done, lately: lately.min(done), age: Duration::from_millis(millis) }
            }).collect();
            for late in [late(&all), hopeless(&all)] {
                prop_assert!(late.len() * 2 < all.len() || late.is_empty());
                prop_assert!(late.iter().all(|index| !all[*index].is_whole()));
            }
        }
    }
}
