//! Proofs without the data, and proofs made from other data.

use blstrs::{G1Projective, Scalar};
use ff::Field;
use group::Group;

use super::*;

fn tag_point(tag: &Tag) -> G1Projective {
    G1Projective::from_compressed(&tag.0).unwrap()
}

/// The first 16 sectors of a block as field elements.
fn polynomial(block: &[u8]) -> Vec<Scalar> {
    let mut sums = vec![wide::Combination::ZERO; 16];
    wide::combine_block(&mut sums, 1, block);
    sums.iter().map(wide::Combination::reduce).collect()
}

fn scalar(number: u128) -> Scalar {
    let mut sum = wide::Combination::ZERO;
    sum.add_product(&wide::coefficient_limbs(number), &[1]);
    sum.reduce()
}

/// A challenge of these blocks of one shard, as large as need be.
fn part_of(world: &World, shard: &ShardId, indices: &[u64]) -> Part {
    let challenge = world.challenge(&world.transcript());
    let part = &challenge.parts()[0];
    let blocks = part.blocks().iter().filter(|block| block.shard == *shard && indices.contains(&block.index));
    Part { blocks: blocks.cloned().collect(), ..part.clone() }
}

#[test]
fn a_proof_has_128_bytes_however_many_blocks_it_answers() {
    for lengths in [&[1][..], &[50 * BLOCK, 3 * BLOCK, 7]] {
        let world = World::new(lengths);
        let proofs = world.prove(&world.transcript());
        assert_eq!(proofs.len(), 1);
        assert_eq!(proofs[0].proof.0.len(), Proof::BYTES);
    }
}

/// What a farmer's disk can do to the data.
#[test]
fn a_farmer_whose_blocks_changed_in_any_way_fails() {
    let damages: [fn(&mut World); 6] = [
        |world| world.shards[0].bytes[BLOCK] ^= 1,
        |world| world.shards[0].bytes.fill(0),
        |world| world.shards[0].bytes.rotate_left(BLOCK),
        |world| world.shards[0].tags.swap(0, 1),
        |world| world.shards[0].bytes[3 * BLOCK - 1] ^= 0x80,
        |world| {
            let bytes = std::mem::take(&mut world.shards[0].bytes);
            world.shards[0].bytes = std::mem::replace(&mut world.shards[1].bytes, bytes);
        },
    ];
    let good = World::new(&[3 * BLOCK, 3 * BLOCK]);
    let challenge = good.challenge(&good.transcript());
    let part = &challenge.parts()[0];
    assert_eq!(verify(&good.verifiers[0], part, &good.prove_part(part)), Ok(()));
    for damage in damages {
        let mut world = good.clone();
        damage(&mut world);
        let proof = world.prove_part(part);
        assert_eq!(verify(&good.verifiers[0], part, &proof), Err(ProofError::DoesNotFit));
    }
}

#[test]
fn zeros_infinity_and_nonsense_prove_nothing() {
    let world = World::new(&[1]);
    let challenge = world.challenge(&world.transcript());
    let refuse = |proof: [u8; 128], error| {
        assert_eq!(verify(&world.verifiers[0], &challenge.parts()[0], &Proof(proof)), Err(error));
    };
    refuse([0; 128], ProofError::BadSigma(PointError::NotOnCurve));
    refuse([0xff; 128], ProofError::BadSigma(PointError::NotOnCurve));
    let mut infinity = [0; 128];
    (infinity[0], infinity[80]) = (0xc0, 0xc0);
    refuse(infinity, ProofError::BadSigma(PointError::Infinity));
}

#[test]
fn y_above_the_fields_order_is_refused() {
    let world = World::new(&[BLOCK]);
    let challenge = world.challenge(&world.transcript());
    let mut proof = world.prove_part(&challenge.parts()[0]);
    let order = (-Scalar::ONE).to_bytes_le();
    let mut carry = 1_u16;
    for (byte, order) in proof.0[48..80].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let refused = verify(&world.verifiers[0], &challenge.parts()[0], &proof);
    assert_eq!((carry, refused), (0, Err(ProofError::BadValue)));
}

#[test]
fn psi_is_infinity_for_constant_data_and_then_in_one_form_alone() {
    let key = audit_key(1);
    let id = shard_id("constant");
    let bytes = vec![0; 2 * BLOCK];
    let tags = Tagger::new(&key).tag_shard(id, &bytes);
    let entry = ShardEntry { id, bytes: bytes.len() as u64, tag_key: Some(key.verifier_key().id()) };
    let world = World::with(vec![Kept { entry, bytes, tags }], &[key]);
    let challenge = world.challenge(&world.transcript());
    let part = &challenge.parts()[0];
    let mut proof = world.prove_part(part);
    assert_eq!(proof.psi(), &points::INFINITY);
    assert_eq!(verify(&world.verifiers[0], part, &proof), Ok(()));
    for (at, byte) in [(80, 0xe0), (80, 0x40), (127, 1)] {
        let before = std::mem::replace(&mut proof.0[at], byte);
        let refused = verify(&world.verifiers[0], part, &proof);
        assert_eq!(refused, Err(ProofError::BadPsi(PointError::NotOnCurve)));
        proof.0[at] = before;
    }
}

#[test]
fn a_challenge_without_blocks_is_answered_by_nothing() {
    let world = World::new(&[BLOCK]);
    let empty = part_of(&world, &world.shards[0].entry.id, &[]);
    let full = part_of(&world, &world.shards[0].entry.id, &[0]);
    let proof = world.prove_part(&full);
    assert_eq!(verify(&world.verifiers[0], &empty, &proof), Err(ProofError::Empty));
    let nothing = Prover::new(&world.provers[0], &empty).unwrap().finish();
    assert_eq!(nothing, Err(ProveError::DamagedTag { block: 0, cause: PointError::Infinity }));
}

#[test]
fn blocks_cannot_be_combined_into_a_third() {
    let world = World::new(&[3 * BLOCK]);
    let Kept { entry, bytes, tags } = &world.shards[0];
    let part = part_of(&world, &entry.id, &[2]);
    let sum: Vec<Scalar> = std::iter::zip(polynomial(&bytes[..BLOCK]), polynomial(&bytes[BLOCK..2 * BLOCK]))
        .map(|(first, second)| (first + second) * scalar(part.blocks()[0].coefficient))
        .collect();
    let sigma = (tag_point(&tags[0]) + tag_point(&tags[1])) * scalar(part.blocks()[0].coefficient);
    let forged = Proof::open(&world.provers[0], &sigma, &sum, &part.r);
    assert_eq!(verify(&world.verifiers[0], &part, &forged), Err(ProofError::DoesNotFit));
}

#[test]
fn a_lost_block_cannot_be_made_up_from_the_others_of_its_challenge() {
    let world = World::new(&[3 * BLOCK]);
    let Kept { entry, bytes, tags } = &world.shards[0];
    let part = part_of(&world, &entry.id, &[0, 1, 2]);
    let mut sum = vec![Scalar::ZERO; 16];
    let mut sigma = G1Projective::identity();
    for (block, stand_in) in part.blocks().iter().zip([0, 1, 1]) {
        let coefficient = scalar(block.coefficient);
        let bytes = &bytes[stand_in * BLOCK..][..BLOCK];
        sum.iter_mut().zip(polynomial(bytes)).for_each(|(sum, sector)| *sum += coefficient * sector);
        sigma += tag_point(&tags[stand_in]) * coefficient;
    }
    let forged = Proof::open(&world.provers[0], &sigma, &sum, &part.r);
    assert_eq!(verify(&world.verifiers[0], &part, &forged), Err(ProofError::DoesNotFit));
}

/// Not a flaw but the reason for a rule: the tags of two contents under one id differ by g1^{x(f(α) − f′(α))}, and with
/// that a third content, never tagged, passes. So a shard id is 32 fresh random bytes for each sealing.
#[test]
fn two_blocks_under_one_id_let_anyone_forge_a_third_which_is_why_ids_are_fresh() {
    let world = World::new(&[BLOCK]);
    let Kept { entry, bytes, tags } = &world.shards[0];
    let other = plain("other content", BLOCK);
    let tag_of_other = Tagger::new(&audit_key(1)).tag_shard(entry.id, &other)[0];

    let part = part_of(&world, &entry.id, &[0]);
    let (coefficient, c) = (scalar(part.blocks()[0].coefficient), Scalar::from(12345));
    let difference = tag_point(&tags[0]) - tag_point(&tag_of_other);
    let sigma = (tag_point(&tags[0]) + difference * c) * coefficient;
    let third: Vec<Scalar> = std::iter::zip(polynomial(bytes), polynomial(&other))
        .map(|(first, second)| (first + (first - second) * c) * coefficient)
        .collect();
    let forged = Proof::open(&world.provers[0], &sigma, &third, &part.r);
    assert_eq!(verify(&world.verifiers[0], &part, &forged), Ok(()));

    let fresh = Tagger::new(&audit_key(1)).tag_shard(shard_id("a fresh id"), &other)[0];
    let sigma = (tag_point(&tags[0]) + (tag_point(&tags[0]) - tag_point(&fresh)) * c) * coefficient;
    let forged = Proof::open(&world.provers[0], &sigma, &third, &part.r);
    assert_eq!(verify(&world.verifiers[0], &part, &forged), Err(ProofError::DoesNotFit));
}

#[test]
fn a_prover_refuses_blocks_that_cannot_be_those_asked_for() {
    let world = World::new(&[2 * BLOCK]);
    let Kept { entry, bytes, tags } = &world.shards[0];
    let part = part_of(&world, &entry.id, &[0, 1]);
    let prover = || Prover::new(&world.provers[0], &part).unwrap();
    let whole = BLOCK as u64;
    let short = prover().push(&bytes[1..BLOCK], &tags[0]);
    assert_eq!(short, Err(ProveError::WrongLength { expected: whole, found: whole - 1 }));
    let mut half = prover();
    half.push(&bytes[..BLOCK], &tags[0]).unwrap();
    assert_eq!(half.finish(), Err(ProveError::BlocksMissing { expected: 2, found: 1 }));
    let mut surplus = prover();
    (0..2).for_each(|i| surplus.push(&bytes[i * BLOCK..][..BLOCK], &tags[i]).unwrap());
    assert_eq!(surplus.push(&bytes[..BLOCK], &tags[0]), Err(ProveError::TooManyBlocks));
    let other = audit_key(2).prover_key();
    assert_eq!(Prover::new(&other, &part).err(), Some(ProveError::WrongKey));
    assert_eq!(verify(other.verifier(), &part, &world.prove_part(&part)), Err(ProofError::WrongKey));
}

#[test]
fn a_tag_damaged_on_disk_is_noticed_before_a_wrong_proof_leaves() {
    let world = World::new(&[2 * BLOCK]);
    let Kept { entry, bytes, tags } = &world.shards[0];
    let part = part_of(&world, &entry.id, &[0, 1]);
    let prove = |damaged: Tag| {
        let mut prover = Prover::new(&world.provers[0], &part).unwrap();
        prover.push(&bytes[..BLOCK], &damaged)?;
        prover.push(&bytes[BLOCK..], &tags[1])?;
        prover.finish()
    };
    assert!(prove(tags[0]).is_ok());
    for (name, bad, cause) in points::bad_points(&tags[0].0) {
        let with_small_part = name.contains("order");
        match prove(Tag(bad)) {
            Err(error) => assert_eq!(error, ProveError::DamagedTag { block: 0, cause }, "{name}"),
            Ok(_) => assert!(with_small_part, "{name}"),
        }
    }
}

/// Proofs under two keys; those at the places in `wrong` are spoilt.
fn batch(count: usize, wrong: &[usize]) -> Vec<usize> {
    let keys = [audit_key(1), audit_key(2)];
    let shards = vec![kept("first", 2 * BLOCK, &keys[0]), kept("second", 3 * BLOCK, &keys[1])];
    let world = World::with(shards, &keys);
    let asked: Vec<_> = (0..count as u64)
        .flat_map(|epoch| {
            let transcript = Transcript { epoch: Epoch(epoch), ..world.transcript() };
            world.challenge(&transcript).parts().to_vec()
        })
        .take(count)
        .collect();
    let mut proofs: Vec<Proof> = asked.iter().map(|part| world.prove_part(part)).collect();
    wrong.iter().for_each(|&index| proofs[index].0[48] ^= 1);
    let prepare = |(part, proof): (&Part, &Proof)| {
        let key = world.verifiers.iter().find(|key| key.id() == part.tag_key()).unwrap();
        Prepared::new(key, part, proof).unwrap()
    };
    let prepared: Vec<_> = asked.iter().zip(&proofs).map(prepare).collect();
    check_batch(&prepared, &mut rng("batch"))
}

#[test]
fn a_batch_of_right_proofs_under_several_keys_passes_and_culprits_are_found_by_place() {
    assert_eq!(batch(0, &[]), Vec::<usize>::new());
    assert_eq!(batch(9, &[]), Vec::<usize>::new());
    for wrong in [&[0][..], &[8], &[3, 4], &[0, 5, 8], &[0, 1, 2, 3, 4, 5, 6, 7, 8]] {
        assert_eq!(batch(9, wrong), wrong);
    }
}

#[test]
fn two_wrong_proofs_that_would_cancel_each_other_out_are_both_found() {
    let world = World::new(&[2 * BLOCK]);
    let first = world.challenge(&world.transcript());
    let second = world.challenge(&Transcript { epoch: Epoch(8), ..world.transcript() });
    let parts = [&first.parts()[0], &second.parts()[0]];
    let shift = |proof: Proof, by: G1Projective| {
        let mut shifted = proof;
        let sigma = G1Projective::from_compressed(proof.sigma()).unwrap() + by;
        shifted.0[..48].copy_from_slice(&sigma.to_compressed());
        shifted
    };
    let by = tag_point(&world.shards[0].tags[0]);
    let proofs = [shift(world.prove_part(parts[0]), by), shift(world.prove_part(parts[1]), -by)];
    let prepared: Vec<_> = std::iter::zip(parts, &proofs)
        .map(|(part, proof)| Prepared::new(&world.verifiers[0], part, proof).unwrap())
        .collect();
    assert_eq!(check_batch(&prepared, &mut rng("cancel")), [0, 1]);
}
