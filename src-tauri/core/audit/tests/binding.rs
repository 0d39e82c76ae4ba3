//! A proof answers one question: whatever of the transcript changes, it fails.

use super::*;
use crate::contract::shard_root;

/// The transcript with each of its fields changed in turn.
fn changed(base: &Transcript) -> Vec<(&'static str, Transcript)> {
    let base = || base.clone();
    let ledger = |sequence, hash| Beacon::Ledger { sequence, hash: [hash; 32] };
    let revealed = Beacon::Revealed { auditor: [5; 32], farmer: [5; 32] };
    vec![
        ("network", Transcript { network: "there".parse().unwrap(), ..base() }),
        ("contract", Transcript { contract: crate::ContractId([8; 32]), ..base() }),
        ("revision", Transcript { revision: base().revision + 1, ..base() }),
        ("farmer", Transcript { farmer: other_farmer().id(), ..base() }),
        ("epoch", Transcript { epoch: Epoch(8), ..base() }),
        ("a whole cycle of epochs", Transcript { epoch: Epoch(7 + TURNS), ..base() }),
        ("beacon's hash", Transcript { beacon: ledger(1234, 6), ..base() }),
        ("beacon's number", Transcript { beacon: ledger(1235, 5), ..base() }),
        ("kind of beacon", Transcript { beacon: revealed, ..base() }),
        ("order", Transcript { order: ledger(34, 7), ..base() }),
        ("blocks asked", Transcript { blocks: BLOCKS_PER_EPOCH + 1, ..base() }),
        (
            "scope",
            Transcript {
                scope: Scope::Shards(World::new(&LENGTHS).entries().iter().map(|e| e.id).collect()),
                ..base()
            },
        ),
    ]
}

const LENGTHS: [usize; 2] = [3 * BLOCK, 2 * BLOCK + 7];

#[test]
fn an_old_proof_or_one_for_another_farmer_contract_revision_epoch_or_network_is_refused() {
    let world = World::new(&LENGTHS);
    let base = world.transcript();
    let proof = world.prove(&base).remove(0).proof;
    let mut seeds = vec![base.seed()];
    for (name, other) in changed(&base) {
        let challenge = world.challenge(&other);
        let refused = verify(&world.verifiers[0], &challenge.parts()[0], &proof);
        assert_eq!(refused, Err(ProofError::DoesNotFit), "{name}");
        assert!(!seeds.contains(&other.seed()), "{name}");
        seeds.push(other.seed());
    }
}

#[test]
fn the_same_data_in_another_list_gives_another_challenge() {
    let (one, two) = (World::new(&LENGTHS), World::new(&[LENGTHS[0], LENGTHS[1], 1]));
    let (first, second) = (one.transcript(), two.transcript());
    assert_ne!(first.root, second.root);
    assert_ne!(first.seed(), Transcript { root: second.root, ..first.clone() }.seed());
}

#[test]
fn a_convenient_shard_list_is_refused() {
    let world = World::new(&[3 * BLOCK, 2 * BLOCK, 5 * BLOCK]);
    let (transcript, list) = (world.transcript(), world.entries());
    type Edit = fn(&mut Vec<ShardEntry>);
    let edits: [(&str, Edit); 7] = [
        ("one shard left out", |list| list.truncate(2)),
        ("only one left", |list| list.truncate(1)),
        ("one added", |list| list.push(ShardEntry { id: ShardId([0xff; 32]), ..list[0].clone() })),
        ("one shorter", |list| list[0].bytes -= 1),
        ("one replaced", |list| list[0].id = ShardId([0; 32])),
        ("one untagged", |list| list[0].tag_key = None),
        ("one under another key", |list| list[0].tag_key = Some([1; 32])),
    ];
    for (name, edit) in edits {
        let mut list = list.clone();
        edit(&mut list);
        assert_eq!(Challenge::expand(&transcript, &list), Err(ChallengeError::WrongRoot), "{name}");
        let own_root = Transcript { root: shard_root(&list), ..transcript.clone() };
        let receipt = Receipt::new(own_root.clone(), Answer::sign(&own_root, vec![], &farmer()), &list);
        assert_eq!(world.judge(&receipt), Err(ReceiptError::WrongRoot), "{name}");
    }
}

#[test]
fn the_same_challenge_comes_out_wherever_it_is_expanded() {
    let world = World::new(&LENGTHS);
    assert_eq!(world.challenge(&world.transcript()), world.challenge(&world.transcript()));
}

#[test]
fn an_epochs_beacon_is_the_first_ledger_after_a_moment_in_its_first_half() {
    let terms = terms("here", farmer().id()).terms;
    assert_eq!(Epoch::at(&terms, Timestamp(START.0 - 1)), None);
    for epoch in [Epoch(0), Epoch(1), Epoch(400)] {
        let (start, due) = (epoch.start(&terms), epoch.beacon_due(&terms));
        assert_eq!(Epoch::at(&terms, start), Some(epoch));
        assert_eq!(Epoch::at(&terms, Timestamp(start.0 + 86_399)), Some(epoch));
        assert!(due >= start && due.seconds_since(start) <= 43_200);
        let ledgers = || (due.0 - 12..due.0 + 12).step_by(5).map(Timestamp);
        let chosen = ledgers()
            .zip(ledgers().skip(1))
            .filter(|(before, closed)| epoch.is_beacon(&terms, *before, *closed));
        let chosen: Vec<_> = chosen.collect();
        assert_eq!(chosen.len(), 1);
        assert!(chosen[0].0 < due && due <= chosen[0].1);
    }
    let other = super::terms("there", farmer().id()).terms;
    assert_ne!(Epoch(0).beacon_due(&terms), Epoch(0).beacon_due(&other));
}

#[test]
fn a_commitment_opens_to_its_nonce_contract_epoch_and_side_alone() {
    let (here, there) = (crate::ContractId([1; 32]), crate::ContractId([2; 32]));
    let commitment = Commitment::to(&here, Epoch(1), Committer::Auditor, &[7; 32]);
    assert!(commitment.opens_to(&here, Epoch(1), Committer::Auditor, &[7; 32]));
    assert!(!commitment.opens_to(&here, Epoch(1), Committer::Auditor, &[8; 32]));
    assert!(!commitment.opens_to(&here, Epoch(1), Committer::Farmer, &[7; 32]));
    assert!(!commitment.opens_to(&here, Epoch(2), Committer::Auditor, &[7; 32]));
    assert!(!commitment.opens_to(&there, Epoch(1), Committer::Auditor, &[7; 32]));
}
