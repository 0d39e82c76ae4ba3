//! Which blocks a challenge asks.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{transcript::Stream, *};
use crate::contract::shard_root;

fn entries(counts: &[u64]) -> Vec<ShardEntry> {
    let entry = |(i, &blocks): (usize, &u64)| ShardEntry {
        id: shard_id(&format!("entry {i}")),
        bytes: blocks * BLOCK as u64,
        tag_key: Some([7; 32]),
    };
    let mut entries: Vec<_> = counts.iter().enumerate().map(entry).collect();
    entries.sort_by_key(|entry| entry.id);
    entries
}

fn transcript(entries: &[ShardEntry]) -> Transcript {
    Transcript { root: shard_root(entries), ..World::new(&[1]).transcript() }
}

/// The challenged blocks under the one tag key.
fn asked(transcript: &Transcript, entries: &[ShardEntry]) -> Vec<(ShardId, u64)> {
    let challenge = Challenge::expand(transcript, entries).unwrap();
    assert_eq!(challenge.parts().len(), 1);
    challenge.parts()[0].blocks().iter().map(|block| (block.shard, block.index)).collect()
}

#[test]
fn fewer_blocks_than_asked_are_all_taken_once() {
    let entries = entries(&[3, 1, 5]);
    let asked = asked(&transcript(&entries), &entries);
    assert_eq!(asked.len(), 9);
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 9);
}

#[test]
fn as_many_blocks_as_asked_are_taken_and_at_most_one_more_of_each_touched_shard() {
    let entries = entries(&[100; 60]);
    let transcript = transcript(&entries);
    let spot = Transcript {
        scope: Scope::Shards(entries.iter().map(|entry| entry.id).collect()),
        ..transcript.clone()
    };
    assert_eq!(asked(&spot, &entries).len(), 460);
    assert!((460..=460 + 15).contains(&asked(&transcript, &entries).len()));
}

#[test]
fn every_shard_is_touched_within_any_thirty_epochs_while_others_come_and_go() {
    let entries = entries(&[100; 60]);
    let base = Transcript { blocks: 1, ..transcript(&entries) };
    for from in [0, 17] {
        let mut touched = BTreeSet::new();
        for epoch in from..from + TURNS {
            let some: Vec<_> =
                (0..60).filter(|i| i % 3 != epoch % 2 + 1).map(|i| entries[i as usize].clone()).collect();
            let root = shard_root(&some);
            let beacon = Beacon::Ledger { sequence: epoch, hash: [epoch as u8; 32] };
            let transcript = Transcript { root, epoch: Epoch(epoch), beacon, ..base.clone() };
            touched.extend(asked(&transcript, &some).into_iter().map(|(shard, _)| shard));
        }
        assert!(entries.iter().step_by(3).all(|entry| touched.contains(&entry.id)));
    }
}

#[test]
fn the_beacon_permutes_the_order_and_chooses_the_blocks() {
    let entries = entries(&[1000; 60]);
    let base = Transcript { blocks: 1, ..transcript(&entries) };
    let beacon = Beacon::Ledger { sequence: 9, hash: [9; 32] };
    let shards = |transcript: &Transcript| -> BTreeSet<_> {
        asked(transcript, &entries).into_iter().map(|(shard, _)| shard).collect()
    };
    let other_order = Transcript { order: beacon.clone(), ..base.clone() };
    assert_ne!(shards(&base), shards(&other_order));
    let other_beacon = Transcript { beacon, ..base.clone() };
    assert_ne!(asked(&base, &entries), asked(&other_beacon, &entries));
}

#[test]
fn zero_blocks_a_million_blocks_and_too_many_shards_are_refused() {
    let entries = entries(&[3]);
    for found in [0, MAX_BLOCKS_ASKED + 1, u16::MAX] {
        let transcript = Transcript { blocks: found, ..transcript(&entries) };
        assert_eq!(Challenge::expand(&transcript, &entries), Err(ChallengeError::BadCount { found }));
    }
    let found = MAX_SHARDS + 1;
    let many = vec![entries[0].clone(); found];
    let refused = Challenge::expand(&transcript(&entries), &many);
    assert_eq!(refused, Err(ChallengeError::TooManyShards { found }));
}

#[test]
fn a_contract_without_tagged_blocks_has_no_challenge_rather_than_an_empty_one() {
    let mut entries = entries(&[3, 4]);
    entries.iter_mut().for_each(|entry| entry.tag_key = None);
    for entries in [&entries[..], &[]] {
        assert_eq!(Challenge::expand(&transcript(entries), entries), Err(ChallengeError::NothingTagged));
    }
}

#[test]
fn an_untagged_shard_is_left_out_and_the_others_are_asked() {
    let mut entries = entries(&[3, 4]);
    entries[0].tag_key = None;
    let asked = asked(&transcript(&entries), &entries);
    assert!(asked.iter().all(|(shard, _)| *shard == entries[1].id));
    assert_eq!(asked.len() as u64, S.blocks(entries[1].bytes));
}

#[test]
fn lists_out_of_order_and_empty_shards_are_refused() {
    let good = entries(&[3, 4]);
    let swapped = vec![good[1].clone(), good[0].clone()];
    let twice = vec![good[0].clone(), good[0].clone()];
    for bad in [swapped, twice] {
        assert_eq!(Challenge::expand(&transcript(&bad), &bad), Err(ChallengeError::OutOfOrder));
    }
    let mut empty = good.clone();
    empty[0].bytes = 0;
    let refused = Challenge::expand(&transcript(&empty), &empty);
    assert_eq!(refused, Err(ChallengeError::BadShardSize(empty[0].id)));
}

#[test]
fn more_tag_keys_than_allowed_are_refused() {
    let mut entries = entries(&[1; MAX_TAG_KEYS + 1]);
    for (i, entry) in entries.iter_mut().enumerate() {
        entry.tag_key = Some([i as u8; 32]);
    }
    assert_eq!(Challenge::expand(&transcript(&entries), &entries), Err(ChallengeError::TooManyKeys));
    entries.pop();
    assert_eq!(Challenge::expand(&transcript(&entries), &entries).unwrap().parts().len(), MAX_TAG_KEYS);
}

#[test]
fn an_audit_on_demand_asks_the_named_shards_alone_and_never_stands_for_an_epoch() {
    let entries = entries(&[3, 4, 5]);
    let spot = |ids: Vec<ShardId>| Transcript { scope: Scope::Shards(ids), ..transcript(&entries) };
    let named = spot(vec![entries[1].id]);
    assert!(asked(&named, &entries).iter().all(|(shard, _)| *shard == entries[1].id));
    assert!(!named.stands_for_epoch());
    assert!(transcript(&entries).stands_for_epoch());
    assert!(!Transcript { blocks: 459, ..transcript(&entries) }.stands_for_epoch());
    let stranger = shard_id("stranger");
    let refused = Challenge::expand(&spot(vec![stranger]), &entries);
    assert_eq!(refused, Err(ChallengeError::NoSuchShard(stranger)));
    let refused = Challenge::expand(&spot(vec![entries[1].id, entries[0].id]), &entries);
    assert_eq!(refused, Err(ChallengeError::OutOfOrder));
    assert_eq!(Challenge::expand(&spot(vec![]), &entries), Err(ChallengeError::NothingTagged));
    let found = MAX_SHARDS_NAMED + 1;
    let refused = Challenge::expand(&spot(vec![stranger; found]), &entries);
    assert_eq!(refused, Err(ChallengeError::TooManyShards { found }));
}

#[test]
fn draws_have_no_modulo_bias() {
    let mut stream = Stream::new(&[1; 32], "test", &[]);
    let mut counts = [0_u32; 5];
    for _ in 0..50_000 {
        counts[stream.below(5) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    // Of numbers below 3 · 2^62, a remainder of 64 bits would put half into the first third.
    let third = (0..30_000).filter(|_| stream.below(3 << 62) < 1 << 62).count();
    assert!((9_600..10_400).contains(&third), "{third}");
    assert_eq!(stream.below(1), 0);
}

#[test]
fn streams_with_different_labels_or_shards_are_different() {
    let draw = |label, extra: &[u8]| Stream::new(&[1; 32], label, extra).coefficient();
    let draws = [draw("blocks", &[]), draw("coefficients", &[]), draw("touch", &[1]), draw("touch", &[2])];
    assert_eq!(draws.iter().collect::<BTreeSet<_>>().len(), draws.len());
}

#[test]
fn the_odds_of_catching_a_loss_are_those_of_the_design() {
    for (lost, expected) in [(10, 0.37), (100, 0.99)] {
        let entries = entries(&[10_000]);
        let base = transcript(&entries);
        let caught = (0..300_u64).filter(|&round| {
            let beacon = Beacon::Ledger { sequence: round, hash: [0; 32] };
            let transcript = Transcript { beacon, ..base.clone() };
            asked(&transcript, &entries).iter().any(|(_, index)| *index < lost)
        });
        let share = caught.count() as f64 / 300.0;
        assert!((share - expected).abs() < 0.09, "{share} instead of {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_challenge_asks_different_blocks_that_are_there_in_order(
        counts in prop::collection::vec(1_u64..2000, 1..20),
        blocks in 1..=MAX_BLOCKS_ASKED,
        epoch in any::<u64>(),
    ) {
        let entries = entries(&counts);
        let transcript = Transcript { blocks, epoch: Epoch(epoch), ..transcript(&entries) };
        let asked = asked(&transcript, &entries);
        prop_assert!(asked.is_sorted_by(|left, right| left < right));
        let all: u64 = counts.iter().sum();
        prop_assert!(asked.len() as u64 >= all.min(blocks.into()));
        prop_assert!(asked.len() as u64 <= all.min(u64::from(blocks) + counts.len() as u64));
        for (shard, index) in asked {
            let entry = entries.iter().find(|entry| entry.id == shard).unwrap();
            prop_assert!(index < S.blocks(entry.bytes));
        }
    }
}
