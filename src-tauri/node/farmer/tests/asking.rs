//! Who may ask a farmer for proofs, what it answers, and how much is asked of it at once.

use std::pin::pin;

use futures::future::{Either, join_all, select};
use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{
        Beacon, Commitment, Epoch, MANDATE_SECONDS, MAX_BLOCKS_ASKED, Mandate, Question, Receipt,
        ReceiptError, Scope, Sectors, Transcript,
    },
    contract::Terms,
    keys::DeviceKey,
};
use hayloft_net::{
    NetError,
    limits::{LABOURS, LABOURS_PER_HAND, LABOURS_PER_PEER},
    messages::{Answer, Mandated, RefusalCode, Request},
};
use tokio::sync::Semaphore;

use super::{
    audits::{BLOCK, Stored, bench},
    bench::{Bench, DAY, Script, noise, refused},
};

#[tokio::test]
async fn only_the_owner_and_the_auditor_in_the_terms_may_ask() {
    let (bench, owner) = bench().await;
    let mut auditor = Script::new(&bench, DeviceKey::random(&mut rand::rng())).await;
    auditor.certificate = None;
    let terms = Terms { auditor: Some(auditor.net.local_id()), ..owner.terms() };
    let stored = owner.kept(owner.agree_to(terms).await.expect("agreed"), Sectors::MIN, &[5 * BLOCK]).await;
    let unaudited = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK]).await;
    let contract = stored.state.contract();
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())));
    assert_eq!(stored.audit(&auditor).await, Ok(Ok(())), "the auditor needs no certificate");
    let found = auditor.ask(Request::Audited { after: None }).await.expect("told");
    assert_eq!(found, Answer::Audited { contracts: vec![contract], more: false });
    refused(unaudited.audit(&auditor).await, RefusalCode::NotAllowed);
    let mut stranger = bench.owner().await;
    let found = stranger.ask(Request::Audited { after: None }).await.expect("told");
    assert_eq!(found, Answer::Audited { contracts: Vec::new(), more: false });
    for code in [RefusalCode::UnknownContract, RefusalCode::NotAllowed] {
        refused(stranger.ask(Request::Challenge(Box::new(stored.question()))).await, code);
        let commit = Request::Commit { contract, epoch: Epoch(0), commitment: Commitment([1; 32]) };
        for request in [
            commit,
            Request::Lost { contract, after: None },
            Request::AuditKeys { contract },
            Request::Contract { contract },
            Request::Shards { contract, after: None },
        ] {
            refused(stranger.ask(request).await, code);
        }
        // Bytes are for owners alone: nobody proves by what another farmer is made to send.
        let shard = stored.shards[0];
        refused(stranger.download(contract, shard, 0, 10).await, code);
        refused(auditor.download(contract, shard, 0, 10).await, RefusalCode::NotAllowed);
        stranger.certificate = None;
    }
}

#[tokio::test]
async fn whom_the_auditor_sends_is_answered_about_one_epoch_and_for_minutes() {
    let (bench, owner) = bench().await;
    let key = DeviceKey::random(&mut rand::rng());
    let mut second = Script::new(&bench, DeviceKey::random(&mut rand::rng())).await;
    second.certificate = None;
    let terms = Terms { auditor: Some(key.id()), ..owner.terms() };
    let stored = owner.kept(owner.agree_to(terms).await.expect("agreed"), Sectors::MIN, &[5 * BLOCK]).await;
    let unaudited = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK]).await;
    let mandate = |change: &dyn Fn(&mut Mandate), by: &DeviceKey| {
        let mut mandate = Mandate {
            network: super::bench::network(),
            contract: stored.state.contract(),
            epoch: Epoch(0),
            second: second.net.local_id(),
            until: bench.clock.now().plus_seconds(MANDATE_SECONDS),
        };
        change(&mut mandate);
        Box::new(mandate.sign(by))
    };
    let ask = async |mandate, ask| second.ask(Request::Mandated { mandate, ask: Box::new(ask) }).await;
    let question = stored.question();
    let commitment = question.commitment().expect("a nonce");
    let right = || mandate(&|_| {}, &key);
    let committed = ask(right(), Mandated::Commit(commitment)).await.expect("committed");
    assert!(matches!(committed, Answer::Committed { .. }));
    assert!(
        matches!(ask(right(), Mandated::AuditKeys).await, Ok(Answer::AuditKeys(keys)) if keys.len() == 1)
    );
    assert!(matches!(ask(right(), Mandated::Lost { after: None }).await, Ok(Answer::Lost(_))));
    let proved = ask(right(), Mandated::Challenge(Box::new(question.clone()))).await.expect("proved");
    let Answer::Proved { nonce, answer } = proved else { panic!("{proved:?}") };
    let network = super::bench::network();
    let transcript = question.clone().transcript(network, owner.farmer, stored.root(), nonce);
    let receipt = Receipt { transcript: transcript.expect("both nonces"), answer: *answer, shards: None };
    assert_eq!(stored.judged(&owner, &receipt).await.map(|finding| finding.outcome), Ok(Ok(())));
    let challenge = || Mandated::Challenge(Box::new(question.clone()));
    let not_allowed = RefusalCode::NotAllowed;
    refused(ask(mandate(&|m| m.second = DeviceId([9; 32]), &key), challenge()).await, not_allowed);
    refused(ask(mandate(&|m| m.until = bench.clock.now(), &key), challenge()).await, not_allowed);
    refused(ask(mandate(&|m| m.until = m.until.plus_seconds(86_400), &key), challenge()).await, not_allowed);
    refused(ask(mandate(&|m| m.epoch = Epoch(1), &key), challenge()).await, not_allowed);
    refused(ask(mandate(&|_| {}, &DeviceKey::random(&mut rand::rng())), challenge()).await, not_allowed);
    let other = mandate(&|m| m.contract = unaudited.state.contract(), &key);
    refused(ask(other, Mandated::AuditKeys).await, RefusalCode::UnknownContract);
    let question = Question { contract: unaudited.state.contract(), ..question.clone() };
    refused(ask(right(), Mandated::Challenge(Box::new(question))).await, not_allowed);
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_with_the_code_that_says_why() {
    let (_bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK, BLOCK]).await;
    let ask = async |question: Question| owner.challenge(question, stored.root()).await;
    let asked = || stored.question();
    let bad = RefusalCode::BadRequest;
    refused(ask(Question { blocks: 0, ..asked() }).await, bad);
    refused(ask(Question { blocks: MAX_BLOCKS_ASKED + 1, ..asked() }).await, bad);
    refused(ask(Question { blocks: u16::MAX, ..asked() }).await, bad);
    refused(ask(Question { epoch: Epoch(1), ..asked() }).await, bad);
    refused(ask(Question { epoch: Epoch(u64::MAX), ..asked() }).await, bad);
    refused(ask(Question { sectors: Sectors::DEFAULT, ..asked() }).await, bad);
    refused(ask(Question { revision: 1, ..asked() }).await, RefusalCode::StaleRevision);
    refused(ask(Question { contract: ContractId([1; 32]), ..asked() }).await, RefusalCode::UnknownContract);
    let named = |shards: Vec<ShardId>| Question { scope: Scope::Shards(shards), ..stored.question() };
    refused(ask(named(vec![ShardId([1; 32])])).await, RefusalCode::UnknownShard);
    refused(ask(named(Vec::new())).await, RefusalCode::NothingToAudit);
    refused(ask(named(vec![stored.shards[0]; 2])).await, bad);
    let many = (0..5000_u32).map(|number| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ShardId(id)
    });
    refused(ask(named(many.collect())).await, bad);
    let untagged = owner.stored(&noise(1000)).await.0;
    let question = Question { contract: untagged.contract(), ..asked() };
    refused(ask(question).await, RefusalCode::NothingToAudit);
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())));
}

#[tokio::test]
async fn a_question_about_an_older_revision_is_stale_once_both_signed_the_next() {
    let (_bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK, 5 * BLOCK]).await;
    let (question, root) = (stored.question(), stored.root());
    let revision = owner.propose(&stored.state, Vec::new(), vec![stored.shards[0]]);
    owner.revise(&stored.state, &revision).await.expect("revised");
    refused(owner.challenge(question, root).await, RefusalCode::StaleRevision);
}

#[tokio::test]
async fn an_answer_counts_for_its_own_question_alone() {
    let (bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK]).await;
    let receipt = owner.challenge(stored.question(), stored.root()).await.expect("proved");
    assert_eq!(stored.judged(&owner, &receipt).await.map(|finding| finding.outcome), Ok(Ok(())));
    let moved = async |change: &dyn Fn(&mut Transcript)| {
        let mut moved = receipt.clone();
        change(&mut moved.transcript);
        stored.judged(&owner, &moved).await.expect_err("another question")
    };
    assert_eq!(moved(&|t| t.epoch = Epoch(1)).await, ReceiptError::BadSignature);
    let beacon = Beacon::Revealed { auditor: [1; 32], farmer: [2; 32] };
    assert_eq!(moved(&|t| t.beacon = beacon.clone()).await, ReceiptError::BadSignature);
    assert_eq!(moved(&|t| t.order = beacon.clone()).await, ReceiptError::BadSignature);
    assert_eq!(moved(&|t| t.blocks = 460).await, ReceiptError::BadSignature);
    assert_eq!(moved(&|t| t.revision = 1).await, ReceiptError::WrongRevision);
    assert_eq!(moved(&|t| t.contract = ContractId([1; 32])).await, ReceiptError::WrongContract);
    assert_eq!(moved(&|t| t.farmer = owner.net.local_id()).await, ReceiptError::WrongFarmer);
    let network = "other".parse().expect("a name");
    assert_eq!(moved(&|t| t.network = Clone::clone(&network)).await, ReceiptError::WrongNetwork);
    assert_eq!(moved(&|t| t.root = [0; 32]).await, ReceiptError::WrongRoot);
    // Yesterday's answer to today's question.
    bench.clock.advance(DAY);
    let today = Question { epoch: Epoch(1), ..stored.question() };
    let fresh = owner.challenge(today, stored.root()).await.expect("proved");
    let replayed = Receipt { transcript: fresh.transcript.clone(), ..receipt.clone() };
    assert_eq!(stored.judged(&owner, &replayed).await, Err(ReceiptError::BadSignature));
    // Another contract of the same owner with the same farmer.
    let other = owner.kept(owner.agree().await, Sectors::MIN, &[5 * BLOCK]).await;
    assert_eq!(other.judged(&owner, &receipt).await, Err(ReceiptError::WrongContract));
}

#[tokio::test]
async fn a_flood_of_challenges_is_turned_away_and_others_are_served() {
    let (bench, owner) = bench().await;
    let stored = owner.kept(owner.agree().await, Sectors::MIN, &[300 * BLOCK; 4]).await;
    let other = bench.owner().await;
    let bytes = noise(100_000);
    let (state, shard) = other.stored(&bytes).await;
    let flood = join_all((0..200).map(|_| async {
        let question = Box::new(stored.question());
        owner.ask(Request::Challenge(question)).await
    }));
    let served = async {
        let read = other.download(state.contract(), shard, 0, 100_000).await.expect("served meanwhile");
        assert!(read == bytes);
    };
    let (answers, ()) = futures::join!(flood, served);
    let proved = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(proved >= LABOURS_PER_PEER, "{proved}");
    for answer in answers {
        if answer.is_err() {
            refused_as_busy(answer);
        }
    }
    assert_eq!(stored.audit(&owner).await, Ok(Ok(())));
}

#[tokio::test]
async fn many_devices_of_one_owner_leave_auditors_and_other_owners_their_places() {
    let (bench, crowd) = bench().await;
    let hostile = crowd.kept(crowd.agree().await, Sectors::MIN, &[300 * BLOCK; 4]).await;
    let mut devices = Vec::new();
    for _ in 0..LABOURS / LABOURS_PER_PEER {
        devices.push(device_of(&crowd, &bench).await);
    }
    let flood = devices.iter().map(|device| (device, &hostile)).collect();
    let (owner, auditor, stored) = audited(&bench).await;
    amid(flood, async {
        for _ in 0..5 {
            assert_eq!(stored.audit(&auditor).await, Ok(Ok(())), "an auditor of this farmer");
            assert_eq!(stored.audit(&owner).await, Ok(Ok(())), "another owner");
        }
    })
    .await;
}

#[tokio::test]
async fn owners_who_take_all_places_that_owners_have_leave_auditors_theirs() {
    let (bench, _) = bench().await;
    let mut crowd = Vec::new();
    for _ in 0..LABOURS / LABOURS_PER_HAND {
        let owner = bench.owner().await;
        let stored = owner.kept(owner.agree().await, Sectors::MIN, &[300 * BLOCK]).await;
        let mut devices = vec![owner];
        while devices.len() < LABOURS_PER_HAND / LABOURS_PER_PEER {
            devices.push(device_of(&devices[0], &bench).await);
        }
        crowd.push((devices, stored));
    }
    let flood = crowd.iter().flat_map(|(devices, stored)| devices.iter().map(move |device| (device, stored)));
    let (_, auditor, stored) = audited(&bench).await;
    amid(flood.collect(), async {
        for _ in 0..5 {
            assert_eq!(stored.audit(&auditor).await, Ok(Ok(())), "an auditor of this farmer");
        }
    })
    .await;
}

/// A further device of an owner.
async fn device_of(owner: &Script, bench: &Bench) -> Script {
    let mut device = bench.owner().await;
    device.certificate = Some(owner.certify(device.net.local_id(), super::bench::START, 300 * DAY));
    device
}

/// An owner, its auditor, and what that audits.
async fn audited(bench: &Bench) -> (Script, Script, Stored) {
    let (owner, auditor) = (bench.owner().await, bench.owner().await);
    let terms = Terms { auditor: Some(auditor.net.local_id()), ..owner.terms() };
    let stored = owner.kept(owner.agree_to(terms).await.expect("agreed"), Sectors::MIN, &[5 * BLOCK]).await;
    (owner, auditor, stored)
}

/// Does this while each device has as many proofs asked for as there are places for it, and as many more that are refused.
async fn amid(devices: Vec<(&Script, &Stored)>, work: impl Future<Output = ()>) {
    let refused = Semaphore::new(0);
    let flood = devices.iter().flat_map(|device| [device; 2 * LABOURS_PER_PEER]).map(|(device, stored)| {
        let refused = &refused;
        async move {
            let mut first = true;
            loop {
                let answer = device.ask(Request::Challenge(Box::new(stored.question()))).await;
                if answer.is_err() {
                    refused_as_busy(answer);
                    refused.add_permits(usize::from(std::mem::take(&mut first)));
                }
            }
        }
    });
    let work = async {
        let all = u32::try_from(devices.len() * LABOURS_PER_PEER).expect("few devices");
        refused.acquire_many(all).await.expect("never closed").forget();
        work.await;
    };
    match select(pin!(work), pin!(join_all(flood))).await {
        Either::Left(((), _)) => {}
        Either::Right((never, _)) => panic!("{never:?}"),
    }
}

/// The connection itself says it without a full stop.
fn refused_as_busy(answer: Result<Answer, NetError>) {
    match answer {
        Err(NetError::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Busy),
        other => panic!("{other:?}"),
    }
}
