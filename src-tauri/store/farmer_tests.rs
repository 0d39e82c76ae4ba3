//! What the farmer's store promises, seen through its public operations.

use std::sync::{Arc, Mutex};

use hayloft_core::{ShardId, Timestamp, contract::quota_bytes};
use proptest::prelude::*;

use crate::{
    FarmerError, Guard, Home, Store, StoreOptions,
    disk::{Disk, Space},
    farmer::{ARRIVED_SECONDS, Farmer, Limits, RESERVATION_SECONDS, Wish},
    samples::{END, GRACE_SECONDS, contract_id, entry, owner_id, revision, shard_id, terms},
};

pub(crate) const NOW: Timestamp = Timestamp(2_000);
pub(crate) const ROOMY: Limits = Limits { quota_bytes: 1 << 40, owner_bytes: 1 << 40, subnet_bytes: 1 << 40 };

pub(crate) async fn open(folder: &std::path::Path) -> Store {
    let guard = Guard { bytes: 0, percent: 0 };
    Store::open(Home::open(folder).unwrap(), StoreOptions::new(None, guard)).await.unwrap().0
}

pub(crate) fn wish(contract: u8, bytes: u64) -> Wish {
    Wish {
        contract: contract_id(contract),
        owner: owner_id(contract),
        subnet: format!("10.0.{contract}.0"),
        bytes,
    }
}

pub(crate) fn content(seed: u32, bytes: u64) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(bytes).unwrap()];
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    reader.fill(&mut out);
    out
}

pub(crate) async fn upload(farmer: &Farmer, contract: u8, seed: u32, bytes: u64) -> Result<(), FarmerError> {
    upload_tagged(farmer, contract, seed, bytes, 0).await
}

/// Tags are the bytes that follow.
pub(crate) async fn upload_tagged(
    farmer: &Farmer,
    contract: u8,
    seed: u32,
    bytes: u64,
    tag_bytes: u64,
) -> Result<(), FarmerError> {
    let content = content(seed, bytes + tag_bytes);
    let mut writer = farmer.begin_shard(contract_id(contract), shard_id(seed), bytes, tag_bytes).await?;
    let have = usize::try_from(writer.have()).unwrap();
    for chunk in content[have..].chunks(10_000) {
        writer.write(chunk.to_vec().into()).await?;
    }
    assert_eq!(writer.finish().await?, *blake3::hash(&content).as_bytes());
    Ok(())
}

async fn keep(farmer: &Farmer, contract: u8, number: u64, seeds: &[(u32, u64)]) {
    farmer.insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
    let bytes = seeds.iter().map(|(_, bytes)| quota_bytes(*bytes)).sum();
    farmer.reserve(&wish(contract, bytes), &ROOMY, NOW).await.unwrap();
    for (seed, bytes) in seeds {
        upload(farmer, contract, *seed, *bytes).await.unwrap();
    }
    let added = seeds.iter().map(|(seed, bytes)| entry(*seed, *bytes)).collect();
    farmer.commit_revision(&revision(contract, number, added, vec![])).await.unwrap();
}

#[tokio::test]
async fn a_shard_goes_in_under_a_reservation_and_comes_back_in_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    keep(&farmer, 1, 0, &[(1, 700_000)]).await;
    let content = content(1, 700_000);
    let read = farmer.read_shard(contract_id(1), shard_id(1), 65_000, 100_000).await.unwrap();
    assert_eq!(read, content[65_000..165_000]);
    for (offset, bytes) in [(700_000, 1), (0, 700_001), (u64::MAX, 1)] {
        let refused = farmer.read_shard(contract_id(1), shard_id(1), offset, bytes).await;
        assert!(matches!(refused, Err(FarmerError::OutOfRange)));
    }
    for (contract, shard) in [(2, 1), (1, 2)] {
        let refused = farmer.read_shard(contract_id(contract), shard_id(shard), 0, 1).await;
        assert!(matches!(refused, Err(FarmerError::UnknownShard)));
    }
    let figures = farmer.figures(&ROOMY).await.unwrap();
    assert_eq!((figures.used_bytes, figures.reserved_bytes), (quota_bytes(700_000), 0));
    assert!(figures.overhead_bytes > 0);
}

#[tokio::test]
async fn an_interrupted_upload_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    farmer.reserve(&wish(1, quota_bytes(50_000)), &ROOMY, NOW).await.unwrap();
    let mut writer = farmer.begin_shard(contract_id(1), shard_id(1), 50_000, 0).await.unwrap();
    writer.write(content(1, 50_000)[..20_000].to_vec().into()).await.unwrap();
    let busy = farmer.begin_shard(contract_id(1), shard_id(1), 50_000, 0).await;
    assert!(matches!(busy, Err(FarmerError::ShardBusy)));
    writer.pause().await.unwrap();
    let writer = farmer.begin_shard(contract_id(1), shard_id(1), 50_000, 0).await.unwrap();
    assert_eq!(writer.have(), 20_000);
    let short = writer.finish().await;
    assert!(matches!(short, Err(FarmerError::TooShort { have: 20_000, bytes: 50_000 })));
    upload(&farmer, 1, 1, 50_000).await.unwrap();
    let again = farmer.begin_shard(contract_id(1), shard_id(1), 50_000, 0).await.unwrap();
    assert_eq!(again.have(), 50_000);
    assert_eq!(again.finish().await.unwrap(), *blake3::hash(&content(1, 50_000)).as_bytes());
    let taken = farmer.begin_shard(contract_id(1), shard_id(1), 40_000, 0).await;
    assert!(matches!(taken, Err(FarmerError::ShardTaken)));
}

#[tokio::test]
async fn more_than_announced_or_reserved_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    let unknown = farmer.reserve(&wish(1, 1), &ROOMY, NOW).await;
    assert!(matches!(unknown, Err(FarmerError::UnknownContract)));
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    let nothing = farmer.begin_shard(contract_id(1), shard_id(1), 1, 0).await;
    assert!(matches!(nothing, Err(FarmerError::NotReserved { reserved: 0, .. })));
    farmer.reserve(&wish(1, quota_bytes(60) + 40), &ROOMY, NOW).await.unwrap();
    let mut writer = farmer.begin_shard(contract_id(1), shard_id(1), 60, 0).await.unwrap();
    assert!(matches!(writer.write(vec![0; 61].into()).await, Err(FarmerError::TooLong { bytes: 60 })));
    let second = farmer.begin_shard(contract_id(1), shard_id(2), 1, 0).await;
    assert!(matches!(second, Err(FarmerError::NotReserved { reserved: 40, .. })));
}

#[tokio::test]
async fn tiny_shards_use_the_quota_up_before_they_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    let limits = Limits { quota_bytes: 100_000, ..ROOMY };
    let mut seeds = Vec::new();
    for seed in 0..200 {
        if farmer.reserve(&wish(1, quota_bytes(1)), &limits, NOW).await.is_ok() {
            upload(&farmer, 1, seed, 1).await.unwrap();
            seeds.push((seed, 1));
        }
    }
    let added = seeds.iter().map(|(seed, bytes)| entry(*seed, *bytes)).collect();
    farmer.commit_revision(&revision(1, 0, added, vec![])).await.unwrap();
    let files = on_disk(&farmer).len() as u64;
    assert_eq!(files, seeds.len() as u64);
    // Each file takes a block of the disk, and its rows take more.
    assert!(files > 0 && files * 4096 < limits.quota_bytes, "{files} files of one byte");
    assert_eq!(farmer.figures(&limits).await.unwrap().used_bytes, files * quota_bytes(1));
}

#[tokio::test]
async fn one_upload_never_prolongs_what_waits_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    farmer.reserve(&wish(1, quota_bytes(40)), &ROOMY, NOW).await.unwrap();
    let mut slow = farmer.begin_shard(contract_id(1), shard_id(1), 40, 0).await.unwrap();
    assert_eq!(slow.until(), NOW.plus_seconds(RESERVATION_SECONDS));
    let second = NOW.plus_seconds(1);
    let until = farmer.reserve(&wish(1, 1_000_000), &ROOMY, second).await.unwrap();
    for minute in 1..=20 {
        let now = NOW.plus_seconds(60 * minute);
        farmer.prolong(shard_id(1), now, RESERVATION_SECONDS).await.unwrap();
        farmer.expire(now, now).await.unwrap();
        let beside = if now < until { 1_000_000 } else { 0 };
        let figures = farmer.figures(&ROOMY).await.unwrap();
        assert_eq!(figures.reserved_bytes, quota_bytes(40) + beside, "minute {minute}");
    }
    slow.write(content(1, 40).into()).await.unwrap();
    slow.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_reservations_never_get_more_than_the_quota_or_a_cap() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for contract in 1..=8 {
        store.farmer().insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
    }
    let limits = Limits { quota_bytes: 1_000, owner_bytes: 300, subnet_bytes: 1 << 40 };
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..200_u8 {
        let farmer = store.farmer();
        tasks.spawn(async move { farmer.reserve(&wish(1 + task % 8, 30), &limits, NOW).await.is_ok() });
    }
    let granted = tasks.join_all().await.into_iter().filter(|granted| *granted).count();
    assert_eq!(granted, 33);
    let figures = store.farmer().figures(&limits).await.unwrap();
    assert_eq!((figures.reserved_bytes, figures.free_bytes), (990, 10));
}

#[tokio::test]
async fn owners_and_subnets_have_caps_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    for contract in [1, 2] {
        farmer.insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
    }
    let limits = Limits { quota_bytes: 1_000, owner_bytes: 100, subnet_bytes: 150 };
    let from = |contract, bytes, subnet: &str| Wish { subnet: subnet.to_owned(), ..wish(contract, bytes) };
    farmer.reserve(&from(1, 60, "a"), &limits, NOW).await.unwrap();
    farmer.reserve(&from(1, 40, "b"), &limits, NOW).await.unwrap();
    assert!(matches!(farmer.reserve(&from(1, 1, "c"), &limits, NOW).await, Err(FarmerError::OwnerCap)));
    assert!(matches!(farmer.reserve(&from(2, 91, "a"), &limits, NOW).await, Err(FarmerError::SubnetCap)));
    farmer.reserve(&from(2, 90, "a"), &limits, NOW).await.unwrap();
    farmer.release(contract_id(1), &[]).await.unwrap();
    assert_eq!(farmer.figures(&limits).await.unwrap().reserved_bytes, 90);
}

#[tokio::test]
async fn the_disk_keeps_its_guard_at_reserving_and_at_writing() {
    let folder = tempfile::tempdir().unwrap();
    let space = Arc::new(Mutex::new(Space { free_bytes: 1_000_000, total_bytes: 2_000_000 }));
    let guard = Guard { bytes: 10, percent: 5 };
    let options = StoreOptions { disk: Disk::with_space(space.clone()), ..StoreOptions::new(None, guard) };
    let store = Store::open(Home::open(folder.path()).unwrap(), options).await.unwrap().0;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    let full = farmer.reserve(&wish(1, 900_001), &ROOMY, NOW).await;
    assert!(matches!(full, Err(FarmerError::DiskFull { guard_bytes: 100_000, .. })));
    farmer.reserve(&wish(1, quota_bytes(600_000)), &ROOMY, NOW).await.unwrap();
    let left = 900_000 - quota_bytes(600_000);
    let full = farmer.reserve(&wish(1, left + 1), &ROOMY, NOW).await;
    assert!(matches!(full, Err(FarmerError::DiskFull { .. })), "promised bytes count as gone");
    assert_eq!(farmer.figures(&ROOMY).await.unwrap().free_bytes, left);
    space.lock().unwrap().free_bytes = 400_000;
    let mut writer = farmer.begin_shard(contract_id(1), shard_id(1), 600_000, 0).await.unwrap();
    assert!(matches!(writer.write(content(1, 600_000).into()).await, Err(FarmerError::DiskFull { .. })));
    space.lock().unwrap().free_bytes = 1_000_000;
    drop(writer);
    upload(&farmer, 1, 1, 600_000).await.unwrap();
}

#[tokio::test]
async fn revisions_come_one_after_the_other_and_change_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    keep(&farmer, 1, 0, &[(1, 100), (2, 200)]).await;
    farmer.reserve(&wish(1, quota_bytes(50)), &ROOMY, NOW).await.unwrap();
    upload(&farmer, 1, 3, 50).await.unwrap();
    let wrong = [
        revision(1, 0, vec![], vec![]),
        revision(1, 2, vec![], vec![]),
        revision(1, 1, vec![entry(3, 51)], vec![]),
        revision(1, 1, vec![entry(3, 50), entry(4, 1)], vec![]),
        revision(1, 1, vec![entry(3, 50)], vec![shard_id(9)]),
        revision(1, 1, vec![entry(1, 100)], vec![]),
        revision(2, 0, vec![], vec![]),
    ];
    for wrong in wrong {
        farmer.commit_revision(&wrong).await.unwrap_err();
        let figures = farmer.figures(&ROOMY).await.unwrap();
        let used_bytes = quota_bytes(100) + quota_bytes(200);
        assert_eq!((figures.used_bytes, figures.reserved_bytes), (used_bytes, quota_bytes(50)));
    }
    farmer.commit_revision(&revision(1, 1, vec![entry(3, 50)], vec![shard_id(1)])).await.unwrap();
    let contract = farmer.contract(contract_id(1)).await.unwrap().unwrap();
    assert_eq!((contract.shards, contract.bytes), (2, 250));
    assert_eq!(contract.revision.unwrap().revision.number, 1);
    assert!(!farmer.paths().shard(shard_id(1)).exists());
    let mut kept = vec![entry(2, 200), entry(3, 50)];
    kept.sort_by_key(|entry| entry.id);
    assert_eq!(farmer.entries(contract_id(1)).await.unwrap(), kept);
    let (page, more) = farmer.shards(contract_id(1), None, 1).await.unwrap();
    assert!(more && page == kept[..1]);
    let (page, more) = farmer.shards(contract_id(1), Some(page[0].id), 1).await.unwrap();
    assert!(!more && page == kept[1..]);
}

#[tokio::test]
async fn space_without_bytes_is_given_up_with_all_that_came_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    farmer.insert_contract(contract_id(2), &terms(2)).await.unwrap();
    let both = quota_bytes(60) + quota_bytes(40);
    let until = farmer.reserve(&wish(1, both), &ROOMY, NOW).await.unwrap();
    assert_eq!(until, NOW.plus_seconds(RESERVATION_SECONDS));
    upload(&farmer, 1, 1, 60).await.unwrap();
    let waits = farmer.prolong(shard_id(1), NOW, ARRIVED_SECONDS).await.unwrap();
    let mut late = farmer.begin_shard(contract_id(1), shard_id(2), 40, 0).await.unwrap();
    late.write(vec![7; 40].into()).await.unwrap();
    assert_eq!(farmer.expire(until, until).await.unwrap().reserved_bytes, quota_bytes(40));
    assert!(matches!(late.finish().await, Err(FarmerError::NotReserved { .. })));
    let gone = farmer.prolong(shard_id(2), until, RESERVATION_SECONDS).await;
    assert!(matches!(gone, Err(FarmerError::NotReserved { .. })), "what is over does not come back");
    let all = Limits { quota_bytes: both, ..ROOMY };
    farmer.reserve(&wish(2, both), &all, until).await.unwrap_err();
    farmer.reserve(&wish(2, both), &all, waits).await.unwrap();
    assert!(!farmer.paths().shard(shard_id(1)).exists() && !farmer.paths().part(shard_id(2)).exists());
    assert_eq!(farmer.figures(&all).await.unwrap().reserved_bytes, both);
}

#[tokio::test]
async fn what_an_owner_gives_back_is_free_at_once_and_its_other_shards_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    keep(&farmer, 1, 0, &[(1, 100)]).await;
    farmer.reserve(&wish(1, 4 * quota_bytes(300)), &ROOMY, NOW).await.unwrap();
    upload(&farmer, 1, 2, 200).await.unwrap();
    upload(&farmer, 1, 3, 300).await.unwrap();
    let mut incoming = farmer.begin_shard(contract_id(1), shard_id(4), 50, 0).await.unwrap();
    incoming.write(content(4, 50).into()).await.unwrap();
    let given = [1, 2, 4, 9].map(shard_id);
    farmer.release(contract_id(1), &given).await.unwrap();
    let figures = farmer.figures(&ROOMY).await.unwrap();
    let (used_bytes, reserved_bytes) = (quota_bytes(100), quota_bytes(300));
    assert_eq!((figures.used_bytes, figures.reserved_bytes), (used_bytes, reserved_bytes), "kept ones stay");
    assert!(matches!(incoming.finish().await, Err(FarmerError::NotReserved { .. })));
    let mut left = [1, 3].map(shard_id);
    left.sort();
    assert_eq!(on_disk(&farmer), left);
    farmer.commit_revision(&revision(1, 1, vec![entry(3, 300)], vec![])).await.unwrap();
}

#[tokio::test]
async fn a_contract_is_deleted_after_its_grace_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    keep(&farmer, 1, 0, &[(1, 100)]).await;
    let over = END.plus_seconds(GRACE_SECONDS);
    let not_yet = Timestamp(over.0 - 1);
    assert!(farmer.expire(Timestamp(u64::MAX), not_yet).await.unwrap().contracts.is_empty());
    assert_eq!(farmer.expire(over, over).await.unwrap().contracts, [(contract_id(1), 100)]);
    assert!(farmer.contracts().await.unwrap().is_empty());
    assert!(!farmer.paths().shard(shard_id(1)).exists() && !farmer.paths().journal(contract_id(1)).exists());
    assert_eq!(farmer.figures(&ROOMY).await.unwrap().used_bytes, 0);
}

#[tokio::test]
async fn the_folder_moves_only_while_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    let new = elsewhere.path().join("farm");
    farmer.move_to(&new).await.unwrap();
    keep(&farmer, 1, 0, &[(1, 100)]).await;
    assert!(new.join("contracts").join(contract_id(1).to_string()).exists());
    assert!(matches!(farmer.move_to(folder.path()).await, Err(FarmerError::FolderInUse)));
    let other_home = tempfile::tempdir().unwrap();
    let other = open(other_home.path()).await.farmer();
    assert!(matches!(other.move_to(&new).await, Err(FarmerError::FolderTaken)), "another node's shards");
}

/// A step of the proptest: contracts, seeds and sizes are small numbers.
#[derive(Debug, Clone)]
enum Step {
    Reserve(u8, u64),
    Upload(u8, u32, u64),
    Revise(u8),
    Remove(u8),
    Release(u8),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..3_u8, 1..40_000_u64).prop_map(|(contract, bytes)| Step::Reserve(contract, bytes)),
        6 => (1..3_u8, 0..12_u32, 1..20_000_u64).prop_map(|(contract, seed, bytes)| Step::Upload(contract, seed, bytes)),
        3 => (1..3_u8).prop_map(Step::Revise),
        1 => (1..3_u8).prop_map(Step::Remove),
        1 => (1..3_u8).prop_map(Step::Release),
        1 => (1..400_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone, Default)]
struct Model {
    number: u64,
    /// End and bytes, in order of end.
    reserved: Vec<(u64, u64)>,
    /// Seed, bytes and end.
    arrived: Vec<(u32, u64, u64)>,
    kept: Vec<(u32, u64)>,
}

impl Model {
    fn waiting(&self) -> u64 {
        self.reserved.iter().map(|(_, bytes)| bytes).sum()
    }

    fn reserved_bytes(&self) -> u64 {
        self.waiting() + self.arrived.iter().map(|(_, bytes, _)| quota_bytes(*bytes)).sum::<u64>()
    }

    fn used_bytes(&self) -> u64 {
        self.kept.iter().map(|(_, bytes)| quota_bytes(*bytes)).sum()
    }

    fn shards(&self) -> impl Iterator<Item = u32> {
        self.kept.iter().map(|kept| kept.0).chain(self.arrived.iter().map(|arrived| arrived.0))
    }

    /// Takes bytes out of the reservations that end first; answers the last end.
    fn take(&mut self, mut bytes: u64) -> u64 {
        let mut end = 0;
        for (expires, reserved) in &mut self.reserved {
            if bytes > 0 {
                let taken = bytes.min(*reserved);
                (bytes, *reserved, end) = (bytes - taken, *reserved - taken, *expires);
            }
        }
        self.reserved.retain(|(_, bytes)| *bytes > 0);
        end
    }
}

async fn run(steps: Vec<Step>) {
    let limits = Limits { quota_bytes: 100_000, ..ROOMY };
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).await;
    let mut models = [Model::default(), Model::default()];
    for contract in [1, 2] {
        store.farmer().insert_contract(contract_id(contract), &terms(contract)).await.unwrap();
    }
    let mut now = NOW;
    for step in steps {
        let farmer = store.farmer();
        let taken: u64 = models.iter().map(|model| model.reserved_bytes() + model.used_bytes()).sum();
        match step {
            Step::Reserve(contract, bytes) => {
                let granted = farmer.reserve(&wish(contract, bytes), &limits, now).await.is_ok();
                assert_eq!(granted, taken + bytes <= 100_000);
                let model = &mut models[usize::from(contract) - 1];
                model.reserved.extend(granted.then_some((now.0 + RESERVATION_SECONDS, bytes)));
            }
            Step::Upload(contract, seed, bytes) => {
                let here = models.iter().any(|model| model.shards().any(|shard| shard == seed));
                let model = &mut models[usize::from(contract) - 1];
                let fits = quota_bytes(bytes) <= model.waiting();
                let result = upload(&farmer, contract, seed, bytes).await;
                if !here {
                    assert_eq!(result.is_ok(), fits, "{result:?}");
                    if fits {
                        let end = model.take(quota_bytes(bytes));
                        model.arrived.push((seed, bytes, end));
                    }
                }
            }
            Step::Revise(contract) => {
                let model = &mut models[usize::from(contract) - 1];
                let added = model.arrived.iter().map(|(seed, bytes, _)| entry(*seed, *bytes)).collect();
                farmer.commit_revision(&revision(contract, model.number, added, vec![])).await.unwrap();
                model.number += 1;
                model.kept.extend(model.arrived.drain(..).map(|(seed, bytes, _)| (seed, bytes)));
            }
            Step::Remove(contract) => {
                let model = &mut models[usize::from(contract) - 1];
                let removed = model.kept.drain(..).map(|(seed, _)| shard_id(seed)).collect();
                farmer.commit_revision(&revision(contract, model.number, vec![], removed)).await.unwrap();
                model.number += 1;
            }
            Step::Release(contract) => {
                let model = &mut models[usize::from(contract) - 1];
                let (dropped, stays) = model.arrived.split_at(model.arrived.len() / 2);
                let named =
                    dropped.iter().map(|(seed, ..)| *seed).chain(model.kept.iter().map(|kept| kept.0));
                let named: Vec<ShardId> = named.map(shard_id).collect();
                farmer.release(contract_id(contract), &named).await.unwrap();
                model.arrived = stays.to_vec();
                model.reserved.clear();
            }
            Step::Wait(seconds) => {
                now = now.plus_seconds(seconds);
                farmer.expire(now, now).await.unwrap();
                for model in &mut models {
                    model.reserved.retain(|(end, _)| *end > now.0);
                    model.arrived.retain(|(_, _, end)| *end > now.0);
                }
            }
            Step::Restart => {
                drop(farmer);
                store.close().await;
                drop(store);
                store = open(folder.path()).await;
            }
        }
        let figures = store.farmer().figures(&limits).await.unwrap();
        assert_eq!(figures.used_bytes, models.iter().map(Model::used_bytes).sum::<u64>());
        assert_eq!(figures.reserved_bytes, models.iter().map(Model::reserved_bytes).sum::<u64>());
        assert!(figures.used_bytes + figures.reserved_bytes <= limits.quota_bytes);
        let mut known: Vec<ShardId> = models.iter().flat_map(Model::shards).map(shard_id).collect();
        known.sort();
        assert_eq!(on_disk(&store.farmer()), known);
    }
}

fn on_disk(farmer: &Farmer) -> Vec<ShardId> {
    let mut found = Vec::new();
    for prefix in std::fs::read_dir(farmer.folder()).unwrap().map(|entry| entry.unwrap().path()) {
        if prefix.is_dir() && !prefix.ends_with("contracts") {
            let names = std::fs::read_dir(prefix).unwrap().map(|entry| entry.unwrap().file_name());
            found.extend(names.map(|name| name.to_str().unwrap().parse::<ShardId>().unwrap()));
        }
    }
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn accounting_is_exact_after_any_run_of_operations(steps in prop::collection::vec(step(), 1..30)) {
        tokio::runtime::Runtime::new().unwrap().block_on(run(steps));
    }
}
