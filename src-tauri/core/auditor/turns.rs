//! Whose contracts are asked about next, when more are due than can be asked about at once.
//!
//! Whoever answers as slowly as it may, under as many names and contracts as it likes, holds as many places as one subnet is
//! given, and leaves the rest to all others.
//! Deliberately absent: how long an answer may take.

use std::collections::BTreeMap;

use crate::placement::Subnet;

/// Which of the contracts that are `due` begin now, by index: in their order, as many as there are `places`, and so many of a
/// subnet at most, those `under_way` included.
pub fn next_asked(
    due: &[Subnet],
    under_way: impl IntoIterator<Item = Subnet>,
    places: usize,
    of_subnet: usize,
) -> Vec<usize> {
    let mut held: BTreeMap<Subnet, usize> = BTreeMap::new();
    for subnet in under_way {
        *held.entry(subnet).or_default() += 1;
    }
    let mut chosen = Vec::new();
    for (index, subnet) in due.iter().enumerate() {
        let held = held.entry(*subnet).or_default();
        if chosen.len() < places && *held < of_subnet {
            *held += 1;
            chosen.push(index);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(number: u8) -> Subnet {
        Subnet::V4([203, 0, number])
    }

    #[test]
    fn whoever_has_thousands_of_contracts_due_keeps_no_other_from_its_turn() {
        let (crowd, other) = (subnet(1), subnet(2));
        let due = [vec![crowd; 5000], vec![other; 2]].concat();
        assert_eq!(next_asked(&due, [], 16, 4), [0, 1, 2, 3, 5000, 5001]);
        assert_eq!(next_asked(&due, [crowd; 4], 12, 4), [5000, 5001]);
        assert_eq!(next_asked(&due, [crowd, crowd, crowd, other], 12, 4), [0, 5000, 5001]);
    }

    #[test]
    fn there_are_never_more_than_places_and_the_first_due_come_first() {
        let due: Vec<Subnet> = (0..20).map(subnet).collect();
        assert_eq!(next_asked(&due, [], 3, 4), [0, 1, 2]);
        assert!(next_asked(&due, [], 0, 4).is_empty());
        assert!(next_asked(&[], [subnet(1)], 3, 4).is_empty());
    }
}
