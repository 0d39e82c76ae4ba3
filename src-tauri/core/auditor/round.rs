//! What the brake remembers: who was asked in the round that runs, who seems bad, and how many usually are.
//!
//! ```text
//! brakes   ⇔  the round before ended with the brake, or too many seem bad in this one
//! lets go  ⇔  a round ends without the brake: too many did not seem bad, and somebody was asked if it held when it began
//! ```
//! A round lasts as long as an epoch does. `usual` is the share of bad farmers in the rounds before, the older ones faded.
//!
//! Invariant: a farmer counts once in a round, by what was seen of it last. Over a restart only [`Kept`] lasts: the round goes
//! on with the brake as it was, and is judged by those who are asked from then on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{DeviceId, Timestamp, brake};

/// What the newest round counts for in what is usual.
const NEWEST: f64 = 0.2;

/// A round of all farmers.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    seconds: u64,
    begun: Timestamp,
    /// Whether the brake held when it began, or when it was last opened.
    braked: bool,
    seen: BTreeMap<DeviceId, bool>,
    usual: f64,
}

/// What outlives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// When the round began.
    pub begun: Timestamp,
    /// Whether the brake holds.
    pub braked: bool,
    /// The share of bad farmers in the rounds before.
    pub usual: f64,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With the brake: what it holds waits on.
    Braked,
    /// Without: what it holds acts.
    Free,
}

impl Round {
    /// Begins the first one, or goes on with the one that ran.
    pub fn new(seconds: u64, kept: Option<Kept>, now: Timestamp) -> Self {
        let Kept { begun, braked, usual } = kept.unwrap_or(Kept { begun: now, braked: false, usual: 0.0 });
        let usual = if usual.is_finite() { usual.clamp(0.0, 1.0) } else { 0.0 };
        Self { seconds: seconds.max(1), begun: begun.min(now), braked, seen: BTreeMap::new(), usual }
    }

    /// What is kept of it.
    pub fn kept(&self) -> Kept {
        Kept { begun: self.begun, braked: self.brakes(), usual: self.usual }
    }

    /// Whether consequences wait.
    pub fn brakes(&self) -> bool {
        self.braked || brake::holds(self.seen.len(), self.bad(), self.usual)
    }

    fn bad(&self) -> usize {
        self.seen.values().filter(|bad| **bad).count()
    }

    /// Takes in what a farmer seems to be now.
    pub fn saw(&mut self, farmer: DeviceId, bad: bool) {
        self.seen.insert(farmer, bad);
    }

    /// Ends the round and begins the next if its time is over; how it ended.
    pub fn turn(&mut self, now: Timestamp) -> Option<Ended> {
        if now.seconds_since(self.begun) < self.seconds {
            return None;
        }
        let (asked, bad) = (self.seen.len(), self.bad());
        let held_on = self.braked && (asked == 0 || brake::holds_on(asked, bad, self.usual));
        self.braked = held_on || brake::holds(asked, bad, self.usual);
        if asked > 0 {
            self.usual = self.usual * (1.0 - NEWEST) + bad as f64 / asked as f64 * NEWEST;
        }
        (self.begun, self.seen) = (now, BTreeMap::new());
        Some(if self.braked { Ended::Braked } else { Ended::Free })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);

    fn farmer(number: u8) -> DeviceId {
        DeviceId([number; 32])
    }

    fn all_see(round: &mut Round, bad: u8, all: u8) {
        for number in 0..all {
            round.saw(farmer(number), number < bad);
        }
    }

    /// So many rounds later.
    fn after(rounds: u64) -> Timestamp {
        START.plus_seconds(60 * rounds)
    }

    #[test]
    fn many_bad_farmers_trip_the_brake_and_it_lets_go_once_they_are_usual() {
        for (bad, all) in [(8, 20), (20, 20), (5, 5)] {
            let mut round = Round::new(60, None, START);
            all_see(&mut round, bad, all);
            assert!(round.brakes());
            let mut rounds = 0;
            while round.brakes() {
                rounds += 1;
                round.turn(after(rounds));
                all_see(&mut round, bad, all);
            }
            assert!((2..20).contains(&rounds), "{bad} of {all}: {rounds} rounds");
        }
    }

    #[test]
    fn one_that_answers_after_all_is_bad_no_more() {
        let mut round = Round::new(60, None, START);
        all_see(&mut round, 10, 10);
        assert!(round.brakes());
        all_see(&mut round, 0, 10);
        assert!(!round.brakes());
        assert_eq!(round.turn(after(1)), Some(Ended::Free));
    }

    #[test]
    fn the_brake_holds_over_the_turn_and_lets_go_when_a_round_ends_without_it() {
        let mut round = Round::new(60, None, START);
        all_see(&mut round, 10, 20);
        assert_eq!(round.turn(after(1)), Some(Ended::Braked));
        assert!(round.brakes(), "before anybody is asked");
        all_see(&mut round, 10, 20);
        assert_eq!(round.turn(after(1).plus_seconds(59)), None);
        assert_eq!(round.turn(after(2)), Some(Ended::Braked));
        all_see(&mut round, 1, 20);
        assert!(round.brakes(), "its end is still to come");
        assert_eq!(round.turn(after(3)), Some(Ended::Free));
        assert!(!round.brakes());
    }

    #[test]
    fn a_round_in_which_nobody_was_asked_or_all_of_a_few_were_bad_does_not_end_an_outage() {
        let mut round = Round::new(60, None, START);
        all_see(&mut round, 10, 20);
        round.turn(after(1));
        assert_eq!(round.turn(after(2)), Some(Ended::Braked));
        all_see(&mut round, 3, 3);
        assert_eq!(round.turn(after(3)), Some(Ended::Braked));
        // Where it did not hold, a few alone never begin one.
        let mut round = Round::new(60, None, START);
        all_see(&mut round, 3, 3);
        assert_eq!(round.turn(after(1)), Some(Ended::Free));
    }

    #[test]
    fn a_restart_neither_ends_an_outage_nor_makes_one_last() {
        let mut round = Round::new(60, None, START);
        all_see(&mut round, 10, 20);
        let reopened = |round: &Round, seconds| {
            let now = START.plus_seconds(seconds);
            Round::new(60, Some(round.kept()), now)
        };
        // Again and again, always before a round's time is over.
        let mut round = reopened(&round, 25);
        assert!(round.brakes());
        assert_eq!(round.turn(START.plus_seconds(25)), None);
        all_see(&mut round, 2, 2);
        let mut round = reopened(&round, 50);
        all_see(&mut round, 1, 1);
        assert_eq!(round.turn(START.plus_seconds(75)), Some(Ended::Braked));
        let mut round = reopened(&round, 100);
        all_see(&mut round, 0, 2);
        assert_eq!(round.turn(START.plus_seconds(135)), Some(Ended::Free), "what is seen counts");
        assert!(!reopened(&round, 140).brakes());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_a_round_last() {
        let kept = Kept { begun: after(1000), braked: true, usual: f64::NAN };
        let mut round = Round::new(60, Some(kept), START);
        round.saw(farmer(1), false);
        assert_eq!(round.turn(after(1)), Some(Ended::Free));
        assert_eq!(round.kept().usual, 0.0);
    }
}
