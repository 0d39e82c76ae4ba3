use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::presets::{self, Preset};

const SHARD: u64 = 1000;

fn device(number: u32) -> DeviceId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    DeviceId(id)
}

fn candidate(number: u32, address: Option<&str>, operator: Option<&str>) -> Candidate {
    let address = address.map(|address| address.parse().unwrap());
    Candidate {
        seen: Seen { device: device(number), address, operator: operator.map(str::to_owned) },
        sources: BTreeSet::new(),
        free_bytes: SHARD,
        storage_price: Amount(0),
        accepting: true,
        demerits: 0,
        latency_ms: None,
    }
}

fn rule(n: u8, group_limit: u8) -> Rule {
    Rule { n, group_limit, shard_bytes: SHARD }
}

fn choose(candidates: &[Candidate], rule: Rule) -> Result<Plan, PlacementError> {
    plan(candidates, rule, &mut StdRng::seed_from_u64(1))
}

/// Groups by the definition alone: labels in common, followed to the end.
fn naive_groups(candidates: &[Candidate]) -> BTreeMap<DeviceId, usize> {
    let linked = |a: &Candidate, b: &Candidate| {
        let subnet = |c: &Candidate| Subnet::observed(c.seen.device, c.seen.address);
        subnet(a) == subnet(b) || (a.seen.operator.is_some() && a.seen.operator == b.seen.operator)
    };
    let mut group: Vec<usize> = (0..candidates.len()).collect();
    for _ in 0..candidates.len() {
        for a in 0..candidates.len() {
            for b in 0..candidates.len() {
                if linked(&candidates[a], &candidates[b]) {
                    group[a] = group[a].min(group[b]);
                }
            }
        }
    }
    candidates.iter().zip(group).map(|(candidate, group)| (candidate.seen.device, group)).collect()
}

fn check_limits(plan: &Plan, candidates: &[Candidate], rule: Rule) {
    let farmers: Vec<DeviceId> = plan.farmers().collect();
    let distinct: BTreeSet<&DeviceId> = farmers.iter().collect();
    assert_eq!((farmers.len(), distinct.len()), (rule.n.into(), rule.n.into()));
    let groups = naive_groups(candidates);
    let mut held: BTreeMap<usize, u8> = BTreeMap::new();
    let mut from_one: BTreeMap<u32, usize> = BTreeMap::new();
    for farmer in &farmers {
        let candidate = candidates.iter().find(|candidate| candidate.seen.device == *farmer).unwrap();
        assert!(candidate.accepting && candidate.free_bytes >= rule.shard_bytes);
        *held.entry(groups[farmer]).or_default() += 1;
        if let (1, Some(source)) = (candidate.sources.len(), candidate.sources.first()) {
            *from_one.entry(*source).or_default() += 1;
        }
    }
    assert!(held.values().all(|&count| count <= rule.group_limit), "{held:?}");
    if !plan.one_source() {
        assert!(from_one.values().all(|&count| count <= rule.source_limit()), "{from_one:?}");
    }
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let address = prop_oneof![
        Just(None),
        (0u8..6, any::<u8>()).prop_map(|(net, host)| Some(IpAddr::from([5, 5, net, host]))),
        any::<u8>().prop_map(|host| Some(IpAddr::from([127, 0, 0, host]))),
    ];
    let operator = prop_oneof![3 => Just(None), 1 => (0u8..5).prop_map(|name| Some(format!("op{name}")))];
    let sources = prop::collection::btree_set(0u32..6, 0..3);
    let one = (address, operator, sources, 900u64..3000, 0u64..3, any::<[bool; 4]>(), 0u32..3);
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let build =
            |(number, (address, operator, sources, free_bytes, price, refuses, demerits))| Candidate {
                seen: Seen { device: device(number), address, operator },
                sources,
                free_bytes,
                storage_price: Amount(price),
                accepting: refuses != [true; 4],
                demerits,
                latency_ms: None,
            };
        (0u32..).zip(all).map(build).collect()
    })
}

proptest! {
    #[test]
    fn no_limit_is_ever_exceeded_at_first_or_by_replacements(
        candidates in any_candidates(),
        (n, k) in (1u8..20).prop_flat_map(|n| (Just(n), 1..=n)),
        failures in prop::collection::vec(any::<u8>(), 0..30),
        seed: u64,
    ) {
        let rule = rule(n, (n - k).max(1));
        if let Ok(mut plan) = plan(&candidates, rule, &mut StdRng::seed_from_u64(seed)) {
            check_limits(&plan, &candidates, rule);
            let mut given_up = BTreeSet::new();
            for failure in failures {
                let column = failure % n;
                let before = plan.farmers().nth(column.into()).unwrap();
                if let Some(farmer) = plan.replace(column) {
                    given_up.insert(before);
                    prop_assert_eq!(plan.farmers().nth(column.into()), Some(farmer));
                    prop_assert!(!given_up.contains(&farmer), "a farmer that was given up came back");
                }
                check_limits(&plan, &candidates, rule);
            }
        }
    }

    #[test]
    fn groups_are_those_of_the_definition(candidates in any_candidates()) {
        let seen: Vec<&Seen> = candidates.iter().map(|candidate| &candidate.seen).collect();
        let found = failure_groups(&seen);
        let naive = naive_groups(&candidates);
        for (a, one) in candidates.iter().enumerate() {
            for (b, other) in candidates.iter().enumerate() {
                prop_assert_eq!(found[a] == found[b], naive[&one.seen.device] == naive[&other.seen.device]);
            }
        }
    }

    #[test]
    fn every_preset_can_be_placed_on_the_farmers_it_was_chosen_for(sizes in prop::collection::vec(1usize..15, 1..12)) {
        let names: Vec<String> = (0..sizes.len()).map(|group| format!("group {group}")).collect();
        let farmers = sizes.iter().zip(&names).flat_map(|(&size, name)| std::iter::repeat_n(name, size));
        let candidates: Vec<_> = (0u32..).zip(farmers).map(|(i, name)| candidate(i, None, Some(name))).collect();
        for preset in [Preset::Economy, Preset::Standard, Preset::Safe] {
            let choice = presets::choose(preset, &group_sizes(&candidates, SHARD)).unwrap();
            let (k, n) = (choice.coding.k(), choice.coding.n());
            let plan = choose(&candidates, rule(n, choice.group_limit)).unwrap();
            check_limits(&plan, &candidates, rule(n, if sizes.len() > 1 { n - k } else { n }));
        }
    }

    #[test]
    fn plan_is_found_whenever_the_groups_could_hold_it(candidates in any_candidates(), n in 1u8..12, limit in 1u8..5) {
        let rule = rule(n, limit);
        let groups = naive_groups(&candidates);
        let mut held: BTreeMap<usize, usize> = BTreeMap::new();
        for candidate in candidates.iter().filter(|c| c.accepting && c.free_bytes >= SHARD) {
            *held.entry(groups[&candidate.seen.device]).or_default() += 1;
        }
        let possible: usize = held.values().map(|&count| count.min(limit.into())).sum();
        prop_assert_eq!(choose(&candidates, rule).is_ok(), possible >= n.into());
    }
}

#[test]
fn twelve_farmers_in_four_declared_groups_hold_three_shards_each_group() {
    let names = ["north", "east", "south", "west"];
    let candidates: Vec<_> =
        (0..12).map(|i| candidate(i, Some("127.0.0.1"), Some(names[i as usize % 4]))).collect();
    let plan = choose(&candidates, rule(12, 8)).unwrap();
    check_limits(&plan, &candidates, rule(12, 3));
    let part = choose(&candidates, rule(8, 4)).unwrap();
    check_limits(&part, &candidates, rule(8, 2));
}

#[test]
fn group_sizes_count_farmers_with_room_alone() {
    let mut candidates: Vec<_> =
        (0..5).map(|i| candidate(i, None, [Some("a"), Some("b")][i as usize % 2])).collect();
    assert_eq!(group_sizes(&candidates, SHARD), [3, 2]);
    candidates[0].accepting = false;
    candidates[2].free_bytes = SHARD - 1;
    assert_eq!(group_sizes(&candidates, SHARD), [2, 1]);
    assert_eq!(group_sizes(&candidates, SHARD + 1), [0usize; 0]);
}

#[test]
fn farmers_of_one_subnet_are_one_group_whatever_they_announce() {
    let seen = |number, address, operator| candidate(number, address, operator).seen;
    let farmers = [
        seen(0, Some("5.5.5.1"), Some("one")),
        seen(1, Some("5.5.5.250"), Some("two")),
        seen(2, Some("5.5.6.1"), None),
        seen(3, Some("::ffff:5.5.6.9"), None),
        seen(4, Some("2a00:1:2:3::1"), None),
        seen(5, Some("2a00:1:2:ffff::1"), None),
        seen(6, Some("2a00:1:3::1"), Some(" TWO ")),
        seen(7, None, Some("")),
        seen(8, None, Some(" ")),
    ];
    assert_eq!(failure_groups(&farmers.iter().collect::<Vec<_>>()), [0, 0, 1, 1, 2, 2, 0, 3, 4]);
}

#[test]
fn addresses_that_are_not_public_make_each_device_a_group() {
    let private = [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ];
    for address in private {
        let shown = Subnet::observed(device(7), Some(address.parse().unwrap()));
        assert_eq!(shown, Subnet::Device(device(7)), "{address}");
    }
    assert_eq!(Subnet::observed(device(7), None), Subnet::Device(device(7)));
    assert_eq!(Subnet::observed(device(7), Some("172.32.0.1".parse().unwrap())), Subnet::V4([172, 32, 0]));
    assert_eq!(Subnet::observed(device(7), Some("100.128.0.1".parse().unwrap())), Subnet::V4([100, 128, 0]));
}

#[test]
fn a_subnet_is_named_by_what_all_its_addresses_share() {
    let named = |address: &str| Subnet::observed(device(7), Some(address.parse().unwrap())).to_string();
    assert_eq!(named("8.8.4.4"), "8.8.4.0/24");
    assert_eq!(named("::ffff:8.8.4.200"), "8.8.4.0/24", "a mapped address is the same");
    assert_eq!(named("2a00:1:2:3::4"), "2a00:1:2::/48");
    assert_eq!(named("127.0.0.1"), device(7).to_string());
}

#[test]
fn source_that_names_a_hundred_farmers_supplies_a_third_at_most() {
    let mut candidates: Vec<_> = (0..130).map(|i| candidate(i, None, None)).collect();
    for (i, candidate) in candidates.iter_mut().enumerate() {
        let source = if i < 100 { 0 } else { 1 + i as u32 % 3 };
        candidate.sources = [source].into();
        candidate.storage_price = Amount(u64::from(source != 0));
    }
    let mut plan = choose(&candidates, rule(12, 8)).unwrap();
    assert!(!plan.one_source());
    check_limits(&plan, &candidates, rule(12, 8));
    for column in 0..12 {
        plan.replace(column).unwrap();
        check_limits(&plan, &candidates, rule(12, 8));
    }
    assert!(!plan.one_source());
}

#[test]
fn one_source_is_used_beyond_its_third_only_for_want_of_others_and_told() {
    let mut candidates: Vec<_> = (0..9).map(|i| candidate(i, None, None)).collect();
    candidates.iter_mut().for_each(|candidate| candidate.sources = [5].into());
    let plan = choose(&candidates, rule(9, 6)).unwrap();
    assert!(plan.one_source());
    check_limits(&plan, &candidates, rule(9, 6));
}

#[test]
fn farmer_named_by_two_sources_counts_for_the_one_with_room() {
    let mut candidates: Vec<_> = (0..3).map(|i| candidate(i, None, None)).collect();
    candidates[0].sources = [1].into();
    candidates[1].sources = [1, 2].into();
    candidates[2].sources = [2, 3].into();
    assert!(!choose(&candidates, rule(3, 2)).unwrap().one_source());
    candidates[2].sources = [1].into();
    assert!(choose(&candidates, rule(3, 2)).unwrap().one_source());
}

#[test]
fn blamed_dear_and_distant_farmers_come_last_in_that_order() {
    let mut candidates: Vec<_> = (0..4).map(|i| candidate(i, None, None)).collect();
    candidates[0].demerits = 1;
    candidates[1].storage_price = Amount(9);
    candidates[2].latency_ms = Some(900);
    candidates[3].latency_ms = Some(5);
    let mut plan = choose(&candidates, rule(1, 1)).unwrap();
    assert_eq!(plan.farmers().next(), Some(device(3)));
    assert_eq!(plan.spares().collect::<Vec<_>>(), [device(2), device(1), device(0)]);
    assert_eq!([plan.replace(0), plan.replace(0)], [Some(device(2)), Some(device(1))]);
    assert_eq!([plan.replace(0), plan.replace(0)], [Some(device(0)), None]);
    assert_eq!(plan.farmers().next(), Some(device(0)));
}

#[test]
fn ties_are_broken_by_the_randomness_given() {
    let candidates: Vec<_> = (0..50).map(|i| candidate(i, None, None)).collect();
    let first =
        |seed| plan(&candidates, rule(1, 1), &mut StdRng::seed_from_u64(seed)).unwrap().farmers().next();
    assert_eq!(first(1), first(1));
    assert!((0..20).map(first).collect::<BTreeSet<_>>().len() > 5);
}

#[test]
fn candidate_named_twice_gets_one_shard() {
    let candidates = vec![candidate(0, None, None), candidate(0, None, None), candidate(1, None, None)];
    let farmers: BTreeSet<_> = choose(&candidates, rule(2, 1)).unwrap().farmers().collect();
    assert_eq!(farmers.len(), 2);
    let error = PlacementError::TooFewFarmers { needed: 3, usable: 2, full: 0, not_accepting: 0 };
    assert_eq!(choose(&candidates, rule(3, 2)).unwrap_err(), error);
}

#[test]
fn what_is_missing_is_told() {
    let mut candidates: Vec<_> = (0..6).map(|i| candidate(i, Some("5.5.5.5"), None)).collect();
    let error = PlacementError::TooFewGroups { needed: 5, possible: 2, groups: 1 };
    assert_eq!(choose(&candidates, rule(5, 2)).unwrap_err(), error);
    candidates[0].accepting = false;
    candidates[1].free_bytes = SHARD - 1;
    candidates[2].free_bytes = SHARD - 1;
    let error = PlacementError::TooFewFarmers { needed: 5, usable: 3, full: 2, not_accepting: 1 };
    assert_eq!(choose(&candidates, rule(5, 5)).unwrap_err(), error);
    assert_eq!(choose(&candidates, rule(0, 1)).unwrap_err(), PlacementError::BadRule);
    assert_eq!(choose(&candidates, rule(1, 0)).unwrap_err(), PlacementError::BadRule);
}

#[test]
fn a_second_farmer_beside_the_first_keeps_the_limits_and_only_one_of_them_stays() {
    let farmers: Vec<_> = (0..5).map(|number| candidate(number, None, None)).collect();
    let mut plan = choose(&farmers, rule(3, 1)).unwrap();
    let first: Vec<_> = plan.farmers().collect();
    let second = plan.second(1).unwrap();
    assert!(!first.contains(&second));
    plan.settle(1, first[1]);
    assert_eq!(plan.farmers().collect::<Vec<_>>(), first);
    assert_eq!(plan.spares().len(), 2, "a second that was not needed is a spare again");

    let second = plan.second(1).unwrap();
    plan.settle(1, second);
    assert_eq!(plan.farmers().nth(1), Some(second));
    assert!(plan.spares().all(|spare| spare != first[1]), "who lost its column is given up");

    let failing = plan.second(0).unwrap();
    plan.drop_second(0, failing);
    plan.settle(0, first[0]);
    assert_eq!(plan.farmers().next(), Some(first[0]));
    assert_eq!((plan.second(0), plan.spares().len()), (None, 0));
}

#[test]
fn farmers_that_keep_shards_already_get_no_other_and_their_groups_count() {
    let operator = |name: u32| Some(["a", "b", "c"][name as usize % 3]);
    let all: Vec<Candidate> = (0..9).map(|number| candidate(number, None, operator(number))).collect();
    let kept: Vec<Seen> = [0, 3, 1].iter().map(|&number: &usize| all[number].seen.clone()).collect();
    let more = plan_beside(&kept, &all, rule(6, 2), &mut StdRng::seed_from_u64(1)).unwrap();
    let chosen: BTreeSet<DeviceId> = more.farmers().collect();
    assert_eq!(chosen.len(), 3);
    assert!(kept.iter().all(|seen| !chosen.contains(&seen.device)));
    let groups = chosen.iter().map(|farmer| all.iter().find(|one| one.seen.device == *farmer).unwrap());
    let mut held: Vec<_> = groups.map(|one| one.seen.operator.clone().unwrap()).collect();
    held.sort_unstable();
    assert_eq!(held, ["b", "c", "c"], "two keep shards in group a already, and one in b");
    let refused = plan_beside(&kept, &all, rule(7, 2), &mut StdRng::seed_from_u64(1));
    assert!(
        matches!(refused, Err(PlacementError::TooFewGroups { needed: 4, possible: 3, .. })),
        "{refused:?}"
    );
    assert_eq!(
        plan_beside(&kept, &all, rule(3, 2), &mut StdRng::seed_from_u64(1)).err(),
        Some(PlacementError::BadRule),
        "nothing is missing"
    );
}
