//! Farmers that keep nothing themselves and fetch from others when they are asked: each shard is sealed under a key and an id of
//! its own, so that what another farmer has, even of the very same column, proves nothing. Reads are for owners' devices
//! alone, which the farmer's tests show.

use std::{collections::BTreeSet, sync::Arc};

use super::*;
use crate::{
    content::{CodedSegment, Coder, Coding, ShardSealer},
    manifest::SecretKey,
};

fn segment() -> Arc<CodedSegment> {
    let coder = Coder::new(Coding::new(2, 4).unwrap());
    Arc::new(coder.encode(plain("borrowing", 6 * BLOCK)).unwrap())
}

/// A column as it is sealed and tagged for one farmer.
fn sealed(segment: &Arc<CodedSegment>, column: u8, outer: &SecretKey, seed: &str, key: &AuditKey) -> Kept {
    let sealer = ShardSealer::new(segment.clone(), column, outer, &mut rng(seed));
    let mut bytes = Vec::new();
    (0..segment.layout().stripes()).for_each(|cell| sealer.seal_cell(cell, &mut bytes));
    let tags = Tagger::new(key).tag_shard(sealer.id(), &bytes);
    let tag_key = Some(key.verifier_key().id());
    Kept { entry: ShardEntry { id: sealer.id(), bytes: bytes.len() as u64, tag_key }, bytes, tags }
}

#[test]
fn what_another_farmer_has_of_the_very_same_column_proves_nothing() {
    let (segment, outer, key) = (segment(), SecretKey::random(&mut rng("outer")), audit_key(1));
    let mine = sealed(&segment, 0, &outer, "mine", &key);
    for column in 0..4 {
        let other = sealed(&segment, column, &outer, "another farmer's", &key);
        let world = World::with(vec![mine.clone()], std::slice::from_ref(&key));
        for (bytes, tags) in [
            (other.bytes.clone(), mine.tags.clone()),
            (mine.bytes.clone(), other.tags.clone()),
            (other.bytes.clone(), other.tags.clone()),
        ] {
            let borrowing = Kept { entry: mine.entry.clone(), bytes, tags };
            let borrowed = World { shards: vec![borrowing], ..world.clone() };
            let finding = world.judge(&borrowed.receipt(&world.transcript())).unwrap();
            assert_eq!(finding.outcome, Err(Failure::Proof(ProofError::DoesNotFit)), "column {column}");
        }
        let finding = world.judge(&world.receipt(&world.transcript())).unwrap();
        assert_eq!(finding.outcome, Ok(()), "the farmer that keeps its own");
    }
}

#[test]
fn no_two_farmers_of_a_segment_share_a_block_or_a_tag() {
    let (segment, outer, key) = (segment(), SecretKey::random(&mut rng("outer")), audit_key(1));
    let shards = (0..8).map(|farmer| sealed(&segment, farmer % 4, &outer, &format!("{farmer}"), &key));
    let shards: Vec<Kept> = shards.collect();
    let blocks: Vec<&[u8]> = shards.iter().flat_map(|shard| shard.bytes.chunks(BLOCK)).collect();
    assert_eq!(blocks.iter().collect::<BTreeSet<_>>().len(), blocks.len());
    let tags: Vec<[u8; 48]> = shards.iter().flat_map(|shard| &shard.tags).map(|tag| tag.0).collect();
    assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), tags.len());
}
