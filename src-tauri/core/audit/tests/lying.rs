//! Auditors that lie: what an auditor says is worth what its receipt shows, and no more.

use super::*;
use crate::auditor::{
    Judgement, Reason, Verdict,
    exported::{Exported, NotBorneOut, Shown},
};

const WRONG: Failure = Failure::Proof(ProofError::DoesNotFit);

fn world() -> World {
    World::new(&[3 * BLOCK, 2 * BLOCK + 7])
}

fn exported(world: &World, receipt: &Receipt) -> Exported {
    Exported::new(&world.terms, &world.revision, &world.entries(), &world.verifiers, receipt)
}

fn shown(world: &World, receipt: &Receipt) -> Shown {
    exported(world, receipt).judge().unwrap()
}

fn judgement(verdict: Verdict, reason: Option<Reason>) -> Judgement {
    Judgement { epoch: Epoch(7), revision: 0, verdict, reason, at: Timestamp(1) }
}

#[test]
fn a_verdict_is_borne_out_by_its_own_receipt_alone() {
    let world = world();
    let passed = shown(&world, &world.receipt(&world.transcript()));
    let mut damaged = world.clone();
    damaged.shards[0].bytes.fill(7);
    let failed = shown(&world, &damaged.receipt(&world.transcript()));
    let lost = world.shards[0].entry.id;
    let admitted = Answer::admit(&world.transcript(), lost, &farmer());
    let admitted = shown(&world, &Receipt::new(world.transcript(), admitted, &world.entries()));
    let pass = judgement(Verdict::Passed, None);
    let fail = judgement(Verdict::Failed, Some(Reason::WrongProof(WRONG)));
    let admission = judgement(Verdict::Failed, Some(Reason::WrongProof(Failure::Lost(lost))));
    for (receipt, own) in [(&passed, &pass), (&failed, &fail), (&admitted, &admission)] {
        for said in [&pass, &fail, &admission] {
            let borne_out = receipt.bears_out(said);
            assert_eq!(borne_out.is_ok(), own == said, "{said:?}: {borne_out:?}");
        }
    }
}

#[test]
fn a_receipt_of_another_epoch_or_revision_bears_out_nothing() {
    let world = world();
    let replayed = shown(&world, &world.receipt(&world.transcript()));
    let pass = judgement(Verdict::Passed, None);
    let other_epoch = Judgement { epoch: Epoch(8), ..pass };
    assert_eq!(replayed.bears_out(&other_epoch), Err(NotBorneOut::OtherEpoch));
    let other_revision = Judgement { revision: 1, ..pass };
    assert_eq!(replayed.bears_out(&other_revision), Err(NotBorneOut::OtherRevision));
}

#[test]
fn an_audit_of_less_than_an_epoch_is_due_is_no_pass_and_no_receipt_shows_silence() {
    let world = world();
    let easy = Transcript { blocks: 1, ..world.transcript() };
    let easy = shown(&world, &world.receipt(&easy));
    assert_eq!(easy.bears_out(&judgement(Verdict::Passed, None)), Err(NotBorneOut::OtherOutcome));
    let some = Transcript { scope: Scope::Shards(vec![world.shards[0].entry.id]), ..world.transcript() };
    let some = shown(&world, &world.receipt(&some));
    let around = judgement(Verdict::Undecided, Some(Reason::LossReported));
    assert_eq!(some.bears_out(&around), Ok(()));
    assert_eq!(some.bears_out(&judgement(Verdict::Passed, None)), Err(NotBorneOut::OtherOutcome));
    for verdict in [Verdict::Missed, Verdict::Failed] {
        let silent = judgement(verdict, Some(Reason::Silence));
        assert_eq!(some.bears_out(&silent), Err(NotBorneOut::OtherOutcome));
    }
}

/// An auditor cannot make a farmer's answer, so it can forge neither a failure nor a pass.
#[test]
fn a_forged_receipt_shows_nothing() {
    let world = world();
    let real = world.receipt(&world.transcript());
    let spoilt =
        Receipt { answer: Answer::sign(&world.transcript(), vec![], &other_farmer()), ..real.clone() };
    let easier = Receipt { transcript: Transcript { blocks: 1, ..world.transcript() }, ..real.clone() };
    let replayed =
        Receipt { transcript: Transcript { epoch: Epoch(8), ..world.transcript() }, ..real.clone() };
    let admitted = Answer::admit(&world.transcript(), world.shards[0].entry.id, &other_farmer());
    let admitted = Receipt { answer: admitted, ..real.clone() };
    let mut admission = real.clone();
    admission.answer.lost = Some(world.shards[0].entry.id);
    for forged in [spoilt, easier, replayed, admitted, admission] {
        assert_eq!(world.judge(&forged), Err(ReceiptError::BadSignature));
        assert!(exported(&world, &forged).judge().is_err());
    }
    assert!(exported(&world, &real).judge().is_ok());
}
