//! When a segment is rebuilt, which of its columns, and which segment comes first.
//!
//! ```text
//! here        = shards present + shards whose farmers leave
//! redundancy  = here − k,   spare = n − k
//! grace       = most · (redundancy / spare)², at least `least`; nothing once redundancy is used up
//! living      = shards present + shards absent for less than the grace
//! threshold   = k + ⌈spare / 2⌉
//! due         ⇔ (living < threshold or one leaves) and here ≥ k
//! ```
//! A farmer's temporary absence is not a loss: with all the others at hand it has the longest grace, and the less is
//! left the less is waited. Rebuilding fetches k shards however few columns are missing, so it waits until it is
//! worth it, and then restores all n. A farmer that leaves waits for nothing: its shard is moved while it can be had.
//!
//! Invariants: what is present is never rebuilt; a segment with fewer than k shards present is never called due, since
//! nothing can be fetched, and never called lost while absent ones could bring it back.
//!
//! Deliberately absent: bytes, farmers and connections. Whoever calls says what is known of each shard.

use std::cmp::Reverse;

use crate::{Timestamp, content::Coding};

/// What is known of the shard of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Its farmer is there and nothing speaks against it.
    Present,
    /// Its farmer is there, and leaves: it is to lie elsewhere.
    Leaving,
    /// Its farmer has been silent since then.
    Absent {
        /// When it was last heard of.
        since: Timestamp,
    },
    /// Gone: a failed audit, a reported loss, a contract that is over or denied.
    Lost,
}

/// How long is waited for the absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Grace while everything else is present, in seconds.
    pub most_seconds: u64,
    /// Grace with one shard to spare, in seconds.
    pub least_seconds: u64,
}

impl Default for Patience {
    /// Two weeks, as a holiday or a move takes; an hour, as a restart takes. One week instead of two cost a sixth more
    /// traffic in the simulator and saved no segment.
    fn default() -> Self {
        Self { most_seconds: 14 * 24 * 3600, least_seconds: 3600 }
    }
}

impl Patience {
    /// The grace with `redundancy` shards present beyond k, of `spare` there could be.
    pub fn grace_seconds(&self, redundancy: usize, spare: usize) -> u64 {
        let (redundancy, spare) = (redundancy.min(spare) as u128, spare as u128);
        if redundancy == 0 {
            return 0;
        }
        let share = u128::from(self.most_seconds) * redundancy * redundancy / (spare * spare);
        u64::try_from(share).unwrap_or(u64::MAX).max(self.least_seconds)
    }
}

/// How urgent a rebuilding is: the greater, the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Danger {
    /// Shards that may still go before the file does.
    redundancy: Reverse<usize>,
    /// The same as part of what it should be, in thousandths.
    share: Reverse<usize>,
    /// Columns to rebuild.
    missing: usize,
}

/// What a segment needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// All shards are present.
    Nothing,
    /// Enough are; look again when the first grace ends, if one is running.
    Watch {
        /// When an absent shard will count as lost.
        until: Option<Timestamp>,
    },
    /// Rebuild now.
    Due(Danger),
    /// Too few are present to rebuild, and absent ones could bring it back.
    Stuck,
    /// Too few are left for ever.
    Lost,
}

/// A segment as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// Shards present.
    pub present: usize,
    /// Shards whose farmers are there and leave.
    pub leaving: usize,
    /// Shards absent whose grace is running.
    pub awaited: usize,
    /// What to do.
    pub need: Need,
    grace_seconds: u64,
    now: Timestamp,
}

/// Fewer living shards than this, and a segment is rebuilt.
pub fn threshold(coding: Coding) -> usize {
    usize::from(coding.k()) + usize::from(coding.spare()).div_ceil(2)
}

/// Weighs a segment; `holdings` has one entry for each of its n columns.
pub fn assess(coding: Coding, holdings: &[Holding], patience: Patience, now: Timestamp) -> Assessment {
    let (k, spare) = (usize::from(coding.k()), usize::from(coding.spare()));
    let count = |wanted: fn(&Holding) -> bool| holdings.iter().filter(|held| wanted(held)).count();
    let present = count(|held| matches!(held, Holding::Present));
    let leaving = count(|held| matches!(held, Holding::Leaving));
    let absent = count(|held| matches!(held, Holding::Absent { .. }));
    let here = present + leaving;
    let redundancy = here.saturating_sub(k);
    let grace_seconds = patience.grace_seconds(redundancy, spare);
    let mut assessment = Assessment { present, leaving, awaited: 0, need: Need::Nothing, grace_seconds, now };
    assessment.awaited = holdings.iter().filter(|held| assessment.is_awaited(**held)).count();
    assessment.need = if here + absent < k {
        Need::Lost
    } else if here < k {
        Need::Stuck
    } else if present == holdings.len() {
        Need::Nothing
    } else if leaving > 0 || present + assessment.awaited < threshold(coding) {
        let share = (redundancy * 1000).checked_div(spare).unwrap_or(1000);
        let missing = holdings.len() - present - assessment.awaited;
        Need::Due(Danger { redundancy: Reverse(redundancy), share: Reverse(share), missing })
    } else {
        Need::Watch { until: assessment.next_end(holdings) }
    };
    assessment
}

impl Assessment {
    /// Whether a shard held like that is to be rebuilt when the segment is.
    pub fn rebuilds(&self, held: Holding) -> bool {
        held != Holding::Present && !self.is_awaited(held)
    }

    fn is_awaited(&self, held: Holding) -> bool {
        match held {
            Holding::Absent { since } => self.now.seconds_since(since) < self.grace_seconds,
            Holding::Present | Holding::Leaving | Holding::Lost => false,
        }
    }

    fn next_end(&self, holdings: &[Holding]) -> Option<Timestamp> {
        let ends = holdings.iter().filter(|held| self.is_awaited(**held)).filter_map(|held| match held {
            Holding::Absent { since } => Some(since.plus_seconds(self.grace_seconds)),
            Holding::Present | Holding::Leaving | Holding::Lost => None,
        });
        ends.min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(100_000_000);
    const DAY: u64 = 24 * 3600;

    fn coding(k: u8, n: u8) -> Coding {
        Coding::new(k, n).expect("a coding")
    }

    fn absent(seconds: u64) -> Holding {
        Holding::Absent { since: Timestamp(NOW.0 - seconds) }
    }

    /// `present` shards, then these.
    fn segment(present: usize, others: &[Holding]) -> Vec<Holding> {
        std::iter::repeat_n(Holding::Present, present).chain(others.iter().copied()).collect()
    }

    fn need(k: u8, holdings: &[Holding]) -> Need {
        let n = u8::try_from(holdings.len()).expect("few");
        assess(coding(k, n), holdings, Patience::default(), NOW).need
    }

    #[test]
    fn a_segment_is_due_once_half_of_its_spare_shards_are_lost() {
        for (k, n, lost, due) in
            [(16, 40, 12, false), (16, 40, 13, true), (4, 12, 4, false), (4, 12, 5, true), (2, 5, 2, true)]
        {
            let found = need(k, &segment(n - lost, &vec![Holding::Lost; lost]));
            assert_eq!(matches!(found, Need::Due(_)), due, "{k} of {n} without {lost}: {found:?}");
        }
        assert!(matches!(need(1, &segment(1, &[Holding::Lost; 2])), Need::Due(_)), "one copy of three left");
        assert!(matches!(need(1, &segment(1, &[Holding::Lost])), Need::Due(_)), "one copy of two left");
        assert_eq!(need(1, &segment(1, &[])), Need::Nothing);
    }

    #[test]
    fn the_absent_are_waited_for_the_less_the_fewer_are_left() {
        let patience = Patience::default();
        let graces: Vec<u64> = (0..=24).map(|left| patience.grace_seconds(left, 24)).collect();
        assert!(graces.is_sorted(), "{graces:?}");
        assert_eq!((graces[0], graces[1], graces[24]), (0, patience.least_seconds, patience.most_seconds));
    }

    #[test]
    fn a_night_offline_is_no_loss_and_a_month_is() {
        let night = segment(30, &[absent(DAY / 2); 10]);
        let assessment = assess(coding(16, 40), &night, Patience::default(), NOW);
        assert_eq!(assessment.awaited, 10);
        let ends = NOW.plus_seconds(assessment.grace_seconds - DAY / 2);
        assert_eq!(assessment.need, Need::Watch { until: Some(ends) });
        let month = segment(27, &[absent(30 * DAY); 13]);
        let assessment = assess(coding(16, 40), &month, Patience::default(), NOW);
        assert!(matches!(assessment.need, Need::Due(_)), "{assessment:?}");
        assert!(month[27..].iter().all(|held| assessment.rebuilds(*held)));
    }

    #[test]
    fn with_nothing_to_spare_nobody_is_waited_for() {
        assert!(matches!(need(4, &segment(4, &[absent(1); 8])), Need::Due(_)));
    }

    #[test]
    fn what_cannot_be_fetched_is_stuck_and_lost_only_when_none_can_come_back() {
        assert_eq!(need(4, &segment(3, &[absent(90 * DAY)])), Need::Stuck);
        assert_eq!(need(4, &segment(3, &[Holding::Lost; 9])), Need::Lost);
    }

    #[test]
    fn what_leaves_is_moved_at_once_and_counts_as_there_until_then() {
        let left = segment(39, &[Holding::Leaving]);
        let assessment = assess(coding(16, 40), &left, Patience::default(), NOW);
        assert!(matches!(assessment.need, Need::Due(_)), "{assessment:?}");
        assert!(assessment.rebuilds(Holding::Leaving) && !assessment.rebuilds(Holding::Present));
        let mut held = segment(3, &[Holding::Leaving; 2]);
        held.extend([absent(DAY / 2); 7]);
        let assessment = assess(coding(4, 12), &held, Patience::default(), NOW);
        assert!(matches!(assessment.need, Need::Due(_)), "five of four needed can be had: {assessment:?}");
        let last = need(4, &segment(3, &[Holding::Leaving, Holding::Lost]));
        let moved = need(4, &segment(11, &[Holding::Leaving]));
        match (last, moved) {
            (Need::Due(last), Need::Due(moved)) => assert!(last > moved),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_segment_nearest_to_its_end_comes_first() {
        let danger = |k, holdings: &[Holding]| match need(k, holdings) {
            Need::Due(danger) => danger,
            other => panic!("{other:?}"),
        };
        let last = danger(16, &segment(16, &[Holding::Lost; 24]));
        let one_left = danger(16, &segment(17, &[Holding::Lost; 23]));
        let copy = danger(1, &segment(1, &[Holding::Lost; 2]));
        let many_left = danger(16, &segment(27, &[Holding::Lost; 13]));
        assert!(last > one_left && one_left > many_left && last > copy && copy > one_left);
    }

    fn holdings() -> impl Strategy<Value = (u8, Vec<Holding>)> {
        let holding = prop_oneof![
            Just(Holding::Present),
            Just(Holding::Leaving),
            (0u64..40 * DAY).prop_map(absent),
            Just(Holding::Lost),
        ];
        prop::collection::vec(holding, 1..=40).prop_flat_map(|held| (1..=held.len() as u8, Just(held)))
    }

    proptest! {
        #[test]
        fn what_is_present_is_never_rebuilt_and_less_is_never_less_urgent((k, mut held) in holdings()) {
            let patience = Patience::default();
            let coding = coding(k, held.len() as u8);
            let before = assess(coding, &held, patience, NOW);
            prop_assert!(held.iter().all(|held| *held != Holding::Present || !before.rebuilds(*held)));
            prop_assert_eq!(
                before.present + before.awaited + held.iter().filter(|held| before.rebuilds(**held)).count(),
                held.len()
            );
            if let Need::Due(_) = before.need {
                prop_assert!(before.present + before.leaving >= usize::from(k));
                prop_assert!(held.iter().any(|held| before.rebuilds(*held)));
            }
            let Some(at) = held.iter().position(|held| *held == Holding::Present) else { return Ok(()) };
            held[at] = Holding::Lost;
            let after = assess(coding, &held, patience, NOW);
            match (before.need, after.need) {
                (Need::Due(before), Need::Due(after)) => prop_assert!(after > before),
                (Need::Due(_), Need::Stuck | Need::Lost) => {}
                (Need::Due(_), other) => prop_assert!(false, "{other:?}"),
                (_, _) => {}
            }
        }
    }
}
