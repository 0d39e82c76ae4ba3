//! Second opinions: what a brake holds back acts once another auditor has asked the same, and is dropped if it hears the farmer.

use hayloft_core::{
    audit::{Commitment, Epoch, Mandate},
    auditor::Verdict,
    contract::SignedTerms,
    keys::DeviceKey,
    score::{Kind, Standing},
};
use hayloft_net::{
    NetError,
    messages::{Answer, Envelope, Mandated, RefusalCode, Relay, Request},
};

use super::bench::{Bench, DAY, START, Ways};

async fn account(bench: &Bench) -> hayloft_core::auditor::record::Account {
    let farmer = bench.state.terms().farmer;
    match bench.ask(Request::Standing { farmer }).await {
        Ok(Answer::Standing(Some(account))) => *account,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_second_auditor_what_the_brake_holds_waits_until_it_lets_go() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    let (auditor, farmer) = (bench.node.auditor_for_tests(), bench.state.terms().farmer);
    auditor.brake_for_tests().await;
    bench.behave(Ways::Flipped);
    bench.pass(DAY).await;
    assert_eq!(bench.verdicts().await[0].judgement.verdict, Verdict::Failed, "the verdict is told at once");
    assert_eq!(auditor.held_for_tests(farmer).await, 1);
    assert_eq!(account(&bench).await.standing, Standing::Good);
    // The next round begins without it.
    bench.behave(Ways::Honest);
    bench.pass(DAY).await;
    assert_eq!(auditor.held_for_tests(farmer).await, 0);
    assert!(matches!(account(&bench).await.standing, Standing::Suspended { over: Kind::Audits, .. }));
}

#[tokio::test]
async fn a_farmer_that_the_second_auditor_hears_passes_although_ones_own_line_is_silent() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    let (_home, second) = bench.second().await;
    let auditor = bench.node.auditor_for_tests();
    auditor.brake_for_tests().await;
    bench.behave(Ways::SilentTo(bench.auditor().await));
    bench.pass(DAY).await;
    let verdicts = bench.verdicts().await;
    assert_eq!(verdicts[0].judgement.verdict, Verdict::Passed, "{verdicts:?}");
    assert!(verdicts[0].receipt, "the farmer signed it, whoever asked");
    assert_eq!(account(&bench).await.scores[1].value_ppm, Some(1_000_000), "nothing speaks against it");
    second.shutdown().await.expect("closes");
}

#[tokio::test]
async fn silence_and_wrong_proofs_that_the_second_auditor_sees_too_act_at_once() {
    for ways in [Ways::Silent, Ways::Flipped] {
        let bench = Bench::new().await;
        bench.follow().await.expect("followed");
        let (_home, second) = bench.second().await;
        let (auditor, farmer) = (bench.node.auditor_for_tests(), bench.state.terms().farmer);
        auditor.brake_for_tests().await;
        bench.behave(ways.clone());
        bench.pass(DAY).await;
        assert_eq!(auditor.held_for_tests(farmer).await, 0, "{ways:?}");
        let scores = account(&bench).await.scores;
        let spoken = scores.iter().any(|score| score.value_ppm.is_some_and(|value| value < 1_000_000));
        assert!(spoken, "{ways:?}: {scores:?}");
        second.shutdown().await.expect("closes");
    }
}

#[tokio::test]
async fn a_second_auditor_asks_only_for_the_auditor_that_both_signed_for() {
    let bench = Bench::new().await;
    let (_home, second) = bench.second().await;
    let device = second.status().await.expect("status").device.parse().expect("a device");
    let first = DeviceKey::random(&mut rand::rng());
    let told = bench.told();
    let mandate = |key: &DeviceKey| {
        let (network, contract) = (super::bench::network(), told.terms.terms.id());
        let until = START.plus_seconds(200);
        Mandate { network, contract, epoch: Epoch(0), second: device, until }.sign(key)
    };
    let ask = async |relay: Relay| {
        let envelope = Envelope { certificate: None, request: Request::Relay(Box::new(relay)) };
        match bench.net.ask(device, &envelope).await {
            Err(NetError::Refused(refusal)) => refusal.code,
            other => panic!("{other:?}"),
        }
    };
    // The terms name another auditor than the one who asks.
    let commit = Mandated::Commit(Commitment([1; 32]));
    let relay = Relay { terms: told.terms.clone(), mandate: mandate(&first), ask: commit.clone() };
    assert_eq!(ask(relay).await, RefusalCode::NotAllowed);
    // Terms that the farmer never signed.
    let mut terms = told.terms.terms.clone();
    terms.auditor = Some(bench.net.local_id());
    let owner = terms.sign_as_owner(&bench.owner.owner);
    let forged = SignedTerms { terms, owner, farmer: told.terms.farmer };
    let relay = Relay { terms: forged, mandate: mandate(&first), ask: commit };
    assert_eq!(ask(relay).await, RefusalCode::NotAllowed);
    second.shutdown().await.expect("closes");
}
