//! What the catalog promises: whatever the database or the log lost, alone, no file is lost; and log and rows agree
//! after a failure or crash at any step.

use std::{fs, path::Path};

use hayloft_core::{Amount, FileId, SegmentId, Timestamp, spending::Limits};
use serde_json::{Value, json};

use crate::{
    CatalogState, DatabaseError, DatabaseState, Guard, Home, OpenError, OpenReport, Store, StoreOptions,
    db::Db,
    disk::{Deed, Disk},
    files::{FileSegment, NewSegment, Removal, Save, Segment, StoredFile},
    funding::Funding,
    jobs::{JobRow, JobState},
    outbox::{EscrowRow, EscrowState, Fate, NewRow, OutboxError, OutboxRow, Role},
    owner::{OwnerContract, OwnerError, Placing},
    samples::{contract_id, entry, revision, shard_id, terms},
};

const FARMER: hayloft_core::DeviceId = hayloft_core::DeviceId([9; 32]);
const NOW: Timestamp = Timestamp(2_000);

async fn open_on(folder: &Path, disk: Disk) -> (Store, OpenReport) {
    let options = StoreOptions { disk, ..StoreOptions::new(None, Guard { bytes: 0, percent: 0 }) };
    Store::open(Home::open(folder).unwrap(), options).await.unwrap()
}

async fn open(folder: &Path) -> (Store, OpenReport) {
    open_on(folder, Disk::default()).await
}

/// All that must survive.
#[derive(Debug, Clone, PartialEq)]
struct Records {
    files: Vec<StoredFile>,
    segments: Vec<Segment>,
    contracts: Vec<OwnerContract>,
    removals: Vec<Removal>,
    jobs: Vec<JobRow>,
    funding: Vec<Funding>,
    payments: Vec<OutboxRow>,
}

async fn records(store: &Store) -> Records {
    let owner = store.owner();
    Records {
        files: owner.files().await.unwrap(),
        segments: owner.segments().await.unwrap(),
        contracts: owner.contracts(None).await.unwrap(),
        removals: owner.removals().await.unwrap(),
        jobs: store.jobs().list(100).await.unwrap(),
        funding: store.funds().list(None).await.unwrap(),
        payments: store.outbox().list().await.unwrap(),
    }
}

fn segment(seed: u8) -> NewSegment {
    let placement = vec![seed; 100];
    NewSegment {
        segment: SegmentId([seed; 32]),
        placement,
        sealed_bytes: 100,
        stored_bytes: 200,
        notes: vec![seed],
    }
}

fn file(name: u8, id: u8, part: u8) -> StoredFile {
    StoredFile {
        name_key: [name; 32],
        file: FileId([id; 32]),
        content: vec![id; 50],
        bytes: 7,
        stored: Timestamp(u64::from(id)),
        keep_until: Timestamp(100),
        renew: false,
        segments: vec![FileSegment { segment: SegmentId([part; 32]), live_bytes: 100 }],
    }
}

fn placing(seed: u32) -> Placing {
    let (contract, segment) = (contract_id(1), SegmentId([2; 32]));
    Placing { shard: shard_id(seed), farmer: FARMER, contract, segment, job: Some(1) }
}

fn removal(seed: u32) -> Removal {
    Removal { farmer: FARMER, contract: contract_id(1), shard: shard_id(seed) }
}

/// How many steps there are.
const STEPS: usize = 24;

/// One change of an owner's life; each is one commit.
async fn step(store: &Store, number: usize) -> Result<(), OwnerError> {
    let (owner, jobs) = (store.owner(), store.jobs());
    let nothing = Value::Null;
    match number {
        0 => owner.insert_contract(contract_id(1), &terms(1)).await,
        1 => Ok(jobs.insert("put", &json!("spec"), &nothing, NOW).await.map(drop)?),
        2 => owner.add_placing(&[placing(1), placing(2)]).await,
        3 => owner.save_revision(&revision(1, 0, vec![entry(1, 10), entry(2, 20)], vec![])).await,
        4 => {
            let (segments, placed) = (vec![segment(1)], vec![shard_id(1)]);
            owner
                .save(&Save { job: Some(1), segments, files: vec![file(1, 1, 1)], placed, ..Save::default() })
                .await
        }
        5 => {
            let (segments, placed) = (vec![segment(2)], vec![shard_id(2)]);
            let files = vec![file(2, 2, 2), file(3, 3, 1)];
            owner.save(&Save { job: Some(1), segments, files, placed, replace: false }).await
        }
        6 => Ok(jobs.update(1, JobState::Paused, &json!("half")).await?),
        7 => owner.update_file(&[1; 32], b"renewed", Timestamp(900), true).await,
        8 => owner.update_placement(SegmentId([2; 32]), b"moved", &[], &[removal(6)]).await,
        9 => {
            let save = Save { files: vec![file(2, 4, 1)], replace: true, ..Save::default() };
            owner.save(&save).await
        }
        10 => owner.end_job_segments(1).await,
        11 => owner.remove_segments(&[(SegmentId([2; 32]), vec![removal(2)])]).await,
        12 => owner.rebase(&revision(1, 7, vec![], vec![]), &[entry(1, 10), entry(5, 50)]).await,
        13 => Ok(jobs.finish(1, JobState::Done, &nothing, Some(&json!("report")), NOW).await?),
        14 => owner.deny_contract(contract_id(1), NOW).await,
        15 => owner.remove_files(&[[3; 32]]).await,
        16 => Ok(store.funds().keep([1; 32], &terms(1).terms).await?),
        17 => Ok(store.outbox().keep_escrow(&escrow(EscrowState::Expected)).await?),
        18 => match store.outbox().insert(&payment(), &Limits::default(), NOW).await {
            Err(OutboxError::Database(error)) => Err(error.into()),
            Err(error) => panic!("{error}"),
            Ok(_) => Ok(()),
        },
        19 => Ok(store.outbox().close(&[2; 32], &Fate::Failed { ledger: 7, reason: "why".into() }).await?),
        20 => Ok(store.outbox().keep_escrow(&escrow(EscrowState::Seen)).await?),
        21 => Ok(store.outbox().begin_anew(b"another").await?),
        22 => owner.clear_removals(&[shard_id(6)]).await,
        _ => owner.update_file(&[1; 32], b"renewed", Timestamp(901), true).await,
    }
}

fn escrow(state: EscrowState) -> EscrowRow {
    EscrowRow { account: [1; 32], plan: vec![7; 20], role: Role::Owner, state }
}

fn payment() -> NewRow {
    NewRow {
        network: [1; 32],
        hash: [2; 32],
        source: [3; 32],
        sequence: 4,
        latest: NOW.plus_seconds(300),
        envelope: vec![5],
        purpose: vec![6],
        spends: Amount(7),
    }
}

/// The home's files after each number of steps, and what they hold.
async fn history() -> Vec<(tempfile::TempDir, Records)> {
    let home = tempfile::tempdir().unwrap();
    let mut history = Vec::new();
    for number in 0..=STEPS {
        let (store, _) = open(home.path()).await;
        if number > 0 {
            step(&store, number - 1).await.unwrap();
        }
        let now = records(&store).await;
        store.close().await;
        drop(store);
        let copy = tempfile::tempdir().unwrap();
        for name in ["hayloft.db", "catalog.log", "database.id"] {
            fs::copy(home.path().join(name), copy.path().join(name)).unwrap();
        }
        fs::create_dir(copy.path().join("shards")).unwrap();
        let marker = home.path().join("shards").join("hayloft-farm");
        fs::copy(marker, copy.path().join("shards").join("hayloft-farm")).unwrap();
        fs::create_dir(copy.path().join("shards").join("contracts")).unwrap();
        history.push((copy, now));
    }
    history
}

/// A home with the rows of one time and the log of another.
fn mixed(rows: Option<&Path>, log: Option<&Path>, of: &Path) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("shards").join("contracts")).unwrap();
    for (from, name) in [
        (rows, "hayloft.db"),
        (log, "catalog.log"),
        (Some(of), "database.id"),
        (Some(of), "shards/hayloft-farm"),
    ] {
        if let Some(from) = from {
            fs::copy(from.join(name), home.path().join(name)).unwrap();
        }
    }
    home
}

async fn opened(home: &Path) -> (Records, OpenReport) {
    let (store, report) = open(home).await;
    let found = records(&store).await;
    store.close().await;
    (found, report)
}

/// What was mended is not mended again.
async fn opened_twice(home: &Path) -> (Records, OpenReport) {
    let (found, report) = opened(home).await;
    let (again, clean) = opened(home).await;
    assert_eq!((&clean.database, &clean.records), (&DatabaseState::Sound, &CatalogState::Sound));
    assert_eq!(again, found);
    (found, report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_of_rows_and_log_is_newer_wins() {
    let history = history().await;
    for (rows, (rows_at, rows_hold)) in history.iter().enumerate() {
        for (log, (log_at, log_holds)) in history.iter().enumerate() {
            // All neighbours, and every few of the rest.
            if rows.abs_diff(log) > 1 && (rows * 3 + log) % 5 > 0 {
                continue;
            }
            let home = mixed(Some(rows_at.path()), Some(log_at.path()), rows_at.path());
            let (found, report) = opened(home.path()).await;
            let expected = if log > rows { log_holds } else { rows_hold };
            assert_eq!(&found, expected, "rows after {rows} steps, log after {log}");
            assert_eq!((report.database, report.records), (DatabaseState::Sound, CatalogState::Sound));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_all_comes_back_from_the_log_and_without_the_log_from_the_database() {
    for (at, holds) in history().await {
        let home = mixed(None, Some(at.path()), at.path());
        let (found, report) = opened_twice(home.path()).await;
        assert_eq!(found, holds);
        assert!(matches!(report.database, DatabaseState::Rebuilt { .. }));
        let files = holds.files.len() as u64;
        assert_eq!(report.records, CatalogState::Rebuilt { files, damaged: None });

        let home = mixed(Some(at.path()), None, at.path());
        let (found, report) = opened(home.path()).await;
        assert_eq!(found, holds);
        assert_eq!((report.database, report.records), (DatabaseState::Sound, CatalogState::Sound));
        fs::remove_file(home.path().join("hayloft.db")).unwrap();
        assert_eq!(opened(home.path()).await.0, holds, "the log was written anew");
        // Even the home's own marker may be gone with the database: the log has it too.
        fs::remove_file(home.path().join("hayloft.db")).unwrap();
        fs::remove_file(home.path().join("database.id")).unwrap();
        assert_eq!(opened(home.path()).await.0, holds);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_torn_anywhere_costs_nothing_while_the_rows_are_there_and_no_acknowledged_batch_without_them() {
    let history = history().await;
    let (last_at, last) = history.last().unwrap();
    let (before_at, before) = &history[STEPS - 1];
    let whole = fs::read(last_at.path().join("catalog.log")).unwrap();
    let acknowledged = fs::read(before_at.path().join("catalog.log")).unwrap().len();
    for len in (0..whole.len()).step_by(211).chain((acknowledged..whole.len()).step_by(5)) {
        let home = mixed(Some(last_at.path()), None, last_at.path());
        fs::write(home.path().join("catalog.log"), &whole[..len]).unwrap();
        assert_eq!(&opened(home.path()).await.0, last, "cut after {len}");
        if len >= acknowledged {
            let home = mixed(None, None, last_at.path());
            fs::write(home.path().join("catalog.log"), &whole[..len]).unwrap();
            assert_eq!(&opened(home.path()).await.0, before, "cut after {len}");
        }
    }
}

#[tokio::test]
async fn a_damaged_log_is_put_aside_and_said_when_the_rows_are_lost_too() {
    let history = history().await;
    let (at, last) = history.last().unwrap();
    let mut bytes = fs::read(at.path().join("catalog.log")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let home = mixed(None, None, at.path());
    fs::write(home.path().join("catalog.log"), &bytes).unwrap();
    let (found, report) = opened(home.path()).await;
    assert!(history.iter().any(|(_, holds)| *holds == found) && found != *last);
    let CatalogState::Rebuilt { damaged: Some(aside), .. } = report.records else {
        panic!("{:?}", report.records)
    };
    assert_eq!(fs::read(aside).unwrap(), bytes, "kept for whoever can read more of it");

    let home = mixed(Some(at.path()), None, at.path());
    fs::write(home.path().join("catalog.log"), &bytes).unwrap();
    // The end is what it should be: the damage is found when the log is needed or written anew.
    assert_eq!(&opened(home.path()).await.0, last);
}

#[tokio::test]
async fn a_log_whose_beginning_is_damaged_is_never_written_over_when_the_rows_are_lost_too() {
    let history = history().await;
    let (at, last) = history.last().unwrap();
    let bytes = fs::read(at.path().join("catalog.log")).unwrap();
    for position in 0..24 {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        let home = mixed(None, None, at.path());
        fs::write(home.path().join("catalog.log"), &damaged).unwrap();
        let (found, report) = opened(home.path()).await;
        match report.records {
            CatalogState::Rebuilt { damaged: Some(aside), .. } => {
                assert_eq!(fs::read(aside).unwrap(), damaged)
            }
            other => assert_eq!(&found, last, "byte {position}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_node_whose_lock_was_deleted_writes_nothing_more_and_the_second_ones_files_stay() {
    let home = tempfile::tempdir().unwrap();
    let (first, _) = open(home.path()).await;
    step(&first, 0).await.unwrap();
    fs::remove_file(home.path().join("lock")).unwrap();
    let (second, _) = open(home.path()).await;
    let save =
        |seed| Save { segments: vec![segment(seed)], files: vec![file(seed, seed, seed)], ..Save::default() };
    second.owner().save(&save(1)).await.unwrap();
    let refused = first.owner().save(&save(2)).await.unwrap_err();
    assert!(matches!(refused, OwnerError::Database(DatabaseError::NotLocked)), "{refused}");
    second.owner().save(&save(3)).await.unwrap();
    let holds = records(&second).await;
    for store in [first, second] {
        store.close().await;
    }
    fs::remove_file(home.path().join("hayloft.db")).unwrap();
    let found = opened(home.path()).await.0;
    assert_eq!((&found, found.files.len()), (&holds, 2));
}

#[tokio::test]
async fn a_log_that_somebody_else_wrote_to_is_not_written_over() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(home.path()).await;
    step(&store, 0).await.unwrap();
    let path = home.path().join("catalog.log");
    let longer = [fs::read(&path).unwrap(), b"another's".to_vec()].concat();
    fs::write(&path, &longer).unwrap();
    let before = records(&store).await;
    let refused = step(&store, 1).await.unwrap_err().to_string();
    assert!(refused.contains("another program has written to catalog.log"), "{refused}");
    assert_eq!((records(&store).await, fs::read(&path).unwrap()), (before, longer));
}

#[tokio::test]
async fn another_homes_log_is_never_followed() {
    let (one, two) = (history().await, history().await);
    let (at, holds) = &one[3];
    let home = mixed(Some(at.path()), None, at.path());
    fs::copy(two[STEPS].0.path().join("catalog.log"), home.path().join("catalog.log")).unwrap();
    assert_eq!(&opened(home.path()).await.0, holds);
}

/// Does all steps on a disk of which one deed fails; with `dead`, all that follow too, and the process ends there.
async fn with_failure(fails: u64, dead: bool, lived: &[Records]) -> Option<Deed> {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let (store, _) = open_on(home.path(), disk.clone()).await;
    {
        let mut faults = disk.faults.lock().unwrap();
        (faults.done, faults.fails) = (0, Some((fails, dead)));
    }
    let mut at = 0;
    while at < STEPS {
        match step(&store, at).await {
            Ok(()) => at += 1,
            Err(_) if dead => break,
            Err(_) => assert_eq!(records(&store).await, lived[at], "a failure changes nothing"),
        }
    }
    assert_eq!(records(&store).await, lived[at], "after failure {fails}");
    store.close().await;
    drop(store);
    let (found, report) = opened(home.path()).await;
    // A step that was told to have failed may be found done after a crash, whole, and never after anything else.
    assert!(found == lived[at] || (dead && found == lived[at + 1]), "after failure {fails}");
    assert_eq!(report.records, CatalogState::Sound);
    fs::remove_file(home.path().join("hayloft.db")).unwrap();
    assert_eq!(opened(home.path()).await.0, found, "the log alone, after failure {fails}");
    disk.faults.lock().unwrap().failed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_and_sync_that_fails_is_told_and_leaves_log_and_rows_agreeing() {
    let lived: Vec<Records> = history().await.into_iter().map(|(_, lived)| lived).collect();
    for dead in [false, true] {
        let mut seen = Vec::new();
        for fails in 0.. {
            match with_failure(fails, dead, &lived).await {
                Some(deed) => seen.push(deed),
                None => break,
            }
        }
        assert!(seen.contains(&Deed::Write) && seen.contains(&Deed::Sync), "{seen:?}");
    }
}

#[tokio::test]
async fn a_log_that_grew_is_written_anew_and_shorter() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(home.path()).await;
    let owner = store.owner();
    owner
        .save(&Save { segments: vec![segment(1)], files: vec![file(1, 1, 1)], ..Save::default() })
        .await
        .unwrap();
    let content = vec![7; 300_000];
    let mut longest = 0;
    for round in 0..40 {
        owner.update_file(&[1; 32], &content, Timestamp(round), false).await.unwrap();
        longest = longest.max(fs::metadata(home.path().join("catalog.log")).unwrap().len());
    }
    assert!(longest < 5 << 20, "{longest}");
    let before = records(&store).await;
    store.close().await;
    drop((owner, store));
    fs::remove_file(home.path().join("hayloft.db")).unwrap();
    assert_eq!(opened(home.path()).await.0, before);
}

#[tokio::test]
async fn contracts_are_to_be_settled_once_rows_came_from_the_log() {
    let history = history().await;
    let (at, _) = history.last().unwrap();
    let home = mixed(None, Some(at.path()), at.path());
    let (store, _) = open(home.path()).await;
    let owner = store.owner();
    assert_eq!(owner.unsettled().await.unwrap(), [contract_id(1)]);
    owner.settle(contract_id(1)).await.unwrap();
    assert!(owner.unsettled().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_newer_than_the_log_stay_so_wherever_writing_it_anew_is_cut_off() {
    let history = history().await;
    let (at, holds) = &history[STEPS];
    for log in [Some(history[STEPS - 2].0.path()), None] {
        let mut seen = Vec::new();
        for fails in 0.. {
            let home = mixed(Some(at.path()), log, at.path());
            let disk = Disk::default();
            disk.faults.lock().unwrap().fails = Some((fails, true));
            let (store, _) = open_on(home.path(), disk.clone()).await;
            store.close().await;
            drop(store);
            assert_eq!(&opened(home.path()).await.0, holds, "after failure {fails}");
            let failed = disk.faults.lock().unwrap().failed;
            let Some(failed) = failed else { break };
            seen.push(failed);
        }
        // The rename comes after the rows' commit.
        assert!(seen.contains(&Deed::Rename), "{seen:?}");
    }
}

#[tokio::test]
async fn an_old_copy_of_the_database_never_wins_over_a_log_that_was_written_anew() {
    let history = history().await;
    let (at, _) = &history[STEPS];
    let mut damaged = fs::read(at.path().join("catalog.log")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (rows, log) in [(Some(at.path()), None), (None, Some(&damaged))] {
        let home = mixed(rows, None, at.path());
        if let Some(log) = log {
            fs::write(home.path().join("catalog.log"), log).unwrap();
        }
        let (store, _) = open(home.path()).await;
        store.jobs().insert("put", &json!("newest"), &Value::Null, NOW).await.unwrap();
        let newest = records(&store).await;
        store.close().await;
        drop(store);
        fs::copy(at.path().join("hayloft.db"), home.path().join("hayloft.db")).unwrap();
        assert_eq!(opened(home.path()).await.0, newest, "with a damaged log: {}", log.is_some());
    }
}

#[tokio::test]
async fn a_wrong_copy_of_the_homes_marker_shuts_nothing_out_and_moves_nothing() {
    let history = history().await;
    let (at, holds) = &history[STEPS];
    for wrong in ["database.id", "catalog.log", "hayloft.db"] {
        let home = mixed(Some(at.path()), Some(at.path()), at.path());
        match wrong {
            "database.id" => fs::write(home.path().join(wrong), b"0123456789abcde\n").unwrap(),
            "catalog.log" => {
                let mut log = fs::read(home.path().join(wrong)).unwrap();
                log[8] ^= 1;
                fs::write(home.path().join(wrong), log).unwrap();
            }
            _ => garble(home.path(), "UPDATE home SET value = zeroblob(16) WHERE key = 'marker'").await,
        }
        let (found, report) = opened_twice(home.path()).await;
        assert_eq!(&found, holds, "{wrong}");
        assert_eq!(report.database == DatabaseState::Sound, wrong != "hayloft.db", "{wrong}");
    }
}

#[tokio::test]
async fn a_home_whose_disk_is_another_ones_is_refused_with_its_database_where_it_was() {
    let history = history().await;
    let (at, _) = &history[STEPS];
    let home = mixed(Some(at.path()), Some(at.path()), at.path());
    fs::write(home.path().join("shards/hayloft-farm"), [7; 16]).unwrap();
    fs::write(home.path().join("hayloft.db"), [7; 8192]).unwrap();
    let options = StoreOptions::new(None, Guard::default());
    let refused = Store::open(Home::open(home.path()).unwrap(), options).await;
    assert!(matches!(refused, Err(OpenError::WrongFolder { .. })));
    assert_eq!(fs::read(home.path().join("hayloft.db")).unwrap(), [7; 8192]);
}

/// Flips a bit in the middle of the log.
fn damage_log(home: &Path) {
    let path = home.join("catalog.log");
    let mut log = fs::read(&path).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(path, log).unwrap();
}

/// Changes rows behind the store's back.
async fn garble(home: &Path, change: &'static str) {
    let db = Db::open(&home.join("hayloft.db")).await.unwrap();
    let mut write = db.write().await.unwrap();
    assert!(sqlx::query(change).execute(&mut *write).await.unwrap().rows_affected() > 0, "{change}");
    write.commit().await.unwrap();
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_cannot_be_read_comes_back_from_the_log() {
    let history = history().await;
    let (at, holds) = &history[9];
    for change in [
        "UPDATE home SET value = x'07' WHERE key = 'catalog'",
        "UPDATE jobs SET spec = 'no json'",
        "UPDATE jobs SET spec = CAST(x'ff00ff' AS TEXT)",
        "UPDATE jobs SET state = 77",
        "UPDATE jobs SET begun = -1",
        "UPDATE files SET bytes = -1",
        "UPDATE segments SET sealed_bytes = -1",
        "UPDATE owner_contracts SET terms = x'00'",
    ] {
        let home = mixed(Some(at.path()), Some(at.path()), at.path());
        garble(home.path(), change).await;
        let (found, report) = opened_twice(home.path()).await;
        assert_eq!(&found, holds, "{change}");
        let files = holds.files.len() as u64;
        assert_eq!(report.records, CatalogState::Rebuilt { files, damaged: None }, "{change}");
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_read_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(home.path()).await;
    for _ in 0..2 {
        store.jobs().insert("put", &json!("spec"), &Value::Null, NOW).await.unwrap();
    }
    let mut write = store.inner.db.write().await.unwrap();
    sqlx::query("UPDATE jobs SET spec = '{' WHERE id = 1").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let jobs = store.jobs();
    for seen in [jobs.list(10).await.unwrap(), jobs.unfinished().await.unwrap()] {
        assert_eq!(seen.iter().map(|job| job.id).collect::<Vec<_>>(), [2]);
    }
}

#[tokio::test]
async fn rows_the_log_has_otherwise_never_take_its_place_and_come_back_from_it() {
    for change in ["UPDATE files SET content = x'00'", "UPDATE segments SET placement = x'00'"] {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = open(home.path()).await;
        for number in 0..9 {
            step(&store, number).await.unwrap();
        }
        let good = records(&store).await;
        let mut write = store.inner.db.write().await.unwrap();
        sqlx::query(change).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
        store.inner.catalog.lock().await.stale = true;
        assert!(store.jobs().insert("put", &json!("spec"), &Value::Null, NOW).await.is_err(), "{change}");
        store.close().await;
        drop(store);

        let (store, _) = open(home.path()).await;
        assert_ne!(records(&store).await, good, "nobody here can open a record");
        assert_eq!(store.owner().restore().await.unwrap(), Some(good.files.len() as u64));
        assert_eq!(records(&store).await, good, "{change}");
    }
}

#[tokio::test]
async fn a_log_that_is_damaged_itself_brings_nothing_back_and_harms_nothing() {
    let history = history().await;
    let (at, holds) = &history[STEPS];
    let home = mixed(Some(at.path()), Some(at.path()), at.path());
    damage_log(home.path());
    let (store, _) = open(home.path()).await;
    assert_eq!(store.owner().restore().await.unwrap(), None);
    assert_eq!(&records(&store).await, holds);
}

#[tokio::test]
async fn rows_that_cannot_say_where_they_are_stand_in_for_a_damaged_log() {
    let history = history().await;
    let (at, holds) = &history[STEPS];
    let home = mixed(Some(at.path()), Some(at.path()), at.path());
    damage_log(home.path());
    garble(home.path(), "UPDATE home SET value = x'07' WHERE key = 'catalog'").await;
    assert_eq!(&opened(home.path()).await.0, holds);
    fs::remove_file(home.path().join("hayloft.db")).unwrap();
    assert_eq!(&opened(home.path()).await.0, holds, "the log was written anew");
}

#[tokio::test]
async fn a_log_that_is_deleted_while_the_store_is_open_is_written_anew() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = open(home.path()).await;
    for number in 0..=4 {
        step(&store, number).await.unwrap();
    }
    let log = home.path().join("catalog.log");
    fs::remove_file(&log).unwrap();
    step(&store, 5).await.unwrap();
    let before = records(&store).await;
    assert_eq!(before.files.len(), 3);
    fs::remove_file(&log).unwrap();
    assert!(!store.database_is_gone());
    fs::remove_file(home.path().join("hayloft.db")).unwrap();
    assert!(store.database_is_gone());
    store.keep_catalog().await.unwrap();
    store.close().await;
    drop(store);
    let (store, _) = open(home.path()).await;
    assert_eq!(records(&store).await, before);
}
