//! Bytes in and out.

use hayloft_core::{ShardId, contract::quota_bytes};
use hayloft_net::messages::{RefusalCode, Request};

use super::bench::{Bench, MIB, noise, offering, refused};

#[tokio::test]
async fn shard_comes_back_as_it_went_in_whole_and_in_ranges() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let bytes = noise(3 * MIB as usize + 17);
    let (state, id) = owner.stored(&bytes).await;
    let whole = owner.download(state.contract(), id, 0, bytes.len() as u64).await.expect("read");
    assert!(whole == bytes);
    let (from, len) = (MIB as usize - 3, 2 * MIB as usize);
    let part = owner.download(state.contract(), id, from as u64, len as u64).await.expect("read");
    assert!(part == bytes[from..from + len]);
}

#[tokio::test]
async fn bytes_that_are_not_there_are_refused() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    let contract = state.contract();
    refused(owner.download(contract, ShardId([1; 32]), 0, 10).await, RefusalCode::UnknownShard);
    for (offset, bytes) in [(0, 1001), (1000, 1), (0, 0), (u64::MAX, 2)] {
        refused(owner.download(contract, id, offset, bytes).await, RefusalCode::BadRequest);
    }
}

#[tokio::test]
async fn interrupted_upload_goes_on_where_it_stopped() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    let (id, bytes) = (ShardId([7; 32]), noise(2 * MIB as usize));
    owner.reserve_for(state.contract(), bytes.len() as u64).await;
    let request =
        Request::Upload { contract: state.contract(), shard: id, bytes: bytes.len() as u64, tag_bytes: 0 };
    let mut upload = owner.net.upload(owner.farmer, &owner.envelope(request.clone())).await.expect("ready");
    assert_eq!(upload.have(), 0);
    upload.send(&bytes[..MIB as usize]).await.expect("sent");
    drop(upload);
    // The farmer frees the shard as soon as it sees the stream end; until then it says that it is busy.
    let again = loop {
        match owner.net.upload(owner.farmer, &owner.envelope(request.clone())).await {
            Ok(again) => break again,
            busy => drop(refused(busy, RefusalCode::Busy)),
        }
    };
    assert!(again.have() > 0 && again.have() <= MIB, "{}", again.have());
    drop(again);
    let entry = loop {
        match owner.upload(state.contract(), id, &bytes).await {
            Ok(entry) => break entry,
            busy => drop(refused(busy, RefusalCode::Busy)),
        }
    };
    let revision = owner.propose(&state, vec![entry], Vec::new());
    let state = owner.revise(&state, &revision).await.expect("signed");
    assert!(owner.download(state.contract(), id, 0, bytes.len() as u64).await.expect("read") == bytes);
}

#[tokio::test]
async fn interrupted_upload_goes_on_after_a_restart() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let mut owner = bench.owner().await;
    let state = owner.agree().await;
    let (id, bytes) = (ShardId([7; 32]), noise(2 * MIB as usize));
    owner.reserve_for(state.contract(), bytes.len() as u64).await;
    let request =
        Request::Upload { contract: state.contract(), shard: id, bytes: bytes.len() as u64, tag_bytes: 0 };
    let mut upload = owner.net.upload(owner.farmer, &owner.envelope(request)).await.expect("ready");
    upload.send(&bytes[..MIB as usize]).await.expect("sent");
    let bench = bench.restart().await;
    owner.meet(&bench).await;
    owner.upload(state.contract(), id, &bytes).await.expect("stored");
}

#[tokio::test]
async fn upload_needs_a_reservation_that_is_large_enough() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    let bytes = noise(1000);
    let upload = |id| owner.upload(state.contract(), ShardId([id; 32]), &bytes);
    refused(upload(1).await, RefusalCode::NotReserved);
    refused(owner.reserve(state.contract(), 0).await, RefusalCode::BadRequest);
    owner.reserve(state.contract(), 2 * quota_bytes(1000) - 1).await.expect("reserved");
    upload(1).await.expect("stored");
    refused(upload(2).await, RefusalCode::NotReserved);
    owner.reserve(state.contract(), 1).await.expect("reserved on top");
    upload(2).await.expect("stored");
}

#[tokio::test]
async fn absurd_lengths_and_taken_ids_are_refused() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (state, id) = owner.stored(&noise(1000)).await;
    owner.reserve_for(state.contract(), 4000).await;
    refused(owner.upload(state.contract(), id, &noise(999)).await, RefusalCode::BadRequest);
    for bytes in [0, 66 * MIB, u64::MAX] {
        let request =
            Request::Upload { contract: state.contract(), shard: ShardId([1; 32]), bytes, tag_bytes: 0 };
        refused(owner.net.upload(owner.farmer, &owner.envelope(request)).await, RefusalCode::BadRequest);
    }
}

#[tokio::test]
async fn whole_shard_sent_again_costs_nothing() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    let bytes = noise(100_000);
    owner.reserve_for(state.contract(), 100_000).await;
    owner.upload(state.contract(), ShardId([1; 32]), &bytes).await.expect("stored");
    let request =
        Request::Upload { contract: state.contract(), shard: ShardId([1; 32]), bytes: 100_000, tag_bytes: 0 };
    let upload = owner.net.upload(owner.farmer, &owner.envelope(request)).await.expect("ready");
    assert_eq!(upload.left(), 0);
    assert_eq!(upload.finish().await.expect("stored"), *blake3::hash(&bytes).as_bytes());
}

#[tokio::test]
async fn one_shard_is_received_once_at_a_time() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let state = owner.agree().await;
    owner.reserve_for(state.contract(), 1000).await;
    let request =
        Request::Upload { contract: state.contract(), shard: ShardId([1; 32]), bytes: 1000, tag_bytes: 0 };
    let _open = owner.net.upload(owner.farmer, &owner.envelope(request.clone())).await.expect("ready");
    refused(owner.net.upload(owner.farmer, &owner.envelope(request)).await, RefusalCode::Busy);
}

/// Sends a shard in pieces, one every five minutes; after each, whether the farmer still holds its space.
async fn held_while_sending(piece: usize) -> Vec<bool> {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let contract = owner.agree().await.contract();
    let bytes = noise(8 * MIB as usize);
    let shard = ShardId([7; 32]);
    owner.reserve_for(contract, bytes.len() as u64).await;
    let request = Request::Upload { contract, shard, bytes: bytes.len() as u64, tag_bytes: 0 };
    let mut upload = owner.net.upload(owner.farmer, &owner.envelope(request)).await.expect("ready");
    let mut held = Vec::new();
    for part in bytes.chunks(piece).take(5) {
        let before = bench.arrived(shard);
        let sent = upload.send(part).await;
        // Large pieces reach the disk: then the farmer has looked at what came.
        while sent.is_ok() && piece >= MIB as usize && bench.arrived(shard) == before {
            tokio::task::yield_now().await;
        }
        bench.clock.advance(300);
        bench.node.sweep().await;
        held.push(bench.node.farm_status().await.expect("status").reserved_bytes > 0);
    }
    held
}

#[tokio::test]
async fn upload_that_flows_holds_its_space() {
    assert_eq!(held_while_sending(MIB as usize).await, [true; 5]);
}

#[tokio::test]
async fn upload_that_drips_loses_its_space_after_ten_minutes() {
    assert_eq!(held_while_sending(65_536).await, [true, false, false, false, false]);
}
