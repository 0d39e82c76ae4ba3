//! Epoch by epoch: what farmers do, and what is judged.

use hayloft_core::{
    ShardId,
    audit::{self, Beacon, Epoch, Failure, Receipt, Transcript},
    auditor::{Reason, Verdict, exported::Exported},
    score::{Kind, Standing},
};
use hayloft_net::{
    NetError,
    messages::{Answer, Request},
};

use super::bench::{Bench, DAY, Ways};

fn newest_first(verdicts: &[hayloft_store::auditor::Judged]) -> Vec<Verdict> {
    verdicts.iter().map(|one| one.judgement.verdict).collect()
}

#[tokio::test]
async fn an_honest_farmer_passes_each_epoch_once_and_its_receipts_hold_for_anybody() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.pass(3 * DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(newest_first(&verdicts), [Verdict::Passed; 3]);
    assert!(verdicts.iter().all(|one| one.receipt));
    let asked: Vec<Epoch> = bench.asked().iter().map(|question| question.epoch).collect();
    assert_eq!(asked, [Epoch(0), Epoch(1), Epoch(2)], "each was asked once");
    let contract = bench.state.contract();
    let answer = bench.ask(Request::Receipt { contract, epoch: Epoch(1) }).await.expect("a receipt");
    let Answer::Receipt { revision, receipt } = answer else { panic!("{answer:?}") };
    let receipt = hayloft_core::audit::Receipt::decode(&receipt).expect("a receipt");
    let shards: Vec<_> = bench.state.shards().cloned().collect();
    let keys = [hayloft_core::audit::AuditKey::derive(&bench.owner.audit, hayloft_core::audit::Sectors::MIN)
        .verifier_key()];
    let exported = Exported::new(bench.state.signed_terms(), &revision, &shards, &keys, &receipt);
    let text = serde_json::to_string(&exported).expect("text");
    let shown = serde_json::from_str::<Exported>(&text).expect("read").judge().expect("it holds");
    assert_eq!((shown.finding.outcome, shown.finding.names_ledger), (Ok(()), false));
    assert!(shown.finding.stands_for_epoch);
    let forged = text.replacen("\"shards\":\"01", "\"shards\":\"02", 1);
    assert_ne!(forged, text);
    assert!(serde_json::from_str::<Exported>(&forged).expect("read").judge().is_err());
}

/// A farmer of another make may sign for a ledger that nobody has asked.
#[tokio::test]
async fn a_receipt_that_names_a_ledger_is_not_called_publicly_random() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.pass(DAY).await;
    let request = Request::Receipt { contract: bench.state.contract(), epoch: Epoch(0) };
    let answer = bench.ask(request).await.expect("a receipt");
    let Answer::Receipt { revision, receipt } = answer else { panic!("{answer:?}") };
    let honest = Receipt::decode(&receipt).expect("a receipt");
    let beacon = Beacon::Ledger { sequence: 7, hash: [7; 32] };
    let transcript = Transcript { order: beacon.clone(), beacon, ..honest.transcript };
    let answer = audit::Answer::admit(&transcript, bench.shard_ids()[0], &bench.farmer.key);
    let receipt = Receipt { transcript, answer, shards: None };
    let shards: Vec<_> = bench.state.shards().cloned().collect();
    let keys = [audit::AuditKey::derive(&bench.owner.audit, audit::Sectors::MIN).verifier_key()];
    let exported = Exported::new(bench.state.signed_terms(), &revision, &shards, &keys, &receipt);
    assert!(exported.judge().expect("the farmer signed it").finding.names_ledger);
    assert!(!crate::receipts::show(&exported).expect("the farmer signed it").publicly_random);
}

#[tokio::test]
async fn a_flipped_bit_fails_at_once_with_the_reason_and_counts_in_public() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.behave(Ways::Flipped);
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(newest_first(&verdicts), [Verdict::Failed]);
    assert!(matches!(verdicts[0].judgement.reason, Some(Reason::WrongProof(_))) && verdicts[0].receipt);
    let farmer = bench.state.terms().farmer;
    let Ok(Answer::Standing(Some(account))) = bench.ask(Request::Standing { farmer }).await else {
        panic!("no account")
    };
    assert!(matches!(account.standing, Standing::Suspended { over: Kind::Audits, .. }));
    assert!(account.scores[0].restored_by.is_some(), "it says what restores it");
}

#[tokio::test]
async fn silence_is_missed_and_then_failed_and_a_passed_question_costs_no_score_of_audits() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.behave(Ways::Silent);
    bench.pass(DAY).await;
    assert_eq!(newest_first(&bench.verdicts().await), [Verdict::Missed]);
    bench.pass(3 * DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(verdicts.last().expect("the first epoch").judgement.verdict, Verdict::Failed);
    bench.behave(Ways::Honest);
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(verdicts[0].judgement.verdict, Verdict::Passed);
    assert!(newest_first(&verdicts)[1..4].contains(&Verdict::Passed), "open ones were answered after all");
}

/// What broke Storj's downstream: one wrong proof ended the contract.
#[tokio::test]
async fn one_wrong_proof_ends_no_contract_and_right_ones_pass_again() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.behave(Ways::Flipped);
    bench.pass(DAY).await;
    bench.behave(Ways::Honest);
    bench.pass(2 * DAY).await;
    let verdicts = newest_first(&bench.verdicts().await);
    assert_eq!(verdicts, [Verdict::Passed, Verdict::Passed, Verdict::Failed]);
}

#[tokio::test]
async fn a_farmer_that_is_busy_for_a_moment_was_there_all_the_time() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.behave(Ways::Busy);
    bench.pass(DAY).await;
    assert_eq!(newest_first(&bench.verdicts().await), [Verdict::Passed]);
    let asked = bench.asked();
    assert!(asked.len() == 2 && asked[0] == asked[1], "the same question again: {asked:?}");
    let farmer = bench.state.terms().farmer;
    let Ok(Answer::Standing(Some(account))) = bench.ask(Request::Standing { farmer }).await else {
        panic!("no account")
    };
    assert_eq!(account.online_since, Some(account.first_seen));
}

/// Whoever says a little now and then, or that it is still at work, would keep its auditor from all others.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_none() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    let [in_time, late] = bench.node.auditor_for_tests().lost_for_tests(bench.state.contract()).await;
    assert_eq!((in_time, late), (Ok(vec![]), Err(NetError::Silent)));
}

#[tokio::test]
async fn answers_that_are_not_to_the_question_count_as_silence_and_never_as_proofs() {
    for ways in [Ways::OtherNonce, Ways::Unsigned] {
        let bench = Bench::new().await;
        bench.follow().await.expect("followed");
        bench.behave(ways.clone());
        bench.pass(DAY).await;
        assert_eq!(newest_first(&bench.verdicts().await), [Verdict::Missed], "{ways:?}");
    }
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.behave(Ways::Replays);
    bench.pass(2 * DAY).await;
    assert_eq!(newest_first(&bench.verdicts().await), [Verdict::Missed, Verdict::Passed]);
}

#[tokio::test]
async fn a_reported_loss_is_asked_around_and_the_owner_can_see_it() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    let lost = bench.shard_ids()[1];
    bench.behave(Ways::Lost(vec![lost]));
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(verdicts[0].judgement.verdict, Verdict::Undecided);
    assert_eq!(verdicts[0].judgement.reason, Some(Reason::LossReported));
    assert!(!format!("{:?}", bench.asked()[0].scope).contains(&format!("{lost:?}")));
}

#[tokio::test]
async fn a_loss_told_only_when_asked_fails_with_that_reason_and_nonsense_does_not_escape_a_verdict() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    let lost = bench.shard_ids()[1];
    bench.behave(Ways::Admits(lost));
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(newest_first(&verdicts), [Verdict::Failed]);
    assert_eq!(verdicts[0].judgement.reason, Some(Reason::WrongProof(Failure::Lost(lost))));
    assert!(verdicts[0].receipt, "anybody can check it");
    bench.behave(Ways::Admits(ShardId([77; 32])));
    bench.pass(DAY).await;
    assert_eq!(
        newest_first(&bench.verdicts().await),
        [Verdict::Missed, Verdict::Failed],
        "no answer to this"
    );
}

#[tokio::test]
async fn a_revision_that_the_owner_never_told_of_is_learnt_from_the_farmer() {
    let mut bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.pass(DAY).await;
    let first = bench.shard_ids()[0];
    bench.revise(Some(9), vec![first]);
    bench.revise(Some(8), vec![]);
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(newest_first(&verdicts), [Verdict::Passed; 2]);
    assert_eq!(verdicts[0].judgement.revision, 2);
}

#[tokio::test]
async fn a_restart_at_any_moment_asks_the_same_question_and_counts_nothing_twice() {
    let mut bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.behave(Ways::Silent);
    bench.pass(DAY / 2).await;
    bench.restart().await;
    bench.behave(Ways::OtherNonce);
    bench.pass(DAY / 8).await;
    bench.restart().await;
    bench.pass(DAY / 8).await;
    bench.behave(Ways::Honest);
    bench.pass(DAY / 4).await;
    let asked = bench.asked();
    assert!(asked.len() > 2 && asked.iter().all(|question| question.beacon == asked[0].beacon), "{asked:?}");
    assert_eq!(newest_first(&bench.verdicts().await), [Verdict::Passed]);
    let farmer = bench.state.terms().farmer;
    let Ok(Answer::Standing(Some(account))) = bench.ask(Request::Standing { farmer }).await else {
        panic!("no account")
    };
    assert_eq!(account.passed, 1);
}

#[tokio::test]
async fn days_on_which_the_auditor_was_away_are_nobodys_fault() {
    let mut bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.pass(DAY).await;
    bench.clock.advance(5 * DAY);
    bench.restart().await;
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    let away = verdicts.iter().filter(|one| one.judgement.reason == Some(Reason::AuditorAway)).count();
    assert!((4..=5).contains(&away), "{verdicts:?}");
    assert_eq!(verdicts[0].judgement.verdict, Verdict::Passed);
}
