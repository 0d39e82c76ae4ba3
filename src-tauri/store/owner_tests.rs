//! What the owner's tables promise, seen through their public operations.

use hayloft_core::{DeviceId, FileId, SegmentId, ShardId, Timestamp};
use serde_json::json;

use crate::{
    Owner, Store,
    farmer_tests::{NOW, open},
    files::{FileSegment, NewSegment, Removal, Save, StoredFile},
    jobs::JobState,
    owner::{OwnerError, Placing},
    peers::{MARKS_PER_FARMER, Mark, PEERS, Peer},
    samples::{contract_id, entry, revision, shard_id, terms},
};

const FARMER: DeviceId = DeviceId([9; 32]);

async fn owner() -> (tempfile::TempDir, Store, Owner) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let owner = store.owner();
    (folder, store, owner)
}

fn segment(seed: u8, sealed_bytes: u64) -> NewSegment {
    let segment = SegmentId([seed; 32]);
    NewSegment {
        segment,
        placement: vec![seed],
        sealed_bytes,
        stored_bytes: 2 * sealed_bytes,
        notes: vec![seed, 1],
    }
}

fn file(name: u8, id: u8, parts: &[(u8, u64)]) -> StoredFile {
    let part = |(seed, live_bytes): &(u8, u64)| FileSegment {
        segment: SegmentId([*seed; 32]),
        live_bytes: *live_bytes,
    };
    StoredFile {
        name_key: [name; 32],
        file: FileId([id; 32]),
        content: vec![id],
        bytes: 7,
        stored: Timestamp(u64::from(id)),
        keep_until: Timestamp(100),
        renew: false,
        segments: parts.iter().map(part).collect(),
    }
}

fn placing(seed: u32) -> Placing {
    let segment = SegmentId([1; 32]);
    Placing { shard: shard_id(seed), farmer: FARMER, contract: contract_id(1), segment, job: Some(1) }
}

#[tokio::test]
async fn files_and_segments_are_saved_together_or_not_at_all() {
    let (_folder, _store, owner) = owner().await;
    owner.add_placing(&[placing(1), placing(2)]).await.unwrap();
    let save = Save {
        segments: vec![segment(1, 100)],
        files: vec![file(1, 1, &[(1, 60)]), file(2, 2, &[(1, 40)])],
        placed: vec![shard_id(1)],
        ..Save::default()
    };
    owner.save(&save).await.unwrap();
    assert_eq!(owner.placing().await.unwrap(), [placing(2)]);
    assert_eq!(owner.files().await.unwrap(), [file(2, 2, &[(1, 40)]), file(1, 1, &[(1, 60)])]);
    assert_eq!(owner.file(&[1; 32]).await.unwrap(), Some(file(1, 1, &[(1, 60)])));
    assert_eq!(owner.segment(SegmentId([1; 32])).await.unwrap().unwrap().live_bytes, 100);

    let taken = Save { segments: vec![segment(2, 9)], files: vec![file(1, 3, &[(2, 9)])], ..Save::default() };
    assert!(
        matches!(owner.save(&taken).await, Err(OwnerError::NameTaken { name_key }) if name_key == [1; 32])
    );
    let unplaced =
        Save { segments: vec![segment(2, 9)], files: vec![file(3, 3, &[(8, 9)])], ..Save::default() };
    assert!(matches!(owner.save(&unplaced).await, Err(OwnerError::UnknownSegment)));
    assert_eq!(owner.segments().await.unwrap().len(), 1);
    assert_eq!(owner.files().await.unwrap().len(), 2);
}

#[tokio::test]
async fn shards_written_down_at_once_are_all_there_and_given_up_ones_are_not() {
    let (_folder, _store, owner) = owner().await;
    let adding = (0..40).map(|seed| {
        let owner = owner.clone();
        async move { owner.add_placing(&[placing(seed)]).await }
    });
    futures::future::try_join_all(adding).await.unwrap();
    assert_eq!(owner.placing().await.unwrap().len(), 40);
    let given_up = futures::FutureExt::now_or_never(owner.add_placing(&[placing(50)]));
    assert!(given_up.is_none(), "written down without waiting for the disk");
    owner.add_placing(&[placing(51)]).await.unwrap();
    let shards: Vec<ShardId> = owner.placing().await.unwrap().iter().map(|placing| placing.shard).collect();
    assert!(shards.contains(&shard_id(51)) && !shards.contains(&shard_id(50)));
}

#[tokio::test]
async fn shards_of_a_saved_segment_are_not_given_up_and_given_up_ones_are_not_saved() {
    let (_folder, _store, owner) = owner().await;
    owner.add_placing(&[placing(1), placing(2)]).await.unwrap();
    let save = |seed: u8, shard: u32| Save {
        segments: vec![segment(seed, 100)],
        files: vec![file(seed, seed, &[(seed, 60)])],
        placed: vec![shard_id(shard)],
        ..Save::default()
    };
    let removal = |shard| Removal { farmer: FARMER, contract: contract_id(1), shard: shard_id(shard) };
    owner.save(&save(1, 1)).await.unwrap();
    owner.give_up_placing(&[removal(1), removal(2)]).await.unwrap();
    assert_eq!(owner.removals().await.unwrap(), [removal(2)], "the first is needed now");
    assert!(owner.placing().await.unwrap().is_empty());
    let late = owner.save(&save(2, 2)).await;
    assert!(matches!(late, Err(OwnerError::GivenUp(shard)) if shard == shard_id(2)));
    assert_eq!(owner.files().await.unwrap().len(), 1, "a file without its shards is never listed");
}

#[tokio::test]
async fn replacing_and_removing_leave_dead_bytes_until_segments_are_removed() {
    let (_folder, _store, owner) = owner().await;
    let files = vec![file(1, 1, &[(1, 60)]), file(2, 2, &[(1, 40)])];
    owner.save(&Save { segments: vec![segment(1, 100)], files, ..Save::default() }).await.unwrap();
    let files = vec![file(1, 3, &[(2, 10)])];
    let replace = Save { segments: vec![segment(2, 10)], files, replace: true, ..Save::default() };
    owner.save(&replace).await.unwrap();
    assert_eq!(owner.file(&[1; 32]).await.unwrap().unwrap().file, FileId([3; 32]));
    let half_dead = owner.half_dead_segments().await.unwrap();
    assert_eq!(half_dead.iter().map(|segment| segment.live_bytes).collect::<Vec<_>>(), [40]);
    let living = owner.file(&[2; 32]).await.unwrap().unwrap();
    assert_eq!(owner.files_in(half_dead[0].segment).await.unwrap(), [living]);
    let in_use = owner.remove_segments(&[(SegmentId([1; 32]), Vec::new())]).await;
    assert!(matches!(in_use, Err(OwnerError::SegmentInUse)));

    let unknown = owner.remove_files(&[[2; 32], [7; 32]]).await;
    assert!(matches!(unknown, Err(OwnerError::UnknownFile)));
    owner.remove_files(&[[2; 32]]).await.unwrap();
    let dead = owner.dead_segments().await.unwrap();
    assert_eq!(dead.iter().map(|segment| segment.segment).collect::<Vec<_>>(), [SegmentId([1; 32])]);
    let removal = Removal { farmer: FARMER, contract: contract_id(1), shard: shard_id(1) };
    owner.add_placing(&[placing(1)]).await.unwrap();
    let dead = [(SegmentId([1; 32]), vec![removal])];
    owner.remove_segments(&dead).await.unwrap();
    assert!(owner.dead_segments().await.unwrap().is_empty() && owner.placing().await.unwrap().is_empty());
    assert_eq!(owner.removals().await.unwrap(), [removal]);
    owner.clear_removals(&[removal.shard]).await.unwrap();
    owner.remove_segments(&dead).await.expect("somebody else was faster");
    assert!(owner.removals().await.unwrap().is_empty(), "its farmers were told already");
}

#[tokio::test]
async fn segments_of_a_running_job_outlive_a_restart_and_die_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let job = store.jobs().insert("put", &json!({"paths": ["/a"]}), &json!({}), NOW).await.unwrap();
    let first = Save { job: Some(job), segments: vec![segment(1, 100)], ..Save::default() };
    store.owner().save(&first).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(folder.path()).await;
    let owner = store.owner();
    assert_eq!(store.jobs().unfinished().await.unwrap()[0].spec, json!({"paths": ["/a"]}));
    let saved = owner.job_segments(job).await.unwrap();
    assert_eq!((saved[0].segment, saved[0].notes.as_slice()), (SegmentId([1; 32]), &[1, 1][..]));
    assert!(owner.dead_segments().await.unwrap().is_empty(), "the job still needs it");
    let files = vec![file(1, 1, &[(2, 5)])];
    owner
        .save(&Save { job: Some(job), segments: vec![segment(2, 5)], files, ..Save::default() })
        .await
        .unwrap();
    owner.end_job_segments(job).await.unwrap();
    let dead = owner.dead_segments().await.unwrap();
    assert_eq!(dead.iter().map(|segment| segment.segment).collect::<Vec<_>>(), [SegmentId([1; 32])]);
    assert!(dead[0].notes.is_empty());
}

#[tokio::test]
async fn failed_jobs_that_hold_segments_are_found_however_many_came_after_them() {
    let (_folder, store, owner) = owner().await;
    let jobs = store.jobs();
    let nothing = json!({});
    for number in 1..=300 {
        let job = jobs.insert("put", &nothing, &nothing, NOW).await.unwrap();
        let state = if number == 2 { JobState::Cancelled } else { JobState::Failed };
        if number <= 3 {
            let segment = segment(u8::try_from(number).unwrap(), 10);
            owner.save(&Save { job: Some(job), segments: vec![segment], ..Save::default() }).await.unwrap();
        }
        jobs.finish(job, state, &nothing, None, NOW.plus_seconds(u64::from(job))).await.unwrap();
    }
    let held = async |ended_before: u64| -> Vec<u32> {
        let found = jobs.failed_with_segments(NOW.plus_seconds(ended_before)).await.unwrap();
        found.iter().map(|row| row.id).collect()
    };
    assert_eq!(held(1000).await, [1, 3]);
    assert_eq!(held(3).await, [1], "the other one ended later");
    owner.end_job_segments(1).await.unwrap();
    assert_eq!(held(1000).await, [3]);
}

#[tokio::test]
async fn renewals_and_repairs_replace_sealed_records() {
    let (_folder, _store, owner) = owner().await;
    let files = vec![file(1, 1, &[(1, 60)])];
    owner.save(&Save { segments: vec![segment(1, 100)], files, ..Save::default() }).await.unwrap();
    owner.update_file(&[1; 32], b"renewed", Timestamp(900), true).await.unwrap();
    let renewed = owner.file(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (renewed.content.as_slice(), renewed.keep_until, renewed.renew),
        (&b"renewed"[..], Timestamp(900), true)
    );
    assert!(matches!(owner.update_file(&[2; 32], b"", NOW, true).await, Err(OwnerError::UnknownFile)));
    owner.update_placement(SegmentId([1; 32]), b"moved", &[], &[]).await.unwrap();
    assert_eq!(owner.segment(SegmentId([1; 32])).await.unwrap().unwrap().placement, b"moved");
    let unknown = owner.update_placement(SegmentId([2; 32]), b"", &[], &[]).await;
    assert!(matches!(unknown, Err(OwnerError::UnknownSegment)));
}

#[tokio::test]
async fn contracts_follow_their_revisions() {
    let (_folder, _store, owner) = owner().await;
    let unknown = owner.save_revision(&revision(1, 0, vec![], vec![])).await;
    assert!(matches!(unknown, Err(OwnerError::UnknownContract)));
    owner.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    owner.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    let first = revision(1, 0, vec![entry(1, 10), entry(2, 20)], vec![]);
    owner.save_revision(&first).await.unwrap();
    owner.save_revision(&first).await.unwrap();
    owner.save_revision(&revision(1, 1, vec![], vec![shard_id(1)])).await.unwrap();
    let stale = owner.save_revision(&first).await;
    assert!(matches!(stale, Err(OwnerError::NotNext { found: 0, newest: Some(1) })));
    let contract = owner.contract(contract_id(1)).await.unwrap().unwrap();
    assert_eq!(contract.shards, [entry(2, 20)]);
    owner.rebase(&revision(1, 7, vec![], vec![]), &[entry(5, 50)]).await.unwrap();
    let contracts = owner.contracts(Some(FARMER)).await.unwrap();
    assert_eq!(contracts[0].shards, [entry(5, 50)]);
    assert_eq!(contracts[0].revision.as_ref().unwrap().revision.number, 7);
    assert!(owner.contracts(Some(DeviceId([8; 32]))).await.unwrap().is_empty());
    owner.remove_contract(contract_id(1)).await.unwrap();
    assert!(owner.contracts(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn jobs_are_told_newest_first_and_unfinished_ones_oldest_first() {
    let (_folder, store, _owner) = owner().await;
    let jobs = store.jobs();
    let mut ids = Vec::new();
    for kind in ["put", "get", "put"] {
        ids.push(jobs.insert(kind, &json!({}), &json!(0), NOW).await.unwrap());
    }
    jobs.update(ids[0], JobState::Paused, &json!(5)).await.unwrap();
    jobs.finish(ids[1], JobState::Done, &json!(9), Some(&json!({"bytes": 9})), NOW).await.unwrap();
    let listed = jobs.list(2).await.unwrap();
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[2], ids[1]]);
    let unfinished = jobs.unfinished().await.unwrap();
    assert_eq!(
        unfinished.iter().map(|job| (job.id, job.state)).collect::<Vec<_>>(),
        [(ids[0], JobState::Paused), (ids[2], JobState::Running)]
    );
    let done = jobs.get(ids[1]).await.unwrap().unwrap();
    assert_eq!(
        (done.state, done.progress, done.report),
        (JobState::Done, json!(9), Some(json!({"bytes": 9})))
    );
    assert!(jobs.get(99).await.unwrap().is_none());
}

#[tokio::test]
async fn peers_and_marks_are_bounded_and_the_newest_stay() {
    let (_folder, store, _owner) = owner().await;
    let peers = store.peers();
    let peer = |number: u32| Peer {
        device: DeviceId(shard_id(number).0),
        addresses: vec![format!("/ip4/10.0.0.1/udp/{number}/quic-v1")],
        farmer: number.is_multiple_of(2),
        seen: Timestamp(u64::from(number)),
    };
    peers.remember(&(0..PEERS + 5).map(peer).collect::<Vec<_>>()).await.unwrap();
    let listed = peers.list().await.unwrap();
    assert_eq!(listed.len(), PEERS as usize);
    assert_eq!((&listed[0], listed.last().unwrap()), (&peer(PEERS + 4), &peer(5)));
    peers.forget(listed[0].device).await.unwrap();
    assert_eq!(peers.list().await.unwrap()[0], peer(PEERS + 3));
    let mark = |at: u32| Mark {
        farmer: FARMER,
        kind: "blamed".to_owned(),
        reason: "sent a wrong cell".to_owned(),
        at: Timestamp(u64::from(at)),
    };
    for at in 0..MARKS_PER_FARMER + 3 {
        peers.mark(&mark(at)).await.unwrap();
    }
    assert_eq!(peers.marks("blamed", Timestamp(0)).await.unwrap()[0], mark(3));
    assert_eq!(peers.marks("blamed", Timestamp(102)).await.unwrap(), [mark(102)]);
    assert!(peers.marks("slow", Timestamp(0)).await.unwrap().is_empty());
}
