//! How many contracts a subnet may agree on in a day: agreeing costs a stranger nothing and this disk a row.

use std::collections::HashMap;

use hayloft_core::{Timestamp, placement::Subnet};

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Contracts that one subnet may agree on in a day.
const PER_SUBNET: u32 = 32;
/// Subnets that may agree on contracts in a day.
const SUBNETS: usize = 4096;

/// What was agreed on since the day began; forgotten when the next one begins, and at a restart.
#[derive(Debug, Default)]
pub(super) struct Agreements {
    day: u64,
    made: HashMap<Subnet, u32>,
}

impl Agreements {
    /// Counts one more contract for a subnet, unless it has had its share or there are too many subnets.
    pub(super) fn admit(&mut self, subnet: Subnet, now: Timestamp) -> bool {
        let day = now.0 / DAY_SECONDS;
        if self.day != day {
            (self.day, self.made) = (day, HashMap::new());
        }
        if self.made.len() >= SUBNETS && !self.made.contains_key(&subnet) {
            return false;
        }
        let made = self.made.entry(subnet).or_default();
        *made += 1;
        *made <= PER_SUBNET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subnet_agrees_on_its_share_each_day_and_no_more() {
        let mut agreements = Agreements::default();
        let now = Timestamp(20 * DAY_SECONDS);
        let [one, other] = [1, 2].map(|number| Subnet::V4([203, 0, number]));
        let admitted = (0..100).filter(|_| agreements.admit(one, now)).count();
        assert_eq!(admitted, PER_SUBNET as usize);
        assert!(agreements.admit(other, now));
        assert!(agreements.admit(one, now.plus_seconds(DAY_SECONDS)));
    }

    #[test]
    fn memory_is_bounded_whatever_strangers_do() {
        let mut agreements = Agreements::default();
        let subnets = (0..2 * SUBNETS).map(|number| {
            let [.., a, b] = number.to_be_bytes();
            Subnet::V4([203, a, b])
        });
        let admitted = subnets.filter(|subnet| agreements.admit(*subnet, Timestamp(0))).count();
        assert_eq!((admitted, agreements.made.len()), (SUBNETS, SUBNETS));
    }
}
