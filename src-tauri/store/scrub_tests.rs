//! What scrubbing finds, remembers and leaves alone.

use std::{fs, path::PathBuf};

use hayloft_core::{Timestamp, contract::quota_bytes};

use crate::{
    FarmerError, Store,
    farmer::Farmer,
    farmer_tests::{NOW, ROOMY, content, open, upload, wish},
    samples::{END, contract_id, entry, revision, shard_id, terms},
    scrub::{Finding, STEP_BYTES, Step, Trouble, Troubles},
    shards::HEADER_BYTES,
};

const LATER: Timestamp = Timestamp(NOW.0 + 500);
const BYTES: u64 = 3_000;

/// Shards 1 to `count` under contract 1.
async fn farm(folder: &std::path::Path, count: u32) -> Store {
    let store = open(folder).await;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    farmer.reserve(&wish(1, u64::from(count) * quota_bytes(BYTES)), &ROOMY, NOW).await.unwrap();
    for seed in 1..=count {
        upload(&farmer, 1, seed, BYTES).await.unwrap();
    }
    let added = (1..=count).map(|seed| entry(seed, BYTES)).collect();
    farmer.commit_revision(&revision(1, 0, added, vec![])).await.unwrap();
    store
}

fn path(farmer: &Farmer, seed: u32) -> PathBuf {
    farmer.paths().shard(shard_id(seed))
}

async fn examine(farmer: &Farmer, seed: u32) -> Result<Finding, FarmerError> {
    let kept = farmer.kept(shard_id(seed)).await?.expect("it is kept");
    let mut examination = farmer.examine(&kept);
    loop {
        if let Step::Over(finding) = examination.step().await? {
            return Ok(finding);
        }
    }
}

/// Examines the next `count` shards of the pass and writes down what was found.
async fn go_on(farmer: &Farmer, count: u32) -> Vec<(u32, Trouble)> {
    let mut news = Vec::new();
    let pass = farmer.scrub().await.unwrap().pass;
    for kept in farmer.next_to_scrub(count).await.unwrap() {
        let mut examination = farmer.examine(&kept);
        let finding = loop {
            if let Step::Over(finding) = examination.step().await.unwrap() {
                break finding;
            }
        };
        for found in farmer.record_findings(&[(kept, finding)], pass.as_ref(), LATER).await.unwrap() {
            assert_eq!((found.contract, found.bytes, found.noticed), (contract_id(1), BYTES, LATER));
            news.push(((1..100).find(|seed| shard_id(*seed) == found.shard).unwrap(), found.trouble));
        }
    }
    news.sort_by_key(|(seed, _)| *seed);
    news
}

fn flip(path: &std::path::Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// What opens nowhere, whoever asks.
#[cfg(unix)]
fn make_unreadable(path: &std::path::Path) {
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn each_kind_of_loss_is_found_named_and_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 6).await;
    let farmer = store.farmer();
    let used_bytes = farmer.figures(&ROOMY).await.unwrap().used_bytes;
    flip(&path(&farmer, 1), HEADER_BYTES + BYTES / 2);
    fs::write(path(&farmer, 2), &fs::read(path(&farmer, 2)).unwrap()[..500]).unwrap();
    fs::remove_file(path(&farmer, 3)).unwrap();
    make_unreadable(&path(&farmer, 4));
    flip(&path(&farmer, 5), 9);
    farmer.begin_scrub(false, NOW).await.unwrap();
    let expected =
        [(1, Trouble::Damaged), (2, Trouble::Missing), (3, Trouble::Missing), (4, Trouble::Unreadable)];
    assert_eq!(go_on(&farmer, 10).await, expected);
    for seed in [1, 2, 3] {
        let read = farmer.read_shard(contract_id(1), shard_id(seed), 0, 10).await;
        assert!(matches!(read, Err(FarmerError::ShardLost)), "shard {seed}: {read:?}");
    }
    assert!(matches!(farmer.read_shard(contract_id(1), shard_id(4), 0, 10).await, Err(FarmerError::Io(_))));
    for seed in [5, 6] {
        let read = farmer.read_shard(contract_id(1), shard_id(seed), 0, BYTES).await.unwrap();
        assert!(read == content(seed, BYTES));
    }
    let pass = farmer.scrub().await.unwrap().pass.unwrap();
    assert_eq!((pass.shards, pass.bytes, pass.lost, pass.unreadable), (6, 6 * BYTES, 3, 1));
    assert_eq!((pass.ahead_shards, pass.ahead_bytes), (0, 0));
    let troubles = Troubles { lost_shards: 3, lost_bytes: 3 * BYTES, unreadable_shards: 1 };
    assert_eq!(farmer.troubles().await.unwrap(), troubles);
    assert_eq!(farmer.troubled(2).await.unwrap().len(), 2);
    assert_eq!(farmer.troubled(9).await.unwrap().len(), 4);
    let figures = farmer.figures(&ROOMY).await.unwrap();
    assert_eq!(figures.used_bytes, used_bytes, "the contract still counts what was lost");
}

#[tokio::test]
async fn every_flipped_byte_of_a_shard_is_noticed_and_one_of_its_header_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 1).await;
    let farmer = store.farmer();
    let sound = fs::read(path(&farmer, 1)).unwrap();
    for at in (0..HEADER_BYTES + BYTES).step_by(41) {
        fs::write(path(&farmer, 1), &sound).unwrap();
        flip(&path(&farmer, 1), at);
        match examine(&farmer, 1).await.unwrap() {
            Finding::Whole => assert!(at < HEADER_BYTES, "byte {at}"),
            Finding::Trouble(found) => assert!(at >= HEADER_BYTES && found == Trouble::Damaged, "byte {at}"),
        }
        if at < HEADER_BYTES {
            assert!(fs::read(path(&farmer, 1)).unwrap() == sound, "byte {at}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_once_and_taken_back_when_the_file_is_whole_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 2).await;
    let farmer = store.farmer();
    let sound = fs::read(path(&farmer, 1)).unwrap();
    flip(&path(&farmer, 1), HEADER_BYTES);
    farmer.begin_scrub(false, NOW).await.unwrap();
    assert_eq!(go_on(&farmer, 10).await, [(1, Trouble::Damaged)]);
    farmer.end_scrub(LATER, END).await.unwrap();
    farmer.begin_scrub(false, LATER).await.unwrap();
    assert_eq!(go_on(&farmer, 10).await, [], "known already");
    let scrub = farmer.scrub().await.unwrap();
    assert_eq!((scrub.ended, scrub.next), (Some(LATER), END));
    fs::write(path(&farmer, 1), sound).unwrap();
    farmer.begin_scrub(false, LATER).await.unwrap();
    assert_eq!(go_on(&farmer, 10).await, []);
    assert_eq!(farmer.troubles().await.unwrap(), Troubles::default());
    assert!(farmer.read_shard(contract_id(1), shard_id(1), 0, BYTES).await.unwrap() == content(1, BYTES));
}

#[tokio::test]
async fn a_pass_goes_on_where_it_stood_after_a_restart_and_what_was_found_is_still_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 9).await;
    let farmer = store.farmer();
    for seed in 1..=9 {
        flip(&path(&farmer, seed), HEADER_BYTES + 7);
    }
    farmer.begin_scrub(true, NOW).await.unwrap();
    let mut found = go_on(&farmer, 4).await;
    assert_eq!(found.len(), 4);
    drop(farmer);
    store.close().await;
    drop(store);
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    let pass = farmer.scrub().await.unwrap().pass.unwrap();
    assert_eq!((pass.begun, pass.hurried, pass.shards, pass.ahead_shards), (NOW, true, 4, 5));
    assert_eq!(farmer.troubles().await.unwrap().lost_shards, 4);
    let read = farmer.read_shard(contract_id(1), shard_id(found[0].0), 0, 1).await;
    assert!(matches!(read, Err(FarmerError::ShardLost)));
    found.extend(go_on(&farmer, 100).await);
    found.sort_by_key(|(seed, _)| *seed);
    assert_eq!(found, (1..=9).map(|seed| (seed, Trouble::Damaged)).collect::<Vec<_>>(), "each once");
    assert!(farmer.next_to_scrub(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pass_begun_anew_is_not_moved_on_by_what_the_one_before_still_finds() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 3).await;
    let farmer = store.farmer();
    flip(&path(&farmer, 1), HEADER_BYTES);
    farmer.begin_scrub(false, NOW).await.unwrap();
    let before = farmer.scrub().await.unwrap().pass.unwrap();
    let kept = farmer.kept(shard_id(1)).await.unwrap().unwrap();
    farmer.begin_scrub(true, NOW).await.unwrap();
    let finding = Finding::Trouble(Trouble::Damaged);
    assert_eq!(farmer.record_findings(&[(kept, finding)], Some(&before), LATER).await.unwrap().len(), 1);
    assert_eq!(farmer.next_to_scrub(10).await.unwrap().len(), 3, "every shard is still ahead");
}

#[tokio::test]
async fn nothing_is_called_lost_while_the_folder_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 1).await;
    let farmer = store.farmer();
    let (here, away) = (farmer.folder(), folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    examine(&farmer, 1).await.unwrap_err();
    fs::create_dir(&here).unwrap();
    examine(&farmer, 1).await.unwrap_err();
    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    assert!(matches!(examine(&farmer, 1).await.unwrap(), Finding::Whole));
}

#[tokio::test]
async fn a_shard_removed_while_it_is_read_is_no_loss_and_uploads_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 2).await;
    let farmer = store.farmer();
    let kept = farmer.kept(shard_id(1)).await.unwrap().unwrap();
    farmer.commit_revision(&revision(1, 1, vec![], vec![shard_id(1)])).await.unwrap();
    let Step::Over(finding) = farmer.examine(&kept).step().await.unwrap() else { panic!("no file") };
    assert!(matches!(finding, Finding::Trouble(Trouble::Missing)));
    assert_eq!(farmer.record_findings(&[(kept, finding)], None, LATER).await.unwrap(), []);
    assert_eq!(farmer.troubles().await.unwrap(), Troubles::default());
    // Neither half of an upload nor a whole one that no revision includes is looked at.
    farmer.reserve(&wish(1, 2 * quota_bytes(BYTES)), &ROOMY, NOW).await.unwrap();
    let mut half = farmer.begin_shard(contract_id(1), shard_id(7), BYTES, 0).await.unwrap();
    half.write(content(7, BYTES)[..100].to_vec().into()).await.unwrap();
    upload(&farmer, 1, 8, BYTES).await.unwrap();
    farmer.begin_scrub(false, NOW).await.unwrap();
    let next = farmer.next_to_scrub(10).await.unwrap();
    assert_eq!(next.iter().map(|kept| kept.shard()).collect::<Vec<_>>(), [shard_id(2)]);
}

#[tokio::test]
async fn one_step_reads_a_bounded_number_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    let bytes = 3 * STEP_BYTES as u64 + 5;
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    farmer.reserve(&wish(1, quota_bytes(bytes)), &ROOMY, NOW).await.unwrap();
    upload(&farmer, 1, 1, bytes).await.unwrap();
    farmer.commit_revision(&revision(1, 0, vec![entry(1, bytes)], vec![])).await.unwrap();
    let mut examination = farmer.examine(&farmer.kept(shard_id(1)).await.unwrap().unwrap());
    for _ in 0..3 {
        let step = examination.step().await.unwrap();
        assert!(matches!(step, Step::Read(read) if read == STEP_BYTES as u64));
    }
    assert!(matches!(examination.step().await.unwrap(), Step::Over(Finding::Whole)));
}

#[tokio::test]
async fn a_pass_that_began_while_another_came_to_its_end_is_not_ended_unread() {
    let folder = tempfile::tempdir().unwrap();
    let store = farm(folder.path(), 3).await;
    let farmer = store.farmer();
    farmer.begin_scrub(false, NOW).await.unwrap();
    assert_eq!(go_on(&farmer, 10).await, []);
    assert!(farmer.next_to_scrub(10).await.unwrap().is_empty());
    farmer.begin_scrub(true, LATER).await.unwrap();
    farmer.end_scrub(LATER, END).await.unwrap();
    let scrub = farmer.scrub().await.unwrap();
    let pass = scrub.pass.expect("it goes on");
    assert_eq!((pass.begun, pass.hurried, pass.shards, pass.ahead_shards), (LATER, true, 0, 3));
    assert_eq!(scrub.ended, None);
    assert_eq!(go_on(&farmer, 10).await, []);
    farmer.end_scrub(LATER, END).await.unwrap();
    let scrub = farmer.scrub().await.unwrap();
    assert_eq!((scrub.pass, scrub.ended, scrub.next), (None, Some(LATER), END));
}
