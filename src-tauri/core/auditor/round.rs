//! What the brake remembers: who was asked in the round that runs, who seems bad, and how many usually are.
//!
//! A round lasts as long as an epoch does. `usual` is the share of bad farmers in the rounds before, the older ones faded.
//! Invariant: a farmer counts once in a round, by what was seen of it last. The lists of a round are not kept over a
//! restart: it begins anew.

use std::collections::BTreeMap;

use crate::{DeviceId, Timestamp, brake};

/// What the newest round counts for in what is usual.
const NEWEST: f64 = 0.2;

/// A round of all farmers.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    seconds: u64,
    begun: Timestamp,
    seen: BTreeMap<DeviceId, bool>,
    usual: f64,
}

impl Round {
    /// Begins one that lasts `seconds`, knowing what share was usually bad.
    pub fn new(seconds: u64, usual: f64, now: Timestamp) -> Self {
        let usual = if usual.is_finite() { usual.clamp(0.0, 1.0) } else { 0.0 };
        Self { seconds: seconds.max(1), begun: now, seen: BTreeMap::new(), usual }
    }

    /// The share of bad farmers in the rounds before.
    pub fn usual(&self) -> f64 {
        self.usual
    }

    /// Whether consequences wait.
    pub fn brakes(&self) -> bool {
        brake::holds(self.seen.len(), self.bad(), self.usual)
    }

    fn bad(&self) -> usize {
        self.seen.values().filter(|bad| **bad).count()
    }

    /// Takes in what a farmer seems to be now; whether a round ended by that.
    pub fn saw(&mut self, farmer: DeviceId, bad: bool, now: Timestamp) -> bool {
        let ended = self.turn(now);
        self.seen.insert(farmer, bad);
        ended
    }

    /// Ends the round if its time is over; whether it did.
    pub fn turn(&mut self, now: Timestamp) -> bool {
        if now.seconds_since(self.begun) < self.seconds {
            return false;
        }
        if !self.seen.is_empty() {
            let share = self.bad() as f64 / self.seen.len() as f64;
            self.usual = self.usual * (1.0 - NEWEST) + share * NEWEST;
        }
        (self.begun, self.seen) = (now, BTreeMap::new());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);

    fn farmer(number: u8) -> DeviceId {
        DeviceId([number; 32])
    }

    #[test]
    fn many_bad_farmers_trip_the_brake_and_it_lets_go_once_they_are_usual() {
        let mut round = Round::new(60, 0.0, START);
        for number in 0..20 {
            round.saw(farmer(number), number < 8, START);
        }
        assert!(round.brakes());
        let mut rounds = 0;
        let mut now = START;
        while round.brakes() {
            now = now.plus_seconds(60);
            for number in 0..20 {
                round.saw(farmer(number), number < 8, now);
            }
            rounds += 1;
        }
        assert!((2..20).contains(&rounds), "{rounds} rounds");
    }

    #[test]
    fn one_that_answers_after_all_is_bad_no_more() {
        let mut round = Round::new(60, 0.0, START);
        for number in 0..10 {
            round.saw(farmer(number), true, START);
        }
        assert!(round.brakes());
        for number in 0..10 {
            round.saw(farmer(number), false, START);
        }
        assert!(!round.brakes());
    }
}
