//! Whom an owner lets judge, and whom an auditor asks for a second opinion: somebody who was found, drawn at random.
//!
//! ```text
//! drawn = a failure group, each alike, that holds none of those to be kept apart; then one of its auditors, each alike
//! ```
//! Whoever runs a thousand auditors in one subnet, or under one operator, is drawn as often as one auditor is. Nobody judges
//! itself, nor whoever shares its failure group.

use std::collections::BTreeMap;

use crate::{
    DeviceId,
    placement::{Seen, failure_groups},
};

/// One of the auditors found, in no failure group of those it has to be `apart_from`; none if there is none. `random` is drawn
/// anew for each choice.
pub fn pick(found: &[Seen], apart_from: &[Seen], random: u64) -> Option<DeviceId> {
    let all: Vec<&Seen> = apart_from.iter().chain(found).collect();
    let groups = failure_groups(&all);
    let (taken, rest) = groups.split_at(apart_from.len());
    let mut free: BTreeMap<usize, Vec<DeviceId>> = BTreeMap::new();
    for (group, auditor) in rest.iter().zip(found).filter(|(group, _)| !taken.contains(group)) {
        free.entry(*group).or_default().push(auditor.device);
    }
    let groups = u64::try_from(free.len()).ok().filter(|groups| *groups > 0)?;
    let members = free.into_values().nth(usize::try_from(random % groups).ok()?)?;
    let place = (random / groups) % u64::try_from(members.len()).ok()?;
    members.get(usize::try_from(place).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn seen(number: u8, address: [u8; 4]) -> Seen {
        Seen { device: DeviceId([number; 32]), address: Some(IpAddr::from(address)), operator: None }
    }

    fn drawn(found: &[Seen], apart: &[Seen]) -> BTreeMap<DeviceId, usize> {
        let mut drawn = BTreeMap::new();
        for random in 0..12_000 {
            if let Some(device) = pick(found, apart, random) {
                *drawn.entry(device).or_default() += 1;
            }
        }
        drawn
    }

    #[test]
    fn nobody_judges_itself_or_its_neighbours() {
        let farmer = seen(1, [203, 0, 113, 5]);
        let neighbour = seen(2, [203, 0, 113, 77]);
        let stranger = seen(3, [198, 51, 100, 1]);
        let found = [farmer.clone(), neighbour, stranger.clone()];
        assert_eq!(
            drawn(&found, std::slice::from_ref(&farmer)).into_keys().collect::<Vec<_>>(),
            [stranger.device]
        );
        assert_eq!(pick(&found[..2], std::slice::from_ref(&farmer), 5), None);
        assert_eq!(pick(&[], &[farmer], 5), None);
    }

    #[test]
    fn many_auditors_of_one_hand_are_drawn_as_often_as_one() {
        let mut found: Vec<Seen> = (10..210).map(|number| seen(number, [203, 0, 113, number])).collect();
        found.push(seen(1, [198, 51, 100, 1]));
        found.push(seen(2, [192, 0, 2, 1]));
        let drawn = drawn(&found, &[]);
        assert_eq!((drawn[&DeviceId([1; 32])], drawn[&DeviceId([2; 32])]), (4000, 4000));
        assert_eq!(drawn.len(), 202, "each of the crowd is drawn now and then");
    }

    #[test]
    fn an_announced_operator_ties_auditors_to_a_farmer() {
        let by = |mut seen: Seen| {
            seen.operator = Some("one hand".into());
            seen
        };
        let farmer = by(seen(1, [203, 0, 113, 5]));
        assert_eq!(pick(&[by(seen(2, [198, 51, 100, 1]))], &[farmer], 0), None);
    }
}
