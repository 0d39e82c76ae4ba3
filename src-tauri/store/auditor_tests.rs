//! The auditor's books: bounds, and what is kept of what.

use hayloft_core::{
    DeviceId, Timestamp,
    audit::Epoch,
    auditor::{
        Judgement, Reason, Verdict,
        follow::State,
        record::{self, Record},
        round::Kept,
    },
};

use crate::{
    auditor::{AuditorError, Bounds, Followed, Known, RECEIPTS_KEPT, REVISIONS_KEPT, Step, VERDICTS_KEPT},
    farmer_tests::{NOW, open},
    samples::{END, contract_id, entry, revision, terms},
};

pub(crate) fn followed(
    seed: u8,
    number: u64,
    shards: u32,
) -> (Followed, Vec<hayloft_core::contract::ShardEntry>) {
    let shards: Vec<_> = (0..shards).map(|seed| entry(seed, 10)).collect();
    let mut revision = revision(seed, number, vec![], vec![]);
    revision.revision.shards = shards.len() as u64;
    let terms = terms(seed);
    let state = State::new(&terms.terms, NOW);
    let (contract, due) = (contract_id(seed), Some(NOW));
    (Followed { contract, terms, revision, keys: vec![vec![1; 3]], state, due, until: END }, shards)
}

pub(crate) fn judgement(epoch: u64, verdict: Verdict) -> Judgement {
    let reason = (verdict == Verdict::Missed).then_some(Reason::Silence);
    Judgement { epoch: Epoch(epoch), revision: 0, verdict, reason, at: NOW }
}

pub(crate) fn step(seed: u8, judged: Vec<(Judgement, Option<Vec<u8>>)>) -> Step {
    let record = record::apply(Record::new(NOW), record::Event::Heard, NOW).0;
    let farmer = Known { farmer: DeviceId([9; 32]), address: Some("192.0.2.1".into()), record };
    let (followed, _) = followed(seed, 0, 0);
    let (contract, due) = (contract_id(seed), Some(NOW.plus_seconds(9)));
    Step { contract, state: followed.state, due, judged, farmer: Some(farmer), round: None }
}

#[tokio::test]
async fn what_was_written_is_read_again_and_due_contracts_come_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let auditor = open(folder.path()).await.auditor();
    for (seed, due) in [(1, 30), (2, 10), (3, 20)] {
        let (mut one, shards) = followed(seed, 0, 2);
        one.due = Some(Timestamp(due));
        auditor.follow(&one, &shards, Bounds::default()).await.unwrap();
        assert_eq!(auditor.followed(one.contract).await.unwrap().as_ref(), Some(&one));
        let kept = auditor.revision(one.contract, 0).await.unwrap().unwrap();
        assert_eq!(kept, (one.revision, shards));
    }
    let due = |now| auditor.due(Timestamp(now), 9);
    let by = |seed| (contract_id(seed), DeviceId([9; 32]));
    assert_eq!(due(9).await.unwrap(), []);
    assert_eq!(due(25).await.unwrap(), [by(2), by(3)]);
    assert_eq!(auditor.next_due(Timestamp(20)).await.unwrap(), Some(Timestamp(30)));
    assert_eq!(auditor.next_due(Timestamp(30)).await.unwrap(), None);
    auditor.step(&step(2, vec![(judgement(0, Verdict::Passed), Some(vec![5]))])).await.unwrap();
    assert_eq!(due(25).await.unwrap(), [by(3)]);
    assert_eq!(auditor.receipt(contract_id(2), Epoch(0)).await.unwrap(), Some((0, vec![5])));
    assert_eq!(auditor.receipt(contract_id(2), Epoch(1)).await.unwrap(), None);
    assert_eq!(auditor.kept_by(DeviceId([9; 32])).await.unwrap(), (3, 0));
    assert_eq!(auditor.farmers().await.unwrap(), [step(2, vec![]).farmer.unwrap()]);
    assert_eq!(auditor.round().await.unwrap(), None);
    let round = Kept { begun: NOW, braked: true, usual: 0.25 };
    auditor.step(&Step { round: Some(round), ..step(2, vec![]) }).await.unwrap();
    assert_eq!(auditor.round().await.unwrap(), Some(round));
    let round = Kept { braked: false, ..round };
    auditor.keep_round(&round).await.unwrap();
    assert_eq!(auditor.round().await.unwrap(), Some(round));
}

#[tokio::test]
async fn strangers_cannot_make_an_auditor_follow_more_than_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let auditor = open(folder.path()).await.auditor();
    let bounds = Bounds { contracts: 3, contracts_per_owner: 2, shards: 100, shards_per_owner: 10 };
    let of_owner = |seed: u8, owner: u8, shards| {
        let (mut one, list) = followed(seed, 0, shards);
        one.terms.terms.owner = crate::samples::owner_id(owner);
        (one, list)
    };
    let follow = async |seed, owner, shards| {
        let (one, list) = of_owner(seed, owner, shards);
        auditor.follow(&one, &list, bounds).await
    };
    assert!(matches!(follow(1, 1, 11).await, Err(AuditorError::OwnersShare)));
    follow(1, 1, 5).await.unwrap();
    follow(2, 1, 5).await.unwrap();
    assert!(matches!(follow(3, 1, 0).await, Err(AuditorError::OwnersShare)));
    assert!(matches!(follow(1, 1, 5).await, Err(AuditorError::Stale)));
    follow(3, 2, 1).await.unwrap();
    assert!(matches!(follow(4, 3, 1).await, Err(AuditorError::Full)));
    assert_eq!(auditor.figures(None).await.unwrap(), (3, 11));
    let (mut more, list) = of_owner(2, 1, 6);
    more.revision.revision.number = 1;
    assert!(matches!(auditor.revise(&more, &list, bounds).await, Err(AuditorError::OwnersShare)));
    assert_eq!(auditor.forget_over(END).await.unwrap(), 3);
    follow(4, 3, 1).await.unwrap();
}

#[tokio::test]
async fn revisions_only_go_forward_and_few_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let auditor = open(folder.path()).await.auditor();
    let (one, shards) = followed(1, 0, 1);
    assert!(matches!(auditor.revise(&one, &shards, Bounds::default()).await, Err(AuditorError::NotFollowed)));
    auditor.follow(&one, &shards, Bounds::default()).await.unwrap();
    for number in 1..=6 {
        let (one, shards) = followed(1, number, 1);
        auditor.revise(&one, &shards, Bounds::default()).await.unwrap();
        assert!(matches!(auditor.revise(&one, &shards, Bounds::default()).await, Err(AuditorError::Stale)));
    }
    let first = 6 - REVISIONS_KEPT;
    assert!(auditor.revision(contract_id(1), first - 1).await.unwrap().is_none());
    assert!(auditor.revision(contract_id(1), first).await.unwrap().is_some());
}

#[tokio::test]
async fn a_later_verdict_replaces_that_of_its_epoch_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let auditor = open(folder.path()).await.auditor();
    let (one, shards) = followed(1, 0, 1);
    assert!(matches!(auditor.step(&step(1, vec![])).await, Err(AuditorError::NotFollowed)));
    auditor.follow(&one, &shards, Bounds::default()).await.unwrap();
    auditor.step(&step(1, vec![(judgement(7, Verdict::Missed), None)])).await.unwrap();
    auditor.step(&step(1, vec![(judgement(7, Verdict::Passed), Some(vec![7]))])).await.unwrap();
    let verdicts = auditor.verdicts(contract_id(1), None, 9).await.unwrap();
    assert_eq!(
        verdicts.iter().map(|one| (one.judgement.verdict, one.receipt)).collect::<Vec<_>>(),
        [(Verdict::Passed, true)]
    );
    let many = (8..8 + VERDICTS_KEPT).map(|epoch| (judgement(epoch, Verdict::Passed), Some(vec![1])));
    auditor.step(&step(1, many.collect())).await.unwrap();
    let verdicts = auditor.verdicts(contract_id(1), None, u32::MAX).await.unwrap();
    assert_eq!(verdicts.len() as u64, VERDICTS_KEPT);
    assert_eq!(verdicts.iter().filter(|one| one.receipt).count() as u64, RECEIPTS_KEPT);
    let page = auditor.verdicts(contract_id(1), Some(Epoch(10)), 1).await.unwrap();
    assert_eq!(page[0].judgement.epoch, Epoch(9));
}

#[tokio::test]
async fn what_a_verdict_that_is_paid_for_rests_on_stays_as_long_as_it_with_the_keys_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (auditor, (one, shards)) = (store.auditor(), followed(1, 0, 1));
    let contract = one.terms.terms.id();
    store.funds().keep([1; 32], &one.terms.terms).await.unwrap();
    auditor.follow(&Followed { contract, ..one.clone() }, &shards, Bounds::default()).await.unwrap();
    let passed = |epoch| (judgement(epoch, Verdict::Passed), Some(vec![1]));
    let all = (0..VERDICTS_KEPT - 1).map(passed).collect();
    auditor.step(&Step { contract, ..step(1, all) }).await.unwrap();
    auditor.keep_keys(contract, &[vec![9]]).await.unwrap();
    auditor.step(&Step { contract, ..step(1, vec![passed(VERDICTS_KEPT)]) }).await.unwrap();
    let exhibits = auditor.exhibits(contract).await.unwrap();
    assert_eq!(exhibits.len() as u64, VERDICTS_KEPT);
    assert!(exhibits.iter().all(|exhibit| exhibit.receipt.as_deref() == Some(&[1][..])));
    let (newest, older) = exhibits.split_last().unwrap();
    assert_eq!(newest.keys, [vec![9]]);
    assert!(
        older.iter().all(|exhibit| exhibit.keys == one.keys),
        "an owner that changes its key changes no past"
    );
}
