//! A database that is older than the disk: a copy put back from a backup, or one that lost its newest commits. What both
//! signed since is in the journals and in the files, and nothing of it may be lost.

use std::{fs, path::Path};

use hayloft_core::{Timestamp, contract::quota_bytes};

use crate::{
    DatabaseState, Store,
    crash_tests::{filled, index, reopen},
    farmer::Farmer,
    farmer_tests::{NOW, ROOMY, content, upload, upload_tagged, wish},
    samples::{END, GRACE_SECONDS, contract_id, entry, revision, shard_id, tag_key, terms},
};

const FILES: [&str; 3] = ["hayloft.db", "hayloft.db-wal", "hayloft.db-shm"];

/// Copies what there is of a database.
fn copy(from: &Path, to: &Path, files: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for file in files.iter().filter(|file| from.join(file).exists()) {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// Puts a copy in the place of the home's database, and leaves nothing else of that.
fn put_back(copied: &Path, home: &Path, files: &[&str]) {
    for file in FILES {
        let _ = fs::remove_file(home.join(file));
    }
    copy(copied, home, files);
}

/// What happens after the copy was made.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// Shards come to a contract and go from it.
    Revisions,
    /// A contract begins, with a shard, and with nothing yet.
    Contracts,
    /// A contract is deleted, and another one goes on.
    Expiry,
}

const SINCE: [Since; 3] = [Since::Revisions, Since::Contracts, Since::Expiry];

impl Since {
    async fn happens(self, farmer: &Farmer) {
        match self {
            Self::Revisions => {
                farmer.reserve(&wish(1, 3 * quota_bytes(300)), &ROOMY, NOW).await.unwrap();
                upload_tagged(farmer, 1, 13, 70, 48).await.unwrap();
                upload(farmer, 1, 14, 80).await.unwrap();
                farmer.tags_are_right(&[shard_id(13)], [5; 32]).await.unwrap();
                let tagged = hayloft_core::contract::ShardEntry { tag_key: Some([5; 32]), ..entry(13, 70) };
                farmer.commit_revision(&revision(1, 2, vec![tagged, entry(14, 80)], vec![])).await.unwrap();
                farmer.commit_revision(&revision(1, 3, vec![], vec![shard_id(2)])).await.unwrap();
                // Whole, and in no revision yet.
                upload(farmer, 1, 15, 90).await.unwrap();
                farmer.release(contract_id(1), &[]).await.unwrap();
            }
            Self::Contracts => {
                for contract in [3, 4] {
                    farmer.insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
                }
                farmer.reserve(&wish(3, quota_bytes(90)), &ROOMY, NOW).await.unwrap();
                upload(farmer, 3, 16, 90).await.unwrap();
                farmer.commit_revision(&revision(3, 0, vec![entry(16, 90)], vec![])).await.unwrap();
            }
            Self::Expiry => {
                let mut longer = revision(1, 2, vec![], vec![]);
                longer.revision.end = Timestamp(END.0 * 2);
                farmer.commit_revision(&longer).await.unwrap();
                let over = END.plus_seconds(GRACE_SECONDS);
                let ended = farmer.expire(NOW, over).await.unwrap();
                assert_eq!(ended.contracts, [(contract_id(2), 300)]);
            }
        }
    }
}

/// What counts at a farmer: every contract with its newest revision and shards, each of which is read, and what is taken.
async fn seen(farmer: &Farmer) -> String {
    let index = index(farmer).await;
    for (contract, entries) in &index {
        for shard in entries {
            let read = farmer.read_shard(contract.id, shard.id, 0, shard.bytes).await.unwrap();
            let known = (1..=16).find(|seed| shard_id(*seed) == shard.id).unwrap();
            assert_eq!(read, content(known, shard.bytes));
        }
    }
    let figures = farmer.figures(&ROOMY).await.unwrap();
    format!("{index:#?} used {} reserved {}", figures.used_bytes, figures.reserved_bytes)
}

/// Opens a home whose database is older than its disk, and once more.
async fn opens_as_it_was(home: &Path, before: &str, hint: &str) {
    let (store, report) = reopen(home).await;
    assert_ne!(report.database, DatabaseState::Sound, "{hint}: it is told");
    assert_eq!((report.missing_shards, report.orphan_files), (0, 0), "{hint}");
    assert_eq!(seen(&store.farmer()).await, before, "{hint}");
    store.close().await;
    drop(store);
    let (store, report) = reopen(home).await;
    assert_eq!((report.database, report.orphan_files), (DatabaseState::Sound, 0), "{hint}: once");
    assert_eq!(seen(&store.farmer()).await, before, "{hint}: once more");
    store.close().await;
}

/// A home after a clean end, so that all of its database is in one file.
async fn settled(folder: &Path) -> Store {
    filled(folder).await.close().await;
    reopen(folder).await.0
}

#[tokio::test]
async fn an_old_copy_of_the_database_put_back_loses_nothing_that_was_signed_since() {
    for since in SINCE {
        for files in [&FILES[..1], &FILES[..]] {
            let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let store =
                if files.len() == 1 { settled(folder.path()).await } else { filled(folder.path()).await };
            copy(folder.path(), copied.path(), files);
            since.happens(&store.farmer()).await;
            let before = seen(&store.farmer()).await;
            store.close().await;
            drop(store);
            put_back(copied.path(), folder.path(), files);
            opens_as_it_was(folder.path(), &before, &format!("{since:?} {files:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_database_that_lost_its_newest_commits_loses_nothing_that_was_signed() {
    for since in SINCE {
        let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = settled(folder.path()).await;
        since.happens(&store.farmer()).await;
        let before = seen(&store.farmer()).await;
        // As a process leaves it that is killed, without the commits that are not in the file itself yet.
        copy(folder.path(), copied.path(), &FILES[..1]);
        store.close().await;
        drop(store);
        put_back(copied.path(), folder.path(), &FILES[..1]);
        opens_as_it_was(folder.path(), &before, &format!("{since:?}")).await;
    }
}

#[tokio::test]
async fn rows_that_lack_a_shard_that_was_signed_for_get_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let before = seen(&store.farmer()).await;
    let mut write = store.inner.db.write().await.unwrap();
    sqlx::query("DELETE FROM shards WHERE bytes = 300").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    store.close().await;
    drop(store);
    opens_as_it_was(folder.path(), &before, "a row lost").await;
}

#[tokio::test]
async fn what_else_the_old_copy_has_stays_and_work_goes_on() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = settled(folder.path()).await;
    let farmer = store.farmer();
    farmer.keep_audit_key(crate::samples::owner_id(1), tag_key(5), vec![5; 99], 1).await.unwrap();
    let job = store.jobs().insert("put", &serde_json::json!({}), &serde_json::json!({}), NOW).await.unwrap();
    drop(farmer);
    store.close().await;
    drop(store);
    copy(folder.path(), copied.path(), &FILES[..1]);
    let (store, _) = reopen(folder.path()).await;
    Since::Revisions.happens(&store.farmer()).await;
    store.close().await;
    drop(store);
    put_back(copied.path(), folder.path(), &FILES[..1]);
    let (store, report) = reopen(folder.path()).await;
    assert_eq!(report.database, DatabaseState::Older);
    assert_eq!(report.found_shards, 4, "three that were signed for, one that waits");
    assert_eq!(store.jobs().list(9).await.unwrap().iter().map(|job| job.id).collect::<Vec<_>>(), [job]);
    let farmer = store.farmer();
    assert_eq!(farmer.audit_keys_of(crate::samples::owner_id(1)).await.unwrap(), [tag_key(5)]);
    assert_eq!(farmer.audit_key(tag_key(5)).await.unwrap(), Some(vec![5; 99]));
    farmer.commit_revision(&revision(1, 4, vec![entry(15, 90)], vec![shard_id(14)])).await.unwrap();
    let figures = farmer.figures(&ROOMY).await.unwrap();
    let used_bytes = quota_bytes(70 + 48) + quota_bytes(90) + quota_bytes(300);
    assert_eq!((figures.used_bytes, figures.reserved_bytes), (used_bytes, 0));
}

#[tokio::test]
async fn shards_of_a_contract_whose_journal_cannot_be_read_are_put_aside_and_not_deleted() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = settled(folder.path()).await;
    copy(folder.path(), copied.path(), &FILES[..1]);
    Since::Contracts.happens(&store.farmer()).await;
    let paths = store.farmer().paths();
    store.close().await;
    drop(store);
    put_back(copied.path(), folder.path(), &FILES[..1]);
    fs::remove_file(paths.journal(contract_id(4))).unwrap();
    fs::write(paths.journal(contract_id(3)), [7; 99]).unwrap();
    let shard = fs::read(paths.shard(shard_id(16))).unwrap();
    for _ in 0..2 {
        let (store, report) = reopen(folder.path()).await;
        assert_eq!((report.database, report.orphan_files), (DatabaseState::Sound, 0));
        assert_eq!(index(&store.farmer()).await.len(), 2);
        let unknown = paths.root.join("unknown");
        assert_eq!(fs::read(unknown.join(shard_id(16).to_string())).unwrap(), shard);
        assert_eq!(fs::read(unknown.join(contract_id(3).to_string())).unwrap(), [7; 99]);
        assert!(!paths.journal(contract_id(3)).exists());
        store.close().await;
    }
}
