//! What audits need of the farmer's store: tags that travel and stay with their shards, owners' keys, and reads of single
//! blocks, which are counted.

use std::fs;

use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::{
        self, AuditKey, Beacon, Challenge, Epoch, Prover, ProverKey, Scope, Sectors, Tag, Tagger, Transcript,
    },
    contract::{ShardEntry, quota_bytes, shard_root},
    keys::AuditRoot,
};

use crate::{
    Farmer, FarmerError, Guard, Home, Store, StoreOptions,
    disk::Disk,
    farmer_tests::{NOW, ROOMY, content, open, upload_tagged, wish},
    samples::{END, GRACE_SECONDS, contract_id, entry, owner_id, revision, shard_id, tag_key, terms},
    scrub::{Finding, Step, Trouble},
    shards::HEADER_BYTES,
};

const BLOCK: u64 = 496;

fn tagged(seed: u32, bytes: u64, key: [u8; 32]) -> ShardEntry {
    ShardEntry { tag_key: Some(key), ..entry(seed, bytes) }
}

async fn reserved(farmer: &Farmer, bytes: u64) {
    farmer.insert_contract(contract_id(1), &terms(1)).await.unwrap();
    farmer.reserve(&wish(1, bytes), &ROOMY, NOW).await.unwrap();
}

/// Sends a shard with these tags.
async fn send(farmer: &Farmer, id: ShardId, bytes: &[u8], tags: &[Tag]) {
    let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.0).collect();
    let (len, tag_len) = (bytes.len() as u64, tags.len() as u64);
    let mut writer = farmer.begin_shard(contract_id(1), id, len, tag_len).await.unwrap();
    writer.write(bytes.to_vec().into()).await.unwrap();
    writer.write(tags.into()).await.unwrap();
    writer.finish().await.unwrap();
}

async fn counting(folder: &std::path::Path) -> (Store, Disk) {
    let disk = Disk::default();
    let mut options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    options.disk = disk.clone();
    (Store::open(Home::open(folder).unwrap(), options).await.unwrap().0, disk)
}

#[tokio::test]
async fn proving_reads_the_challenged_blocks_and_their_tags_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = counting(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, 10 << 20).await;
    let key = AuditKey::derive(&AuditRoot::from_bytes(&[7; 32]), Sectors::MIN);
    let (tagger, prover_key) = (Tagger::new(&key), key.prover_key());
    let mut entries = Vec::new();
    for (seed, bytes) in [(1, 40 * BLOCK), (2, 25 * BLOCK + 17), (3, 1), (4, 60 * BLOCK)] {
        let (id, content) = (shard_id(seed), content(seed, bytes));
        send(&farmer, id, &content, &tagger.tag_shard(id, &content)).await;
        entries.push(tagged(seed, bytes, prover_key.verifier().id()));
    }
    entries.sort_by_key(|entry| entry.id);
    let ids: Vec<ShardId> = entries.iter().map(|entry| entry.id).collect();
    farmer.tags_are_right(&ids, prover_key.verifier().id()).await.unwrap();
    farmer.commit_revision(&revision(1, 0, entries.clone(), vec![])).await.unwrap();
    let transcript = Transcript {
        network: "test".parse().unwrap(),
        contract: contract_id(1),
        revision: 0,
        root: shard_root(&entries),
        farmer: DeviceId([9; 32]),
        epoch: Epoch(3),
        beacon: Beacon::Ledger { sequence: 1, hash: [1; 32] },
        order: Beacon::Ledger { sequence: 1, hash: [1; 32] },
        sectors: Sectors::MIN,
        scope: Scope::Epoch,
        blocks: 20,
    };
    let audited = farmer.audited(contract_id(1)).await.unwrap().unwrap();
    assert_eq!((audited.entries.clone(), audited.lost.len()), (entries.clone(), 0));
    let challenge = Challenge::expand(&transcript, &audited.entries).unwrap();
    let part = &challenge.parts()[0];
    disk.faults.lock().unwrap().reads.clear();
    let (mut reader, mut block) = (farmer.blocks(), Vec::new());
    let mut prover = Prover::new(&prover_key, part).unwrap();
    let mut expected = Vec::new();
    for asked in part.blocks() {
        let bytes = entries.iter().find(|entry| entry.id == asked.shard).unwrap().bytes;
        let tag = reader.block(asked.shard, bytes, asked.index, asked.range.clone(), &mut block).unwrap();
        prover.push(&block, &tag).unwrap();
        let len = (asked.range.end - asked.range.start) as usize;
        expected.push((asked.shard, asked.range.start, len));
        expected.push((asked.shard, bytes + asked.index * Tag::BYTES as u64, Tag::BYTES));
    }
    let proof = prover.finish().unwrap();
    assert_eq!(disk.faults.lock().unwrap().reads, expected);
    assert!(expected.len() < 2 * 30 && expected.len() >= 2 * 20);
    audit::verify(prover_key.verifier(), part, &proof).unwrap();
}

#[tokio::test]
async fn a_revision_counts_only_with_the_tags_that_were_found_right() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, 3 * quota_bytes(148)).await;
    upload_tagged(&farmer, 1, 1, 100, 48).await.unwrap();
    upload_tagged(&farmer, 1, 2, 100, 0).await.unwrap();
    let refuses = async |entry: ShardEntry| {
        let refused = farmer.commit_revision(&revision(1, 0, vec![entry.clone()], vec![])).await;
        assert!(matches!(refused, Err(FarmerError::OtherTags(shard)) if shard == entry.id));
    };
    refuses(tagged(1, 100, tag_key(1))).await;
    refuses(entry(1, 100)).await;
    refuses(tagged(2, 100, tag_key(1))).await;
    farmer.tags_are_right(&[shard_id(1)], tag_key(1)).await.unwrap();
    refuses(tagged(1, 100, tag_key(2))).await;
    refuses(entry(1, 100)).await;
    let added = vec![tagged(1, 100, tag_key(1)), entry(2, 100)];
    farmer.commit_revision(&revision(1, 0, added, vec![])).await.unwrap();
    assert_eq!(farmer.tag_keys(contract_id(1), 9).await.unwrap(), [tag_key(1)]);
    let used = quota_bytes(148) + quota_bytes(100);
    assert_eq!(farmer.room(&ROOMY).await.unwrap().used_bytes, used);
    farmer.commit_revision(&revision(1, 1, vec![], vec![shard_id(1)])).await.unwrap();
    assert_eq!(farmer.room(&ROOMY).await.unwrap().used_bytes, quota_bytes(100), "tags are given back too");
}

#[tokio::test]
async fn tags_take_space_that_must_be_reserved_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, quota_bytes(100_000)).await;
    let wanted = quota_bytes(100_000 + 48 * 200);
    let refused = farmer.begin_shard(contract_id(1), shard_id(1), 100_000, 48 * 200).await;
    assert!(matches!(refused, Err(FarmerError::NotReserved { wanted: found, .. }) if found == wanted));
    let refused = farmer.begin_shard(contract_id(1), shard_id(1), 100, 1 << 32).await;
    assert!(matches!(refused, Err(FarmerError::OutOfRange)));
}

#[tokio::test]
async fn one_id_stands_for_one_content_while_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, 4 * quota_bytes(148)).await;
    upload_tagged(&farmer, 1, 1, 100, 48).await.unwrap();
    for (bytes, tag_bytes) in [(100, 0), (100, 96), (101, 48)] {
        let refused = farmer.begin_shard(contract_id(1), shard_id(1), bytes, tag_bytes).await;
        assert!(matches!(refused, Err(FarmerError::ShardTaken)), "{bytes} {tag_bytes}");
    }
    let mut again = farmer.begin_shard(contract_id(1), shard_id(1), 100, 48).await.unwrap();
    assert_eq!(again.have(), 148, "nothing more is taken");
    assert!(matches!(again.write(vec![0].into()).await, Err(FarmerError::TooLong { .. })));
}

#[tokio::test]
async fn a_flipped_bit_in_a_tag_is_found_as_one_in_a_block_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, quota_bytes(148)).await;
    upload_tagged(&farmer, 1, 1, 100, 48).await.unwrap();
    farmer.tags_are_right(&[shard_id(1)], tag_key(1)).await.unwrap();
    farmer.commit_revision(&revision(1, 0, vec![tagged(1, 100, tag_key(1))], vec![])).await.unwrap();
    let path = farmer.paths().shard(shard_id(1));
    let kept = farmer.kept(shard_id(1)).await.unwrap().unwrap();
    let look = async || match farmer.examine(&kept).step().await.unwrap() {
        Step::Over(finding) => finding,
        Step::Read(_) => panic!("the shard is small"),
    };
    assert!(matches!(look().await, Finding::Whole));
    let mut file = fs::read(&path).unwrap();
    file[HEADER_BYTES as usize + 100 + 47] ^= 1;
    fs::write(&path, &file).unwrap();
    let finding = look().await;
    assert!(matches!(finding, Finding::Trouble(Trouble::Damaged)));
    farmer.record_findings(&[(kept.clone(), finding)], None, NOW).await.unwrap();
    assert_eq!(farmer.lost(contract_id(1), None, 9).await.unwrap(), (vec![shard_id(1)], false));
    assert!(farmer.audited(contract_id(1)).await.unwrap().unwrap().lost.contains(&shard_id(1)));
    fs::write(&path, &file[..file.len() - 1]).unwrap();
    assert!(matches!(look().await, Finding::Trouble(Trouble::Missing)));
}

#[tokio::test]
async fn keys_are_bounded_by_owner_kept_through_restarts_and_go_with_the_last_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, quota_bytes(148)).await;
    farmer.insert_contract(contract_id(2), &terms(2)).await.unwrap();
    farmer.keep_audit_key(owner_id(1), tag_key(1), vec![1; 500], 2).await.unwrap();
    farmer.keep_audit_key(owner_id(1), tag_key(2), vec![2; 500], 2).await.unwrap();
    farmer.keep_audit_key(owner_id(1), tag_key(2), vec![2; 500], 2).await.unwrap();
    let refused = farmer.keep_audit_key(owner_id(1), tag_key(3), vec![3; 500], 2).await;
    assert!(matches!(refused, Err(FarmerError::TooManyKeys)));
    farmer.keep_audit_key(owner_id(2), tag_key(2), vec![2; 500], 2).await.unwrap();
    store.close().await;
    drop((farmer, store));
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    assert_eq!(farmer.audit_keys_of(owner_id(1)).await.unwrap(), [tag_key(1), tag_key(2)]);
    assert_eq!(farmer.audit_key(tag_key(2)).await.unwrap(), Some(vec![2; 500]));
    assert_eq!(farmer.audit_key(tag_key(3)).await.unwrap(), None);
    upload_tagged(&farmer, 1, 1, 100, 48).await.unwrap();
    farmer.tags_are_right(&[shard_id(1)], tag_key(1)).await.unwrap();
    farmer.commit_revision(&revision(1, 0, vec![tagged(1, 100, tag_key(1))], vec![])).await.unwrap();
    let over = END.plus_seconds(GRACE_SECONDS);
    farmer.expire(over, over).await.unwrap();
    assert_eq!(farmer.contract(contract_id(1)).await.unwrap(), None);
    assert_eq!(farmer.audit_key(tag_key(1)).await.unwrap(), None);
    assert_eq!(farmer.audit_key(tag_key(2)).await.unwrap(), Some(vec![2; 500]), "another owner uses it");
}

#[tokio::test]
async fn a_damaged_key_counts_as_missing_and_files_and_rows_that_disagree_are_mended() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, quota_bytes(148)).await;
    for seed in [1, 2] {
        farmer.keep_audit_key(owner_id(1), tag_key(seed), vec![seed; 500], 9).await.unwrap();
    }
    let paths = farmer.paths();
    let mut file = fs::read(paths.key(&tag_key(1))).unwrap();
    for at in 0..file.len() {
        file[at] ^= 4;
        fs::write(paths.key(&tag_key(1)), &file).unwrap();
        assert_eq!(farmer.audit_key(tag_key(1)).await.unwrap(), None, "byte {at}");
        file[at] ^= 4;
    }
    fs::write(paths.key(&tag_key(1)), &file).unwrap();
    fs::write(paths.key(&tag_key(3)), &file).unwrap();
    fs::write(paths.keys().join("notes"), b"precious").unwrap();
    fs::remove_file(paths.key(&tag_key(2))).unwrap();
    store.close().await;
    drop((farmer, store));
    let store = open(folder.path()).await;
    assert_eq!(store.farmer().audit_keys_of(owner_id(1)).await.unwrap(), [tag_key(1)]);
    assert!(!paths.key(&tag_key(3)).exists() && paths.keys().join("notes").exists());
}

#[tokio::test]
async fn a_lost_database_finds_tags_and_the_keys_in_use_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    reserved(&farmer, 2 * quota_bytes(148)).await;
    for seed in [1, 2] {
        farmer.keep_audit_key(owner_id(1), tag_key(seed), vec![seed; 500], 9).await.unwrap();
    }
    for seed in [1, 2] {
        upload_tagged(&farmer, 1, seed, 100, 48).await.unwrap();
    }
    farmer.tags_are_right(&[shard_id(1), shard_id(2)], tag_key(1)).await.unwrap();
    farmer.commit_revision(&revision(1, 0, vec![tagged(1, 100, tag_key(1))], vec![])).await.unwrap();
    let before = farmer.room(&ROOMY).await.unwrap().used_bytes;
    store.close().await;
    drop((farmer, store));
    fs::remove_file(folder.path().join("hayloft.db")).unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    assert_eq!(farmer.audit_keys_of(owner_id(1)).await.unwrap(), [tag_key(1)]);
    assert_eq!(farmer.entries(contract_id(1)).await.unwrap(), [tagged(1, 100, tag_key(1))]);
    assert_eq!(farmer.room(&ROOMY).await.unwrap().used_bytes, before);
    let waiting = farmer.arrived(contract_id(1), shard_id(2)).await.unwrap().unwrap();
    assert_eq!((waiting.tag_bytes, waiting.tag_key), (48, None), "to be checked again");
}

#[tokio::test]
async fn auditors_find_the_contracts_that_name_them_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let farmer = store.farmer();
    let auditor = DeviceId([8; 32]);
    for seed in 1..=5 {
        let mut signed = terms(seed);
        signed.terms.auditor = (seed != 3).then_some(auditor);
        farmer.insert_contract(contract_id(seed), &signed).await.unwrap();
    }
    let ids = |seeds: &[u8]| -> Vec<ContractId> { seeds.iter().map(|seed| contract_id(*seed)).collect() };
    assert_eq!(farmer.audited_by(auditor, None, 3).await.unwrap(), (ids(&[1, 2, 4]), true));
    assert_eq!(farmer.audited_by(auditor, Some(contract_id(4)), 3).await.unwrap(), (ids(&[5]), false));
    assert_eq!(farmer.audited_by(DeviceId([9; 32]), None, 3).await.unwrap(), (ids(&[]), false));
}

#[test]
fn a_kept_prover_key_is_the_one_that_was_checked() {
    let key = AuditKey::derive(&AuditRoot::from_bytes(&[7; 32]), Sectors::MIN).prover_key();
    let read = ProverKey::from_kept(&key.to_kept()).unwrap();
    assert_eq!((read.encode(), read.verifier().id()), (key.encode(), key.verifier().id()));
    assert!(ProverKey::from_kept(&key.encode()).is_err());
    let mut off = key.to_kept();
    *off.last_mut().unwrap() ^= 1;
    assert!(ProverKey::from_kept(&off).is_err());
}
