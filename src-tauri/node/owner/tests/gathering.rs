//! Shards that share a revision which their farmer refuses: each is then asked for by itself.

use hayloft_core::{
    ContractId, DeviceId, ShardId, Timestamp,
    contract::{ShardEntry, quota_bytes},
};
use hayloft_net::{NetError, messages::RefusalCode};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, DAY, noise};
use crate::owner::{Inner, contracts::ContractError};

const BYTES: usize = 5_000;

fn entry(owner: &Inner, seed: u8) -> ShardEntry {
    ShardEntry { id: ShardId([seed; 32]), bytes: BYTES as u64, tag_key: Some(owner.tagging.key_id()) }
}

/// Sends a shard with its tags to the farmer.
async fn send(owner: &Inner, farmer: DeviceId, contract: ContractId, shard: &ShardEntry) {
    let bytes = noise(shard.id.0[0].into(), BYTES);
    let mut tagger = owner.tagging.shard(shard.id);
    tagger.push(&bytes);
    let tags: Vec<u8> = tagger.finish().iter().flat_map(|tag| tag.0).collect();
    let all = [bytes, tags].concat();
    owner.wire.reserve(farmer, contract, quota_bytes(all.len() as u64)).await.expect("reserved");
    let tag_bytes = all.len() as u64 - shard.bytes;
    let upload = owner.wire.upload(farmer, contract, shard.id, shard.bytes, tag_bytes).await;
    let mut upload = upload.expect("begun");
    upload.send(&all).await.expect("sent");
    upload.finish().await.expect("taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_its_farmer_refuses_keeps_no_other_of_the_same_revision_out() {
    let bed = Bed::new(1).await;
    bed.put_bytes("film", &noise(70, 1_000)).await;
    let owner = bed.node.owner_for_tests().await.inner;
    let kept = bed.placement("film").await.shards[0].clone();
    let (farmer, contract) = (kept.farmer, kept.contract);
    let (sent, [missing, absent]) = (entry(&owner, 1), [2, 3].map(|seed| entry(&owner, seed)));
    send(&owner, farmer, contract, &sent).await;
    let until = Timestamp(owner.clock.now().0 + 90 * DAY);
    let nothing_more = CancellationToken::new();
    let add = |shard: &ShardEntry| owner.contracts.add(contract, shard.clone(), until, &nothing_more);
    let (first, second, third, ()) = tokio::join!(add(&missing), add(&sent), add(&absent), async {
        nothing_more.cancel();
    });
    for refused in [first, third] {
        let refused = refused.expect_err("it was never sent");
        let ContractError::Net(NetError::Refused(refusal)) = &refused else { panic!("{refused:?}") };
        assert_eq!(refusal.code, RefusalCode::WrongRevision, "{refusal:?}");
    }
    second.expect("what was sent is under the contract");
    let stored = owner.catalog.store.contract(contract).await.expect("rows").expect("the contract");
    let listed = |id: ShardId| stored.shards.iter().any(|shard| shard.id == id);
    assert!(listed(kept.id) && listed(sent.id) && !listed(missing.id) && !listed(absent.id));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_alone_hears_its_farmers_refusal_once() {
    let bed = Bed::new(1).await;
    bed.put_bytes("film", &noise(71, 1_000)).await;
    let owner = bed.node.owner_for_tests().await.inner;
    let contract = bed.placement("film").await.shards[0].contract;
    let before = owner.catalog.store.contract(contract).await.expect("rows").expect("the contract");
    let (missing, nothing_more) = (entry(&owner, 2), CancellationToken::new());
    nothing_more.cancel();
    let until = Timestamp(owner.clock.now().0 + 90 * DAY);
    let refused = owner.contracts.add(contract, missing, until, &nothing_more).await;
    assert!(matches!(refused, Err(ContractError::Net(NetError::Refused(_)))), "{refused:?}");
    let after = owner.catalog.store.contract(contract).await.expect("rows").expect("the contract");
    assert_eq!(after.revision, before.revision);
    bed.close().await;
}
