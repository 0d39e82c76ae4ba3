//! What a start finds and mends: each leftover that a crash can make, and a lost database.

use std::fs;

use hayloft_core::{ShardId, contract::quota_bytes};

use crate::{
    CatalogState, DatabaseState, FarmerError, Guard, Home, OpenError, OpenReport, Store, StoreOptions,
    disk::{Deed, Disk, Faults},
    farmer::{Contract, Farmer},
    farmer_tests::{NOW, ROOMY, content, open, upload, upload_tagged, wish},
    samples::{contract_id, entry, revision, shard_id, terms},
};

pub(crate) async fn filled(folder: &std::path::Path) -> Store {
    let store = open(folder).await;
    let farmer = store.farmer();
    for contract in [1, 2] {
        farmer.insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
        farmer
            .reserve(&wish(contract, u64::from(3 - contract) * quota_bytes(300)), &ROOMY, NOW)
            .await
            .unwrap();
    }
    upload(&farmer, 1, 1, 100).await.unwrap();
    upload_tagged(&farmer, 1, 2, 150, 48).await.unwrap();
    upload(&farmer, 2, 3, 300).await.unwrap();
    let mut tagged = entry(2, 150);
    tagged.tag_key = Some([5; 32]);
    farmer.tags_are_right(&[tagged.id], [5; 32]).await.unwrap();
    farmer.commit_revision(&revision(1, 0, vec![entry(1, 100), tagged], vec![])).await.unwrap();
    farmer.commit_revision(&revision(1, 1, vec![], vec![shard_id(1)])).await.unwrap();
    farmer.commit_revision(&revision(2, 0, vec![entry(3, 300)], vec![])).await.unwrap();
    store
}

pub(crate) async fn reopen(folder: &std::path::Path) -> (Store, OpenReport) {
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    Store::open(Home::open(folder).unwrap(), options).await.unwrap()
}

pub(crate) async fn index(farmer: &Farmer) -> Vec<(Contract, Vec<hayloft_core::contract::ShardEntry>)> {
    let mut all = Vec::new();
    for contract in farmer.contracts().await.unwrap() {
        let entries = farmer.entries(contract.id).await.unwrap();
        all.push((contract, entries));
    }
    all
}

async fn close(store: Store) {
    store.close().await;
}

#[tokio::test]
async fn a_start_after_a_clean_end_has_nothing_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let before = index(&store.farmer()).await;
    close(store).await;
    let (store, report) = reopen(folder.path()).await;
    let sound = OpenReport {
        database: DatabaseState::Sound,
        records: CatalogState::Sound,
        orphan_files: 0,
        missing_shards: 0,
        found_shards: 0,
    };
    assert_eq!(report, sound);
    assert_eq!(index(&store.farmer()).await, before);
}

#[tokio::test]
async fn unfinished_and_unknown_files_are_deleted_and_their_uploads_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let farmer = store.farmer();
    farmer.reserve(&wish(1, 5 * quota_bytes(100)), &ROOMY, NOW).await.unwrap();
    // A temp file with its row.
    let mut writer = farmer.begin_shard(contract_id(1), shard_id(10), 100, 0).await.unwrap();
    writer.write(content(10, 50).into()).await.unwrap();
    writer.pause().await.unwrap();
    // A whole file whose row does not know it has arrived.
    drop(farmer.begin_shard(contract_id(1), shard_id(11), 100, 0).await.unwrap());
    fs::rename(farmer.paths().part(shard_id(11)), farmer.paths().shard(shard_id(11))).unwrap();
    // A file whose row is gone: removed, but the crash came before its file was.
    let gone = farmer.paths().shard(shard_id(12));
    fs::create_dir_all(gone.parent().unwrap()).unwrap();
    fs::copy(farmer.paths().shard(shard_id(3)), &gone).unwrap();
    // Somebody else's files, which only look like shards.
    let foreign = [farmer.paths().shard(shard_id(14)), farmer.folder().join("ab").join("notes")];
    for path in &foreign {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"precious").unwrap();
    }
    // An arrived shard stays, its reservation too.
    upload(&farmer, 1, 13, 70).await.unwrap();
    drop(farmer);
    close(store).await;
    let (store, report) = reopen(folder.path()).await;
    assert_eq!((report.orphan_files, report.missing_shards), (3, 0));
    let farmer = store.farmer();
    assert!(!gone.exists() && foreign.iter().all(|path| path.exists()));
    let figures = farmer.figures(&ROOMY).await.unwrap();
    let used_bytes = quota_bytes(150) + quota_bytes(300);
    assert_eq!((figures.used_bytes, figures.reserved_bytes), (used_bytes, 5 * quota_bytes(100)));
    for seed in [10, 11] {
        assert_eq!(farmer.begin_shard(contract_id(1), shard_id(seed), 100, 0).await.unwrap().have(), 0);
    }
    farmer.commit_revision(&revision(1, 2, vec![entry(13, 70)], vec![])).await.unwrap();
}

#[tokio::test]
async fn a_kept_shard_without_its_file_is_told_and_comes_back_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let path = store.farmer().paths().shard(shard_id(3));
    let bytes = fs::read(&path).unwrap();
    close(store).await;
    for damage in [None, Some(&bytes[..bytes.len() - 1])] {
        fs::remove_file(&path).unwrap();
        if let Some(damage) = damage {
            fs::write(&path, damage).unwrap();
        }
        let (store, report) = reopen(folder.path()).await;
        assert_eq!((report.missing_shards, report.orphan_files), (1, 0));
        let farmer = store.farmer();
        let read = farmer.read_shard(contract_id(2), shard_id(3), 0, 1).await;
        assert!(matches!(read, Err(FarmerError::ShardLost)));
        assert_eq!(
            farmer.entries(contract_id(2)).await.unwrap(),
            [entry(3, 300)],
            "the contract still says so"
        );
        drop(farmer);
        close(store).await;
        fs::write(&path, &bytes).unwrap();
    }
    let (store, report) = reopen(folder.path()).await;
    assert_eq!(report.missing_shards, 0);
    store.farmer().read_shard(contract_id(2), shard_id(3), 0, 300).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_is_behind_torn_or_gone_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let before = index(&store.farmer()).await;
    let journal = store.farmer().paths().journal(contract_id(1));
    let whole = fs::read(&journal).unwrap();
    close(store).await;
    for damaged in [&whole[..whole.len() - 3], &whole[..20], &[]] {
        fs::write(&journal, damaged).unwrap();
        let (store, report) = reopen(folder.path()).await;
        assert_eq!(report.database, DatabaseState::Sound, "a torn journal is no older copy");
        close(store).await;
        fs::remove_file(folder.path().join("hayloft.db")).unwrap();
        let (store, _) = reopen(folder.path()).await;
        assert_eq!(index(&store.farmer()).await, before);
        close(store).await;
    }
}

#[tokio::test]
async fn a_lost_database_is_noticed_moved_aside_rebuilt_and_said() {
    for damage in ["deleted", "empty", "truncated", "garbage"] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        let farmer = store.farmer();
        farmer.reserve(&wish(1, quota_bytes(70)), &ROOMY, NOW).await.unwrap();
        upload(&farmer, 1, 13, 70).await.unwrap();
        let before = index(&farmer).await;
        drop(farmer);
        close(store).await;
        let path = folder.path().join("hayloft.db");
        let bytes = fs::read(&path).unwrap();
        match damage {
            "deleted" => fs::remove_file(&path).unwrap(),
            "empty" => fs::write(&path, b"").unwrap(),
            "truncated" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
            _ => fs::write(&path, vec![0xAA; bytes.len()]).unwrap(),
        }
        let (store, report) = reopen(folder.path()).await;
        let DatabaseState::Rebuilt { moved_to, .. } = &report.database else {
            panic!("{damage}: {report:?}")
        };
        assert_eq!(moved_to.is_some(), damage != "deleted");
        assert!(moved_to.as_ref().is_none_or(|path| path.exists()));
        assert_eq!((report.found_shards, report.missing_shards, report.orphan_files), (3, 0, 0), "{damage}");
        let farmer = store.farmer();
        assert_eq!(index(&farmer).await, before, "{damage}");
        assert_eq!(farmer.figures(&ROOMY).await.unwrap().reserved_bytes, quota_bytes(70));
        farmer.commit_revision(&revision(1, 2, vec![entry(13, 70)], vec![])).await.unwrap();
        assert_eq!(farmer.read_shard(contract_id(2), shard_id(3), 0, 300).await.unwrap(), content(3, 300));
    }
}

#[tokio::test]
async fn shards_that_nothing_explains_are_set_aside_when_the_database_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let farmer = store.farmer();
    let root = farmer.folder();
    fs::remove_file(farmer.paths().journal(contract_id(2))).unwrap();
    drop(farmer);
    close(store).await;
    fs::remove_file(folder.path().join("hayloft.db")).unwrap();
    let (store, report) = reopen(folder.path()).await;
    assert_eq!(report.found_shards, 1);
    assert_eq!(index(&store.farmer()).await.len(), 1);
    assert!(root.join("unknown").join(shard_id(3).to_string()).exists());
}

#[tokio::test]
async fn an_unplugged_or_foreign_folder_is_refused_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let root = store.farmer().folder();
    close(store).await;
    close(filled(foreign.path()).await).await;
    let with =
        |path: &std::path::Path| StoreOptions::new(Some(path.to_owned()), Guard { bytes: 0, percent: 0 });
    for wrong in [folder.path().join("unplugged"), foreign.path().join("shards")] {
        let refused = Store::open(Home::open(folder.path()).unwrap(), with(&wrong)).await;
        assert!(matches!(refused, Err(OpenError::WrongFolder { .. })));
    }
    let (store, report) = Store::open(Home::open(folder.path()).unwrap(), with(&root)).await.unwrap();
    assert_eq!(report.missing_shards, 0);
    assert_eq!(index(&store.farmer()).await.len(), 2);
}

#[tokio::test]
async fn a_home_is_locked_while_its_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    drop(store);
    Home::open(folder.path()).unwrap_err();
    drop(farmer);
    Home::open(folder.path()).unwrap();
}

#[test]
fn shard_ids_are_spread_over_folders_by_their_first_byte() {
    let folder = crate::shards::Folder { root: "/farm".into() };
    let path = folder.shard(ShardId([0xAB; 32]));
    assert!(path.starts_with("/farm/ab") && path.to_string_lossy().len() == "/farm/ab/".len() + 64);
}

#[tokio::test]
async fn a_shard_whose_write_sync_or_rename_failed_is_not_acknowledged_and_comes_whole_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let options =
        StoreOptions { disk: disk.clone(), ..StoreOptions::new(None, Guard { bytes: 0, percent: 0 }) };
    let (store, _) = Store::open(Home::open(folder.path()).unwrap(), options).await.unwrap();
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    let mut seen = Vec::new();
    for (fails, seed) in (0..).zip(1_u32..) {
        farmer.reserve(&wish(1, quota_bytes(60_000)), &ROOMY, NOW).await.unwrap();
        *disk.faults.lock().unwrap() = Faults { fails: Some((fails, false)), ..Faults::default() };
        let first = upload(&farmer, 1, seed, 60_000).await;
        let failed = disk.faults.lock().unwrap().failed;
        let Some(failed) = failed else { break };
        seen.push(failed);
        first.expect_err("not stored");
        let again = farmer.begin_shard(contract_id(1), shard_id(seed), 60_000, 0).await.unwrap();
        if failed == Deed::Sync {
            assert_eq!(again.have(), 0, "what was not synced is not trusted, however it reads");
        }
        drop(again);
        upload(&farmer, 1, seed, 60_000).await.unwrap();
        let read = farmer.read_shard(contract_id(1), shard_id(seed), 0, 60_000).await.unwrap();
        assert_eq!(read, content(seed, 60_000));
    }
    seen.dedup();
    assert_eq!(seen, [Deed::Write, Deed::Sync, Deed::Rename]);
}
