//! Who may have what followed, and who is told what.

use futures::{StreamExt as _, stream};
use hayloft_core::{
    DeviceId,
    contract::SignedTerms,
    keys::{DeviceKey, RecoveryPhrase},
    record::DeviceCertificate,
};
use hayloft_net::{
    NetError,
    messages::{Answer, Envelope, Followed, RefusalCode, Request},
};
use hayloft_store::auditor::Bounds;

use super::bench::{Bench, DAY, START, made_up, network};

fn code<T: std::fmt::Debug>(result: Result<T, NetError>) -> RefusalCode {
    match result {
        Err(NetError::Refused(refusal)) => refusal.code,
        other => panic!("a refusal was expected: {other:?}"),
    }
}

#[tokio::test]
async fn only_what_owner_and_farmer_signed_for_this_auditor_is_followed() {
    let bench = Bench::new().await;
    let follow = async |change: &dyn Fn(&mut Followed)| {
        let mut told = bench.told();
        change(&mut told);
        code(bench.ask(Request::Follow(Box::new(told))).await)
    };
    let resigned = |told: &mut Followed, change: &dyn Fn(&mut hayloft_core::contract::Terms)| {
        let mut terms = told.terms.terms.clone();
        change(&mut terms);
        let owner = terms.sign_as_owner(&bench.owner.owner);
        told.terms = SignedTerms { terms, owner, farmer: told.terms.farmer };
    };
    let other = |terms: &mut hayloft_core::contract::Terms| terms.auditor = Some(DeviceId([9; 32]));
    assert_eq!(follow(&|told| resigned(told, &other)).await, RefusalCode::NotAllowed);
    let nonce = |terms: &mut hayloft_core::contract::Terms| terms.nonce = [0; 32];
    assert_eq!(follow(&|told| resigned(told, &nonce)).await, RefusalCode::BadRequest, "another contract");
    assert_eq!(follow(&|told| told.terms.farmer.0[0] ^= 1).await, RefusalCode::NotAllowed);
    assert_eq!(follow(&|told| told.revision.farmer.0[0] ^= 1).await, RefusalCode::WrongRevision);
    assert_eq!(bench.follow().await.expect("followed"), 0);
    assert_eq!(bench.follow().await.expect("the same again"), 0);
}

#[tokio::test]
async fn nobody_but_owner_and_farmer_is_told_who_stores_with_whom() {
    let bench = Bench::new().await;
    bench.follow().await.expect("followed");
    bench.pass(DAY).await;
    let contract = bench.state.contract();
    let stranger = Bench::new().await;
    let request = Request::Verdicts { contract, before: None };
    let envelope = hayloft_net::messages::Envelope {
        certificate: Some(stranger.certificate_for(bench.net.local_id())),
        request: request.clone(),
    };
    let auditor = bench.auditor().await;
    assert_eq!(code(bench.net.ask(auditor, &envelope).await), RefusalCode::UnknownContract);
    let Ok(Answer::Verdicts { verdicts, more: false }) = bench.ask(request).await else {
        panic!("no verdicts")
    };
    assert_eq!(verdicts.len(), 1);
    let farmer = DeviceId([5; 32]);
    assert_eq!(bench.ask(Request::Standing { farmer }).await, Ok(Answer::Standing(None)));
}

/// Owner and farmer are of one hand: all that it asks to be followed is signed by both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_contracts_to_follow_ends_at_an_owners_share_and_others_are_followed_beside_it() {
    let bench = Bench::new().await;
    let auditor = bench.auditor().await;
    let owner = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
    let farmer = DeviceKey::random(&mut rand::rng());
    let device = bench.net.local_id();
    let certificate = DeviceCertificate::issue(&owner.owner, &network(), device, *START, 30 * DAY);
    let share = usize::try_from(Bounds::default().contracts_per_owner).expect("a small number");
    let flood = stream::iter(0..share + 100).map(|_| {
        let request = Request::Follow(Box::new(made_up(&owner, &farmer, auditor)));
        let envelope = Envelope { certificate: Some(certificate.clone()), request };
        let net = &bench.net;
        async move { net.ask(auditor, &envelope).await }
    });
    let flood = flood.buffer_unordered(16).collect::<Vec<_>>();
    let honest = async {
        loop {
            match bench.follow().await {
                Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::Busy => {}
                followed => return followed,
            }
        }
    };
    let (answers, honest) = futures::join!(flood, honest);
    assert_eq!(honest, Ok(0), "an honest owner is followed meanwhile");
    let followed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(followed, share, "and no more than an owner's share");
    for answer in answers.into_iter().filter(Result::is_err) {
        assert!(matches!(code(answer), RefusalCode::NoSpace | RefusalCode::Busy));
    }
}
