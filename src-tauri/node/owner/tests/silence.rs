//! What our own line kept from farmers, or from us, is held against none of them.

use std::{collections::BTreeSet, path::Path, pin::pin, time::Duration};

use futures::FutureExt as _;
use hayloft_core::DeviceId;
use tokio::time::Instant;

use super::bed::{Bed, noise};
use crate::model::FarmSettings;

/// Bytes a second, at which a shard takes about a minute.
const SLOW: u64 = 16 << 10;
const FILE_BYTES: usize = 1 << 20;
/// Longer than all may be silent, and than any farmer may be behind all others.
const SILENCE: Duration = Duration::from_secs(10);

fn farm(download_limit: Option<u64>) -> FarmSettings {
    FarmSettings { enabled: true, quota_bytes: 1 << 30, download_limit, ..FarmSettings::default() }
}

impl Bed {
    /// Time goes by in which nothing comes although a farmer is awaited; then it answers.
    async fn line_is_silent(&self, farmer: DeviceId) {
        let owner = self.node.owner_for_tests().await.inner;
        let mut asking = pin!(owner.wire.offer(farmer));
        assert!(asking.as_mut().now_or_never().is_none());
        tokio::time::pause();
        tokio::time::advance(SILENCE).await;
        tokio::time::resume();
        asking.await.expect("it is there");
        assert!(owner.line.was_silent_after(Instant::now()));
    }

    async fn device(&self, farmer: usize) -> DeviceId {
        let status = self.farms[farmer].node.status().await.expect("a status");
        status.device.parse().expect("a device")
    }

    async fn serve_at(&self, farmer: usize, limit: Option<u64>) {
        self.farms[farmer].node.farm_set(farm(limit)).await.expect("set");
    }

    /// Farmers that have promised room and were sent nothing whole yet.
    async fn with_room_reserved(&self) -> Vec<usize> {
        let mut reserved = Vec::new();
        for (number, farm) in self.farms.iter().enumerate() {
            if farm.node.farm_status().await.expect("a status").reserved_bytes > 0 {
                reserved.push(number);
            }
        }
        reserved
    }

    /// Whether a farmer has a whole shard on its disk.
    fn has_a_shard(&self, farmer: usize) -> bool {
        let within = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
        // By the first two digits of its name.
        let mut folders =
            within(&self.farms[farmer].home.join("shards")).filter(|folder| folder.file_name().len() == 2);
        folders.any(|folder| within(&folder.path()).any(|file| file.file_name().len() == 64))
    }

    /// Returns once so many more signs of a put's progress were seen: between two of them it is looked who is late.
    async fn moves(&self, job: u32, times: usize) {
        let done = async || self.node.job(job).await.expect("known").done_bytes;
        let mut last = done().await;
        for _ in 0..times {
            while done().await == last {
                tokio::task::yield_now().await;
            }
            last = done().await;
        }
    }
}

#[tokio::test]
async fn nobody_is_late_while_our_own_line_was_silent_a_moment_ago() {
    let bed = Bed::offering(4, farm(Some(SLOW))).await;
    let request = bed.request(bed.file("film", &noise(1, FILE_BYTES)));
    let n = usize::from(bed.node.quote(request.clone()).await.expect("a quote").n);
    assert!(n < bed.farms.len(), "there are spares");
    let job = bed.node.put(request).await.expect("begins");
    let mut chosen = Vec::new();
    while chosen.len() != n {
        chosen = bed.with_room_reserved().await;
    }
    bed.moves(job, 1).await;
    let slow = chosen[0];
    bed.line_is_silent(bed.device(slow).await).await;
    for farmer in (0..bed.farms.len()).filter(|farmer| *farmer != slow) {
        bed.serve_at(farmer, None).await;
    }
    while !chosen[1..].iter().all(|farmer| bed.has_a_shard(*farmer)) {
        tokio::task::yield_now().await;
    }
    assert!(!bed.has_a_shard(slow));
    bed.line_is_silent(bed.device(slow).await).await;
    bed.moves(job, 4).await;
    bed.serve_at(slow, None).await;
    bed.end(job).await;
    let kept: BTreeSet<DeviceId> =
        bed.placement("film").await.shards.iter().map(|shard| shard.farmer).collect();
    assert!(kept.contains(&bed.device(slow).await), "it was replaced for what our line kept from it");
}
