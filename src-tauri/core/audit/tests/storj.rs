//! What broke the proofs of Storj's downstream, one test for each failure: forged branches of a tree, challenges of
//! no chunk at all, chunks of no bytes, one key for indices and coefficients, challenges that run out, heartbeats
//! that can be replayed, data that its keeper can make anew, tags as large as a page.
//!
//! What broke beside the proofs is shown where it belongs: a contract that ends with one wrong proof, an answer lost on the
//! way and a question without a deadline by the auditor's tests; floods, strangers and limits by address by the
//! farmer's.

use std::collections::BTreeSet;

use super::*;
use crate::{
    auditor::vetting::{PlantingId, VettingSeed},
    contract::shard_root,
};

/// There, an inner node passed as a leaf, and a branch could have any length. Here a proof has no branches, and the
/// list's root tells leaves from nodes and counts them.
#[test]
fn an_inner_node_of_the_list_does_not_pass_as_a_shard_nor_a_part_as_the_whole() {
    let world = World::new(&[BLOCK; 8]);
    let entries = world.entries();
    let whole = shard_root(&entries);
    let mut roots = BTreeSet::from([whole]);
    for from in 0..8 {
        for to in from + 1..=8 {
            let part = &entries[from..to];
            assert!(part.len() == 8 || roots.insert(shard_root(part)));
            let bytes = part.iter().map(|entry| entry.bytes).sum();
            let node = ShardEntry { id: ShardId(shard_root(part)), bytes, tag_key: None };
            let refused = Challenge::expand(&world.transcript(), &[node]);
            assert_eq!(refused, Err(ChallengeError::WrongRoot));
        }
    }
}

/// There, 0.01 of fewer than a hundred chunks was no chunk, and a proof of zeros passed.
#[test]
fn the_smallest_contract_is_still_asked_for_its_only_block_and_zeros_do_not_pass() {
    let world = World::new(&[1]);
    for blocks in [1, BLOCKS_PER_EPOCH] {
        let challenge = world.challenge(&Transcript { blocks, ..world.transcript() });
        assert_eq!(challenge.parts()[0].blocks().len(), 1);
        let mut infinity = [0; Proof::BYTES];
        (infinity[0], infinity[80]) = (0xc0, 0xc0);
        for nothing in [[0; Proof::BYTES], infinity] {
            assert!(verify(&world.verifiers[0], &challenge.parts()[0], &Proof(nothing)).is_err());
        }
    }
}

/// There, the chunk of a small file had no bytes, and its proof needed no data.
#[test]
fn a_shard_of_one_byte_cannot_be_proved_with_any_other_byte() {
    let world = World::new(&[1]);
    let challenge = world.challenge(&world.transcript());
    let part = &challenge.parts()[0];
    let right = world.shards[0].bytes[0];
    for byte in 0..=255 {
        let mut prover = Prover::new(&world.provers[0], part).unwrap();
        prover.push(&[byte], &world.shards[0].tags[0]).unwrap();
        let verified = verify(&world.verifiers[0], part, &prover.finish().unwrap());
        assert_eq!(verified.is_ok(), byte == right);
    }
}

/// There, one key chose the chunks, repeats included, and their coefficients alike.
#[test]
fn no_block_is_asked_twice_and_no_coefficient_follows_from_an_index() {
    let world = World::new(&[40 * BLOCK]);
    let transcript = Transcript { blocks: 20, ..world.transcript() };
    let challenge = world.challenge(&transcript);
    let blocks = challenge.parts()[0].blocks();
    let indices: BTreeSet<_> = blocks.iter().map(|block| block.index).collect();
    let coefficients: BTreeSet<_> = blocks.iter().map(|block| block.coefficient).collect();
    assert_eq!((indices.len(), coefficients.len()), (blocks.len(), blocks.len()));
    let seed = transcript.seed();
    let mut as_indices = transcript::Stream::new(&seed, "blocks", &[]);
    assert!((0..100).all(|_| !coefficients.contains(&as_indices.coefficient())));
}

/// There, 256 challenges were made beforehand, and after a day there were no more.
#[test]
fn challenges_do_not_run_out_nor_repeat() {
    let world = World::new(&[5 * BLOCK]);
    let seed = |epoch| Transcript { epoch: Epoch(epoch), ..world.transcript() }.seed();
    assert_eq!((0..3000).map(seed).collect::<BTreeSet<_>>().len(), 3000);
    let late = Transcript { epoch: Epoch(u64::MAX), ..world.transcript() };
    assert_eq!(world.judge(&world.receipt(&late)).map(|finding| finding.outcome), Ok(Ok(())));
}

/// There, whoever saw a signed message could send it again for ever.
#[test]
fn an_answer_seen_once_is_worth_nothing_in_the_next_epoch() {
    let world = World::new(&[5 * BLOCK]);
    let seen = world.answer(&world.transcript());
    let next = Transcript { epoch: Epoch(8), ..world.transcript() };
    let replayed = Receipt::new(next.clone(), seen.clone(), &world.entries());
    assert_eq!(world.judge(&replayed), Err(ReceiptError::BadSignature));
    let signed_anew =
        Receipt::new(next.clone(), Answer::sign(&next, seen.proofs, &farmer()), &world.entries());
    let finding = world.judge(&signed_anew).unwrap();
    assert_eq!(finding.outcome, Err(Failure::Proof(ProofError::DoesNotFit)));
}

/// There, the farmer was handed the seed of what it was to keep, and could make the file whenever it was asked.
#[test]
fn what_a_farmer_is_given_holds_nothing_that_it_could_be_made_from() {
    const WINDOW: usize = 6;
    let network = "here".parse().unwrap();
    let secret: [[u8; 32]; 2] =
        [plain("seed", 32), plain("planting", 32)].map(|part| part.try_into().unwrap());
    let (seed, planting) = (VettingSeed::from_bytes(&secret[0]), PlantingId(secret[1]));
    let persona = seed.persona(&network, &planting, S);
    let mut given = [persona.owner.id().0.to_vec(), persona.device.id().0.to_vec()].concat();
    given.extend(persona.audit.prover_key().encode());
    let shard = seed.shard(&network, &planting, &persona, 0);
    given.extend(shard.entry.id.0);
    given.extend(&shard.bytes);
    let windows: BTreeSet<&[u8]> = secret.iter().flat_map(|part| part.windows(WINDOW)).collect();
    assert!(given.windows(WINDOW).all(|window| !windows.contains(window)));
    // All but one bit of it is worth nothing.
    let mut near = secret[0];
    near[31] ^= 1;
    let made = VettingSeed::from_bytes(&near).shard(&network, &planting, &persona, 0);
    assert!(made.entry.id != shard.entry.id && made.bytes[..BLOCK] != shard.bytes[..BLOCK]);
}

/// There, a tag had up to 49 kB for each chunk, as text.
#[test]
fn tags_take_less_than_a_thousandth_and_an_answer_is_as_short_however_much_is_kept() {
    assert!(1000 * Tag::BYTES < Sectors::DEFAULT.block_bytes());
    let bytes = |lengths: &[usize]| {
        let world = World::new(lengths);
        world.answer(&world.transcript()).bytes()
    };
    let small = bytes(&[1]);
    assert!(small < 300, "{small}");
    assert_eq!(small, bytes(&[50 * BLOCK, 30 * BLOCK]));
}
