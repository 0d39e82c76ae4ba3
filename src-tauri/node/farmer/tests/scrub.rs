//! What the disk loses is noticed, told to the person and to the owner, and never served.

use std::{fs, path::PathBuf};

use hayloft_core::ShardId;
use hayloft_net::messages::RefusalCode;
use tokio::sync::broadcast::Receiver;

use super::bench::{Bench, MIB, noise, offering, refused};
use crate::model::{Event, ScrubStatus, ShardTrouble};

/// Past a shard file's header.
const INSIDE: usize = 1_000;

impl Bench {
    fn shard_file(&self, shard: ShardId) -> PathBuf {
        let name = shard.to_string();
        self.home.path().join("shards").join(&name[..2]).join(name)
    }

    fn flip_bit_of(&self, shard: ShardId) {
        let mut bytes = fs::read(self.shard_file(shard)).expect("a file");
        bytes[INSIDE] ^= 1;
        fs::write(self.shard_file(shard), bytes).expect("written");
    }

    async fn scrub_status(&self) -> ScrubStatus {
        self.node.farm_status().await.expect("status").scrub
    }

    /// Waits for news until the status is as wanted; answers the notices on the way.
    async fn until(
        &self,
        news: &mut Receiver<Event>,
        wanted: impl Fn(&ScrubStatus) -> bool,
    ) -> (ScrubStatus, Vec<String>) {
        let mut notices = Vec::new();
        let waiting = async {
            loop {
                let status = self.scrub_status().await;
                if wanted(&status) {
                    while let Ok(event) = news.try_recv() {
                        notices.extend(notice(event));
                    }
                    return status;
                }
                notices.extend(notice(news.recv().await.expect("the node runs")));
            }
        };
        let status = tokio::time::timeout(super::bench::PATIENCE, waiting).await.expect("in time");
        (status, notices)
    }

    /// A check that somebody asked for, from its beginning to its end.
    async fn scrub(&self) -> (ScrubStatus, Vec<String>) {
        let mut news = self.node.subscribe();
        self.node.farm_scrub().await.expect("begun");
        self.until(&mut news, |status| !status.hurried).await
    }
}

fn notice(event: Event) -> Option<String> {
    match event {
        Event::Notice(sentence) => Some(sentence),
        _ => None,
    }
}

#[tokio::test]
async fn one_flipped_bit_is_found_told_once_and_its_shard_refused_as_lost() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let bytes = noise(3 * MIB as usize);
    let (sound, sound_id) = owner.stored(&bytes).await;
    let without = bench.node.farm_status().await.expect("status").used_bytes;
    let (state, id) = owner.stored(&bytes).await;
    let used = bench.node.farm_status().await.expect("status").used_bytes;
    let (status, notices) = bench.scrub().await;
    assert_eq!((status.lost_shards, status.troubled.len(), notices.len()), (0, 0, 0));
    assert_eq!(status.ended, Some(bench.clock.now().0));

    bench.flip_bit_of(id);
    bench.clock.advance(100);
    let (status, notices) = bench.scrub().await;
    assert_eq!((status.lost_shards, status.lost_bytes, status.unreadable_shards), (1, 3 * MIB, 0));
    assert_eq!(status.troubled[0].shard, id.to_string());
    assert_eq!(status.troubled[0].trouble, ShardTrouble::Damaged);
    assert_eq!(status.troubled[0].noticed, bench.clock.now().0);
    assert_eq!(notices.len(), 1, "{notices:?}");
    let contract = state.contract();
    refused(owner.download(contract, id, 0, 10).await, RefusalCode::ShardLost);
    assert!(owner.download(sound.contract(), sound_id, 0, 10).await.expect("whole") == bytes[..10]);
    let (status, notices) = bench.scrub().await;
    assert_eq!((status.lost_shards, notices.len()), (1, 0), "told once: {notices:?}");
    assert_eq!(bench.node.farm_status().await.expect("status").used_bytes, used, "the contract counts it");

    let bench = bench.restart().await;
    let mut owner = owner;
    owner.meet(&bench).await;
    refused(owner.download(contract, id, 0, 10).await, RefusalCode::ShardLost);
    let revision = owner.propose(&state, Vec::new(), vec![id]);
    owner.revise(&state, &revision).await.expect("the owner takes it out");
    let after = bench.node.farm_status().await.expect("status");
    assert_eq!((after.scrub.lost_shards, after.used_bytes), (0, without));
}

#[tokio::test]
async fn a_loss_that_shows_while_serving_is_told_without_waiting_for_a_pass() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (gone, gone_id) = owner.stored(&noise(100_000)).await;
    let (cut, cut_id) = owner.stored(&noise(100_000)).await;
    let mut news = bench.node.subscribe();
    fs::remove_file(bench.shard_file(gone_id)).expect("removed");
    let half = fs::read(bench.shard_file(cut_id)).expect("a file")[..50_000].to_vec();
    fs::write(bench.shard_file(cut_id), half).expect("cut off");
    refused(owner.download(gone.contract(), gone_id, 0, 10).await, RefusalCode::ShardLost);
    owner.download(cut.contract(), cut_id, 0, 100_000).await.expect_err("the disk has no more");
    let (status, notices) = bench.until(&mut news, |status| status.lost_shards == 2).await;
    assert!(status.troubled.iter().all(|troubled| troubled.trouble == ShardTrouble::Missing));
    assert!(!notices.is_empty());
    refused(owner.download(cut.contract(), cut_id, 0, 10).await, RefusalCode::ShardLost);
}

#[tokio::test]
async fn a_check_without_its_folder_says_why_and_loses_nothing() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let owner = bench.owner().await;
    let (_, id) = owner.stored(&noise(1000)).await;
    // As on a disk that is not connected: an empty folder is there, but nothing of ours in it.
    let (marker, away) = (bench.home.path().join("shards/hayloft-farm"), bench.home.path().join("away"));
    fs::create_dir(&away).expect("made");
    fs::rename(&marker, away.join("marker")).expect("moved");
    fs::rename(bench.shard_file(id), away.join("shard")).expect("moved");
    let (status, _) = bench.scrub().await;
    assert!(status.problem.is_some_and(|problem| problem.ends_with(['.', ')'])));
    assert_eq!((status.lost_shards, status.ended), (0, None));
    fs::rename(away.join("marker"), &marker).expect("moved back");
    fs::rename(away.join("shard"), bench.shard_file(id)).expect("moved back");
    let (status, _) = bench.scrub().await;
    assert_eq!((status.problem, status.lost_shards, status.checked_shards), (None, 0, 0));
    assert!(status.ended.is_some());
}

#[tokio::test]
async fn a_check_of_nothing_ends_at_once() {
    let bench = Bench::new(offering(64 * MIB)).await;
    let (status, notices) = bench.scrub().await;
    assert_eq!((status.lost_shards, notices.len()), (0, 0));
    assert!(status.ended.is_some());
}
