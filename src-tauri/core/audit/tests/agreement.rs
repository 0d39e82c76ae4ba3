//! The implementation and the reference say the same.

use proptest::prelude::*;

use super::{
    reference::{Fields, Question, Reference, Shard},
    *,
};

fn reference(number: u8) -> Reference {
    Reference::new(&[number; 32], S.count())
}

fn fields(transcript: &Transcript) -> Fields {
    let ledger = |beacon: &Beacon| match beacon {
        Beacon::Ledger { sequence, hash } => (*sequence, *hash),
        Beacon::Revealed { .. } => panic!("a ledger"),
    };
    Fields {
        network: transcript.network.to_string(),
        contract: transcript.contract.0,
        revision: transcript.revision,
        root: transcript.root,
        farmer: transcript.farmer.0,
        epoch: transcript.epoch.0,
        beacon: ledger(&transcript.beacon),
        order: ledger(&transcript.order),
        sectors: transcript.sectors.into(),
        blocks: transcript.blocks,
    }
}

pub(super) fn questions(transcript: &Transcript, entries: &[ShardEntry]) -> Vec<Question> {
    let shard = |entry: &ShardEntry| Shard { id: entry.id.0, bytes: entry.bytes, tag_key: entry.tag_key };
    reference::challenge(&fields(transcript), &entries.iter().map(shard).collect::<Vec<_>>())
}

/// A part of ours in the reference's terms.
fn question(part: &Part) -> Question {
    let blocks = part.blocks().iter().map(|block| (block.shard.0, block.index, block.coefficient));
    let r = bls12_381::Scalar::from_bytes(&part.r.to_bytes_le()).unwrap();
    Question { tag_key: part.tag_key(), blocks: blocks.collect(), r }
}

#[test]
fn keys_are_the_same() {
    for number in 0..3 {
        let (ours, theirs) = (audit_key(number), reference(number));
        assert_eq!(ours.verifier_key().encode(), theirs.verifier_key());
        assert_eq!(ours.verifier_key().id(), theirs.key_id());
        assert_eq!(ours.prover_key().encode(), theirs.prover_key());
        assert!(ProverKey::decode(&theirs.prover_key(), &mut rng("keys")).is_ok());
    }
}

#[test]
fn seeds_are_the_same() {
    let world = World::new(&[100]);
    let transcript = world.transcript();
    assert_eq!(transcript.seed(), reference::seed(&fields(&transcript)));
}

fn check_all(world: &World, transcript: &Transcript, references: &[Reference]) {
    let challenge = world.challenge(transcript);
    let expected = questions(transcript, &world.entries());
    assert_eq!(challenge.parts().iter().map(question).collect::<Vec<_>>(), expected);
    for (part, question) in challenge.parts().iter().zip(&expected) {
        let theirs = references.iter().find(|key| key.key_id() == part.tag_key()).unwrap();
        let blocks = part.blocks().iter().zip(&question.blocks).map(|(block, asked)| {
            let bytes = &world.kept(&block.shard).bytes;
            (*asked, &bytes[block.range.start as usize..block.range.end as usize])
        });
        let by_reference = theirs.prove(&blocks.collect::<Vec<_>>(), question.r);
        let by_us = world.prove_part(part);
        assert_eq!(by_us.0.as_slice(), by_reference);
        assert!(reference::verify(&theirs.verifier_key(), question, &by_us.0));
        let key = world.verifiers.iter().find(|key| key.id() == part.tag_key()).unwrap();
        assert_eq!(verify(key, part, &by_us), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn tags_are_the_same_for_any_bytes_in_any_pieces(
        shard in prop::collection::vec(any::<u8>(), 1..4 * BLOCK),
        id in any::<[u8; 32]>(),
        number in any::<u8>(),
        piece in 1_usize..2 * BLOCK,
    ) {
        let tagger = Tagger::new(&audit_key(number));
        let mut pieces = tagger.shard(ShardId(id));
        shard.chunks(piece).for_each(|bytes| pieces.push(bytes));
        let ours: Vec<_> = pieces.finish().into_iter().map(|Tag(bytes)| bytes).collect();
        prop_assert_eq!(ours, reference(number).tags(&id, &shard));
    }

    #[test]
    fn challenges_and_proofs_are_the_same(
        lengths in prop::collection::vec(1_usize..4 * BLOCK, 1..6),
        second_from in 0_usize..6,
        blocks in 1_u16..25,
        epoch in any::<u64>(),
        sequence in any::<u64>(),
        beacon in any::<[u8; 32]>(),
    ) {
        let keys = [audit_key(1), audit_key(2)];
        let shard = |(i, &len): (usize, &usize)| kept(&format!("shard {i}"), len, &keys[usize::from(i >= second_from)]);
        let world = World::with(lengths.iter().enumerate().map(shard).collect(), &keys);
        let beacon = Beacon::Ledger { sequence, hash: beacon };
        let transcript = Transcript { blocks, epoch: Epoch(epoch), beacon, ..world.transcript() };
        check_all(&world, &transcript, &[reference(1), reference(2)]);
    }

    #[test]
    fn a_proof_with_any_bit_flipped_is_refused_by_both(bit in 0_usize..8 * Proof::BYTES) {
        let world = World::new(&[3 * BLOCK, 70]);
        let challenge = world.challenge(&world.transcript());
        let part = &challenge.parts()[0];
        let mut proof = world.prove_part(part);
        proof.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify(&world.verifiers[0], part, &proof).is_err());
        prop_assert!(!reference::verify(world.verifiers[0].encode(), &question(part), &proof.0));
    }
}

#[test]
fn bytes_and_coefficients_at_their_extremes_do_not_overflow() {
    let (ours, theirs) = (audit_key(1), reference(1));
    for byte in [0, 1, 0xff] {
        let shard = vec![byte; 3 * BLOCK];
        let tags = Tagger::new(&ours).tag_shard(ShardId([byte; 32]), &shard);
        assert_eq!(tags.iter().map(|tag| tag.0).collect::<Vec<_>>(), theirs.tags(&[byte; 32], &shard));
    }
    let mut sums = vec![wide::Combination::ZERO; 16];
    for _ in 0..1000 {
        wide::combine_block(&mut sums, u128::MAX, &[0xff; BLOCK]);
    }
    let mut single = wide::Combination::ZERO;
    single.add_product(&wide::coefficient_limbs(u128::MAX), &[u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 8]);
    for sum in &sums {
        assert_eq!(sum.reduce(), single.reduce() * blstrs::Scalar::from(1000));
    }
}

#[test]
fn blocks_of_the_default_size_agree_too() {
    let (ours, theirs) = (
        AuditKey::derive(&AuditRoot::from_bytes(&[1; 32]), Sectors::DEFAULT),
        Reference::new(&[1; 32], 2048),
    );
    let shard = plain("long", Sectors::DEFAULT.block_bytes() + 1000);
    let tags = Tagger::new(&ours).tag_shard(ShardId([4; 32]), &shard);
    assert_eq!(tags.iter().map(|tag| tag.0).collect::<Vec<_>>(), theirs.tags(&[4; 32], &shard));
    let key = ProverKey::decode(&ours.prover_key().encode(), &mut rng("long")).unwrap();
    let shard = TaggedShard { id: ShardId([4; 32]), bytes: &shard, tags: &tags };
    assert_eq!(check_tags(&key, &[shard], &mut rng("long")), Ok(()));
}
