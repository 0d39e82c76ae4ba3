//! Tags that an owner could plant to make an honest farmer fail.

use proptest::prelude::*;

use super::*;

fn check(world: &World) -> Result<(), (ShardId, TagError)> {
    let shards: Vec<_> = world
        .shards
        .iter()
        .map(|Kept { entry, bytes, tags }| TaggedShard { id: entry.id, bytes, tags })
        .collect();
    check_tags(&world.provers[0], &shards, &mut rng("check"))
}

fn world() -> World {
    World::new(&[3 * BLOCK, BLOCK + 1, 2 * BLOCK, 1])
}

/// The world's first shard of that many blocks.
fn shard(world: &mut World, blocks: usize) -> &mut Kept {
    world.shards.iter_mut().find(|shard| shard.tags.len() == blocks).unwrap()
}

fn refuse(edit: fn(&mut Kept)) {
    let mut world = world();
    let kept = shard(&mut world, 3);
    edit(kept);
    let id = kept.entry.id;
    assert_eq!(check(&world), Err((id, TagError::DoNotFit)));
}

#[test]
fn right_tags_are_taken_in_one_batch() {
    assert_eq!(check(&world()), Ok(()));
    assert_eq!(check_tags(&world().provers[0], &[], &mut rng("none")), Ok(()));
}

#[test]
fn tags_that_changed_places_are_refused_and_their_shard_named() {
    refuse(|kept| kept.tags.swap(0, 1));
}

#[test]
fn a_tag_of_other_bytes_another_shard_or_another_key_is_refused() {
    refuse(|kept| kept.tags[2] = Tagger::new(&audit_key(1)).tag_shard(kept.entry.id, &[0; 3 * BLOCK])[2]);
    refuse(|kept| kept.tags = Tagger::new(&audit_key(1)).tag_shard(shard_id("other"), &kept.bytes));
    refuse(|kept| kept.tags = Tagger::new(&audit_key(2)).tag_shard(kept.entry.id, &kept.bytes));
}

#[test]
fn a_negated_tag_is_refused() {
    refuse(|kept| kept.tags[0].0[0] ^= 0x20);
}

#[test]
fn two_wrong_tags_that_would_cancel_each_other_out_are_refused() {
    refuse(|kept| {
        let point = |tag: &Tag| blstrs::G1Projective::from_compressed(&tag.0).unwrap();
        let (first, second) = (point(&kept.tags[0]), point(&kept.tags[1]));
        let moved = point(&kept.tags[2]);
        kept.tags[0] = Tag((first + moved).to_compressed());
        kept.tags[1] = Tag((second - moved).to_compressed());
    });
}

#[test]
fn missing_and_surplus_tags_are_refused() {
    for found in [0, 2, 4] {
        let mut world = world();
        let kept = shard(&mut world, 3);
        let tag = kept.tags[0];
        kept.tags.resize(found, tag);
        let id = kept.entry.id;
        let wrong = TagError::WrongCount { expected: 3, found: found as u64 };
        assert_eq!(check(&world), Err((id, wrong)));
    }
}

#[test]
fn empty_and_overlong_blocks_and_more_than_a_batch_are_refused() {
    let world = world();
    let Kept { entry, tags, .. } = &world.shards[0];
    let mut batch = TagBatch::new(&world.provers[0]);
    for found in [0, BLOCK + 1] {
        let refused = batch.add(&entry.id, 5, &vec![0; found], &tags[0], &mut rng("length"));
        assert_eq!(refused, Err(TagError::WrongLength { index: 5, found }));
    }
    let key = AuditKey::derive(&AuditRoot::from_bytes(&[1; 32]), Sectors::MAX).prover_key();
    let block = vec![0; Sectors::MAX.block_bytes()];
    let mut batch = TagBatch::new(&key);
    let add = |index| batch.add(&entry.id, index, &block, &tags[0], &mut rng("full"));
    let (index, refused) = (0..).map(add).enumerate().find(|(_, added)| added.is_err()).unwrap();
    assert_eq!((index, refused), (MAX_BATCH_BYTES / block.len(), Err(TagError::BatchFull)));
}

#[test]
fn every_shard_with_planted_tags_among_many_is_found() {
    for wrong in 0..4 {
        let mut world = world();
        let id = world.shards[wrong].entry.id;
        world.shards[wrong].bytes[0] ^= 1;
        assert_eq!(check(&world), Err((id, TagError::DoNotFit)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_bit_flipped_in_a_block_is_noticed(bit in 0_usize..8 * 3 * BLOCK) {
        let mut world = world();
        let kept = shard(&mut world, 3);
        kept.bytes[bit / 8] ^= 1 << (bit % 8);
        let id = kept.entry.id;
        prop_assert_eq!(check(&world), Err((id, TagError::DoNotFit)));
    }

    #[test]
    fn any_bit_flipped_in_a_tag_is_noticed(bit in 0_usize..8 * Tag::BYTES) {
        let mut world = world();
        let kept = shard(&mut world, 3);
        kept.tags[1].0[bit / 8] ^= 1 << (bit % 8);
        let id = kept.entry.id;
        prop_assert_eq!(check(&world).map_err(|(shard, _)| shard), Err(id));
    }
}
