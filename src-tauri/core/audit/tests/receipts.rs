//! Receipts: what they show, to whom, and what shows nothing.

use proptest::prelude::*;

use super::*;
use crate::{
    Signature,
    codec::CodecError,
    contract::{RevisionError, TermsError},
};

const PASSED: Finding = Finding { outcome: Ok(()), names_ledger: true, stands_for_epoch: true };

fn world() -> World {
    World::new(&[3 * BLOCK, 2 * BLOCK + 7])
}

#[test]
fn a_receipt_is_checked_offline_from_bytes_and_public_data_alone() {
    let world = world();
    let bytes = world.receipt(&world.transcript()).encode();
    let keys = [VerifierKey::decode(world.verifiers[0].encode()).unwrap()];
    let evidence = Evidence { keys: &keys, ..world.evidence() };
    assert_eq!(Receipt::decode(&bytes).unwrap().judge(&evidence), Ok(PASSED));
}

#[test]
fn a_receipt_without_its_list_needs_the_list_and_only_that_one() {
    let world = world();
    let mut receipt = world.receipt(&world.transcript());
    receipt.shards = None;
    assert_eq!(world.judge(&receipt), Err(ReceiptError::ShardsMissing));
    let entries = world.entries();
    let with = |shards| receipt.judge(&Evidence { shards: Some(shards), ..world.evidence() });
    assert_eq!(with(&entries), Ok(PASSED));
    assert_eq!(with(&entries[1..]), Err(ReceiptError::Challenge(ChallengeError::WrongRoot)));
}

#[test]
fn one_answer_covers_shards_under_several_tag_keys() {
    let keys = [audit_key(1), audit_key(2)];
    let shards = vec![kept("first", 2 * BLOCK, &keys[0]), kept("second", 3 * BLOCK, &keys[1])];
    let world = World::with(shards, &keys);
    let mut receipt = world.receipt(&world.transcript());
    assert_eq!(receipt.answer.proofs.len(), 2);
    assert_eq!(world.judge(&receipt), Ok(PASSED));
    let one_key = Evidence { keys: &world.verifiers[..1], ..world.evidence() };
    assert_eq!(receipt.judge(&one_key), Err(ReceiptError::KeyMissing));
    receipt.answer.proofs.pop();
    receipt.answer = Answer::sign(&receipt.transcript, receipt.answer.proofs, &farmer());
    let failed = Finding { outcome: Err(Failure::WrongKeys), ..PASSED };
    assert_eq!(world.judge(&receipt), Ok(failed));
}

#[test]
fn a_signed_wrong_proof_is_evidence_against_the_farmer() {
    let mut broken = world();
    let at = broken.shards[0].bytes.len() - 1;
    broken.shards[0].bytes[at] ^= 1;
    let receipt = broken.receipt(&broken.transcript());
    let failed = Finding { outcome: Err(Failure::Proof(ProofError::DoesNotFit)), ..PASSED };
    assert_eq!(world().judge(&receipt), Ok(failed));
}

#[test]
fn an_admitted_loss_is_evidence_for_its_own_question_and_a_shard_asked_for() {
    let world = world();
    let lost = world.shards[1].entry.id;
    let admitted = |transcript: &Transcript, lost| {
        let answer = Answer::admit(transcript, lost, &farmer());
        let receipt = Receipt::new(transcript.clone(), answer, &world.entries());
        Receipt::decode(&receipt.encode()).unwrap()
    };
    let whole = admitted(&world.transcript(), lost);
    assert_eq!(world.judge(&whole), Ok(Finding { outcome: Err(Failure::Lost(lost)), ..PASSED }));
    let moved = Receipt { transcript: Transcript { epoch: Epoch(8), ..world.transcript() }, ..whole.clone() };
    assert_eq!(world.judge(&moved), Err(ReceiptError::BadSignature));
    let mut other = whole;
    other.answer.lost = Some(world.shards[0].entry.id);
    assert_eq!(world.judge(&other), Err(ReceiptError::BadSignature));
    let scope = Scope::Shards(vec![world.shards[0].entry.id]);
    let not_asked = admitted(&Transcript { scope, ..world.transcript() }, lost);
    assert_eq!(world.judge(&not_asked), Err(ReceiptError::NotAsked(lost)));
}

#[test]
fn a_beacon_of_nonces_and_an_easier_audit_are_told_apart() {
    let world = world();
    let revealed = Beacon::Revealed { auditor: [1; 32], farmer: [2; 32] };
    let finding = |transcript| world.judge(&world.receipt(&transcript));
    let private = finding(Transcript { beacon: revealed, ..world.transcript() });
    assert_eq!(private, Ok(Finding { names_ledger: false, ..PASSED }));
    let easier = finding(Transcript { blocks: 1, ..world.transcript() });
    assert_eq!(easier, Ok(Finding { stands_for_epoch: false, ..PASSED }));
    let scope = Scope::Shards(vec![world.shards[0].entry.id]);
    let some = finding(Transcript { scope, ..world.transcript() });
    assert_eq!(some, Ok(Finding { stands_for_epoch: false, ..PASSED }));
}

#[test]
fn a_receipt_about_anything_else_shows_nothing() {
    let world = world();
    let base = || world.transcript();
    let wrong = [
        (Transcript { network: "there".parse().unwrap(), ..base() }, ReceiptError::WrongNetwork),
        (Transcript { contract: crate::ContractId([8; 32]), ..base() }, ReceiptError::WrongContract),
        (Transcript { revision: 1, ..base() }, ReceiptError::WrongRevision),
        (Transcript { root: [1; 32], ..base() }, ReceiptError::WrongRoot),
        (Transcript { farmer: other_farmer().id(), ..base() }, ReceiptError::WrongFarmer),
    ];
    let answer = world.answer(&base());
    for (transcript, error) in wrong {
        let receipt = Receipt::new(transcript, answer.clone(), &world.entries());
        assert_eq!(world.judge(&receipt), Err(error));
    }
}

#[test]
fn an_answer_moved_to_another_question_or_signed_by_another_shows_nothing() {
    let world = world();
    let receipt = world.receipt(&world.transcript());
    let moved = Transcript { epoch: Epoch(8), ..world.transcript() };
    let moved = Receipt { transcript: moved, ..receipt.clone() };
    assert_eq!(world.judge(&moved), Err(ReceiptError::BadSignature));
    let by_other = Answer::sign(&receipt.transcript, receipt.answer.proofs.clone(), &other_farmer());
    let by_other = Receipt { answer: by_other, ..receipt.clone() };
    assert_eq!(world.judge(&by_other), Err(ReceiptError::BadSignature));
    let mut unsigned = receipt;
    unsigned.answer.signature = Signature([0; 64]);
    assert_eq!(world.judge(&unsigned), Err(ReceiptError::BadSignature));
}

#[test]
fn a_contract_or_revision_that_is_not_signed_by_both_shows_nothing() {
    let world = world();
    let receipt = world.receipt(&world.transcript());
    let mut terms = world.terms.clone();
    terms.farmer = Signature([0; 64]);
    let judged = receipt.judge(&Evidence { terms: &terms, ..world.evidence() });
    assert_eq!(judged, Err(ReceiptError::Terms(TermsError::BadFarmerSignature)));
    let mut revision = world.revision.clone();
    revision.owner = Signature([0; 64]);
    let judged = receipt.judge(&Evidence { revision: &revision, ..world.evidence() });
    assert_eq!(judged, Err(ReceiptError::Revision(RevisionError::BadOwnerSignature)));
}

#[test]
fn a_revision_of_another_contract_between_the_same_two_does_not_vouch_for_the_shards() {
    let world = world();
    let mut other = world.terms.terms.clone();
    other.nonce = [4; 32];
    let (owner, farmer) = (other.sign_as_owner(&owner()), other.sign_as_farmer(&farmer()));
    let state = State::new(SignedTerms { terms: other, owner, farmer }).unwrap();
    let revision = revise(&state, world.entries()).1;
    let receipt = world.receipt(&world.transcript());
    let judged = receipt.judge(&Evidence { revision: &revision, ..world.evidence() });
    assert_eq!(judged, Err(ReceiptError::WrongContract));
}

#[test]
fn a_receipt_of_an_older_revision_is_not_one_of_the_newest() {
    let old = world();
    let state = State::new(old.terms.clone()).unwrap();
    let (state, _) = revise(&state, old.entries());
    let mut new = old.clone();
    new.shards.push(kept("newer", BLOCK, &audit_key(1)));
    new.shards.sort_by_key(|shard| shard.entry.id);
    new.revision = revise(&state, vec![kept("newer", BLOCK, &audit_key(1)).entry]).1;
    assert_eq!(new.judge(&new.receipt(&new.transcript())), Ok(PASSED));
    assert_eq!(new.judge(&old.receipt(&old.transcript())), Err(ReceiptError::WrongRevision));
}

#[test]
fn a_key_for_blocks_of_another_size_does_not_fit_the_transcript() {
    let world = world();
    let other = Transcript { sectors: Sectors::try_from(32).unwrap(), ..world.transcript() };
    let receipt = Receipt::new(other.clone(), Answer::sign(&other, vec![], &farmer()), &world.entries());
    assert_eq!(world.judge(&receipt), Err(ReceiptError::WrongSectors));
}

#[test]
fn bytes_that_are_no_receipt_and_lists_too_long_are_refused() {
    let world = world();
    let mut receipt = world.receipt(&world.transcript());
    let bytes = receipt.encode();
    for cut in [0, 1, bytes.len() - 1] {
        assert_eq!(Receipt::decode(&bytes[..cut]), Err(CodecError::Malformed.into()));
    }
    assert_eq!(Receipt::decode(&[bytes.as_slice(), &[0]].concat()), Err(CodecError::Malformed.into()));
    let len = MAX_RECEIPT_BYTES + 1;
    let too_long = CodecError::TooLong { len, limit: MAX_RECEIPT_BYTES };
    assert_eq!(Receipt::decode(&vec![1; len]), Err(too_long.into()));
    let found = MAX_LISTED_SHARDS + 1;
    receipt.shards = Some(vec![world.shards[0].entry.clone(); found]);
    assert_eq!(Receipt::decode(&receipt.encode()), Err(ReceiptError::TooManyShards { found }));
    let many = vec![world.shards[0].entry.clone(); found];
    assert_eq!(Receipt::new(receipt.transcript.clone(), receipt.answer, &many).shards, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_receipt_with_any_byte_changed_never_shows_anything_about_the_farmer(
        at in any::<prop::sample::Index>(),
        by in 1_u8..,
    ) {
        let world = world();
        let mut bytes = world.receipt(&world.transcript()).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(Receipt::decode(&bytes).and_then(|receipt| world.judge(&receipt)).is_err());
    }

    #[test]
    fn bytes_of_a_stranger_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = world();
        let _ = Receipt::decode(&bytes).map(|receipt| world.judge(&receipt));
        let _ = ProverKey::decode(&bytes, &mut rng("stranger"));
    }
}
