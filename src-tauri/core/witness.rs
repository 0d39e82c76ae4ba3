//! What time it surely is: nothing that was agreed to be kept is deleted because of one reading of a clock.
//!
//! A clock may be wrong (an empty battery, a typing error, a wrong time server); the seconds a node has itself lived, which
//! a monotonic counter measures, are not. Each reading claims how far the wall clock is ahead of them:
//!
//! ```text
//! ahead    = wall − lived                                     of one reading
//! ahead(h) = greatest `ahead` read in hour h of what was lived
//! credible = min(wall now, lived + min over the last 72 whole hours of ahead(h));   the beginning of time before that
//! ```
//! A clock that jumps ahead is thus believed once it has stood there for three days that were lived under it; one that jumps
//! back is believed at once, which deletes nothing; a short jump back and forth again changes nothing. Time that passed
//! while a node was switched off is a jump ahead like any other: what ended meanwhile is deleted late, never early.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

const HOUR_SECONDS: u64 = 3600;
/// Whole lived hours that must agree.
const HOURS: usize = 72;

/// What the clock has said over the hours that were lived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    lived_seconds: u64,
    hours: VecDeque<i64>,
    hour: Option<Hour>,
}

/// The hour that is not over yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Hour {
    greatest: i64,
    newest: i64,
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

impl Witness {
    /// Notes a reading of the wall clock, `lived_seconds` after the one before.
    pub fn observe(&mut self, wall: Timestamp, lived_seconds: u64) {
        let hours = self.lived_seconds / HOUR_SECONDS;
        self.lived_seconds = self.lived_seconds.saturating_add(lived_seconds);
        let over = self.lived_seconds / HOUR_SECONDS - hours;
        let ahead = signed(wall.0).saturating_sub(signed(self.lived_seconds));
        let mut greatest = ahead;
        if let Some(hour) = self.hour {
            if over == 0 {
                greatest = ahead.max(hour.greatest);
            } else {
                self.close(hour.greatest);
                // Nobody looked in the hours between: the less of what was said before and after them.
                for _ in 1..over.min(HOURS as u64 + 1) {
                    self.close(ahead.min(hour.newest));
                }
            }
        }
        self.hour = Some(Hour { greatest, newest: ahead });
    }

    fn close(&mut self, ahead: i64) {
        self.hours.push_back(ahead);
        while self.hours.len() > HOURS {
            self.hours.pop_front();
        }
    }

    /// A time that has surely come; never later than `wall`, what the clock says now.
    pub fn credible(&self, wall: Timestamp) -> Timestamp {
        let least = self.hours.iter().min().filter(|_| self.hours.len() >= HOURS);
        let Some(ahead) = least else { return Timestamp::default() };
        let credible = signed(self.lived_seconds).saturating_add(*ahead);
        wall.min(Timestamp(u64::try_from(credible).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);
    const DAY: u64 = 24 * HOUR_SECONDS;

    /// A node whose clock is as far off as a test says.
    struct Node {
        witness: Witness,
        truth: Timestamp,
    }

    impl Node {
        fn new() -> Self {
            let mut node = Self { witness: Witness::default(), truth: START };
            node.live(0, 0);
            node
        }

        fn wall(&self, off: i64) -> Timestamp {
            Timestamp(self.truth.0.saturating_add_signed(off))
        }

        fn live(&mut self, seconds: u64, off: i64) -> Timestamp {
            self.truth = self.truth.plus_seconds(seconds);
            self.witness.observe(self.wall(off), seconds);
            self.witness.credible(self.wall(off))
        }

        /// The same, with a look each minute.
        fn watch(&mut self, seconds: u64, off: i64) -> Timestamp {
            (0..seconds / 60).map(|_| self.live(60, off)).last().unwrap_or_default()
        }
    }

    #[test]
    fn time_that_was_lived_is_credible_after_three_days_whether_or_not_anyone_looked() {
        let mut node = Node::new();
        assert_eq!(node.watch(3 * DAY - 60, 0), Timestamp::default());
        assert_eq!(node.live(60, 0), node.truth);
        assert_eq!(node.live(1, 0), node.truth);
        assert_eq!(node.live(90 * DAY, 0), node.truth);
    }

    #[test]
    fn a_year_ahead_is_believed_only_after_three_days_and_forgotten_at_once() {
        let (mut node, year) = (Node::new(), 365 * DAY as i64);
        node.watch(4 * DAY, 0);
        assert_eq!(node.watch(HOUR_SECONDS, year), node.truth);
        assert_eq!(node.watch(2 * HOUR_SECONDS, 0), node.truth);
        assert_eq!(node.watch(3 * DAY - HOUR_SECONDS, year), node.truth);
        assert_eq!(node.watch(2 * HOUR_SECONDS, year), node.wall(year));
        assert_eq!(node.live(60, 0), node.truth, "it was set right");
    }

    #[test]
    fn a_start_at_the_beginning_of_time_until_a_time_server_answers_changes_nothing() {
        let mut node = Node::new();
        node.watch(4 * DAY, 0);
        for _ in 0..3 {
            assert_eq!(node.live(60, -(START.0 as i64)), Timestamp(node.truth.0 - START.0));
            assert_eq!(node.watch(DAY, 0), node.truth);
        }
    }

    #[test]
    fn days_that_were_slept_through_count_once_three_more_were_lived() {
        let mut node = Node::new();
        node.watch(4 * DAY, 0);
        let before = node.truth;
        node.truth = node.truth.plus_seconds(30 * DAY);
        assert_eq!(node.watch(HOUR_SECONDS, 0), before.plus_seconds(HOUR_SECONDS));
        assert_eq!(node.watch(3 * DAY, 0), node.truth);
    }

    #[test]
    fn a_witness_outlives_its_encoding() {
        let mut node = Node::new();
        node.watch(4 * DAY, -7);
        let bytes = crate::codec::encode(1, &node.witness);
        assert!(bytes.len() < 1024, "{}", bytes.len());
        assert_eq!(crate::codec::decode::<Witness>(1, &bytes, 1024), Ok(node.witness));
    }

    proptest! {
        #[test]
        fn it_is_never_later_than_the_clock_or_than_what_an_hour_of_the_last_three_days_allowed(
            readings in proptest::collection::vec((0..40 * HOUR_SECONDS, any::<i32>()), 1..60),
            lie in 1..i64::MAX,
        ) {
            let mut node = Node::new();
            for (seconds, off) in readings {
                let credible = node.live(seconds, off.into());
                prop_assert!(credible <= node.wall(off.into()));
            }
            // Two looks at the right time, with a whole hour between them, rule over three days of any lie.
            node.watch(2 * HOUR_SECONDS, 0);
            for _ in 0..71 {
                prop_assert!(node.live(HOUR_SECONDS, lie) <= node.truth);
            }
        }

        #[test]
        fn whatever_was_said_a_right_clock_is_believed_within_four_days(
            readings in proptest::collection::vec((0..40 * HOUR_SECONDS, any::<i32>()), 0..60),
        ) {
            let mut node = Node::new();
            for (seconds, off) in readings {
                node.live(seconds, off.into());
            }
            node.watch(4 * DAY, 0);
            prop_assert_eq!(node.live(60, 0), node.truth);
        }
    }
}
