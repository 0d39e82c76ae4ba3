//! Shards up and down: whole, in ranges, resumed, cancelled, slowed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hayloft_core::ShardId;
use hayloft_net::{Bounds, Fault, NetConfig, NetError, RateLimits, messages::RefusalCode};

use crate::network::{Farmer, download, memory, network, noise, quic, start, tcp, upload};

const SHARD: ShardId = ShardId([7; 32]);

async fn received(
    net: &hayloft_net::Net,
    farmer: &Farmer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<u8>, NetError> {
    let mut download = net.download(farmer.id(), &download(SHARD, offset, bytes)).await?;
    let mut received = Vec::new();
    while let Some(bytes) = download.next().await? {
        received.extend_from_slice(&bytes);
    }
    Ok(received)
}

#[tokio::test]
async fn shard_goes_out_and_any_range_of_it_comes_back() {
    for config in [quic, tcp, memory] {
        let farmer = Farmer::start(config(&network())).await;
        let (owner, _) = start(config(&network())).await;
        owner.hint(farmer.id(), &farmer.net.addresses());
        let shard = noise(1_000_003);
        let mut upload = owner.upload(farmer.id(), &upload(SHARD, 1_000_003)).await.unwrap();
        for part in shard.chunks(77_777) {
            upload.send(part).await.unwrap();
        }
        assert_eq!(upload.finish().await.unwrap(), *blake3::hash(&shard).as_bytes());
        for (offset, bytes) in [(0, 1_000_003), (0, 1), (1_000_002, 1), (65_535, 65_552), (500_000, 0)] {
            let range = offset as usize..(offset + bytes) as usize;
            assert!(received(&owner, &farmer, offset, bytes).await.unwrap() == shard[range]);
        }
        let beyond = received(&owner, &farmer, 1_000_000, 4).await;
        assert!(
            matches!(beyond, Err(NetError::Refused(refusal)) if refusal.code == RefusalCode::UnknownShard)
        );
    }
}

#[tokio::test]
async fn upload_that_was_cut_off_resumes_where_the_farmer_is() {
    let farmer = Farmer::start(quic(&network())).await;
    let (owner, _) = start(quic(&network())).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let shard = noise(500_000);
    let mut first = owner.upload(farmer.id(), &upload(SHARD, 500_000)).await.unwrap();
    first.send(&shard[..200_000]).await.unwrap();
    drop(first);
    let whole = async {
        loop {
            let mut second = owner.upload(farmer.id(), &upload(SHARD, 500_000)).await.unwrap();
            if second.have() < 200_000 {
                continue;
            }
            assert_eq!(second.left(), 300_000);
            second.send(&shard[200_000..]).await.unwrap();
            return second.finish().await.unwrap();
        }
    };
    let hash = tokio::time::timeout(crate::network::PATIENCE, whole).await.unwrap();
    assert_eq!(hash, *blake3::hash(&shard).as_bytes());
}

#[tokio::test]
async fn owner_cannot_send_more_or_fewer_bytes_than_it_said() {
    let farmer = Farmer::start(memory(&network())).await;
    let (owner, _) = start(memory(&network())).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let mut more = owner.upload(farmer.id(), &upload(SHARD, 10)).await.unwrap();
    assert_eq!(more.send(&[0; 11]).await, Err(NetError::Protocol(Fault::TooManyBytes)));
    let mut fewer = owner.upload(farmer.id(), &upload(ShardId([8; 32]), 10)).await.unwrap();
    fewer.send(&[0; 9]).await.unwrap();
    assert_eq!(fewer.finish().await, Err(NetError::Protocol(Fault::EndedEarly)));
}

#[tokio::test]
async fn many_transfers_run_at_once() {
    let farmer = Farmer::start(quic(&network())).await;
    let (owner, _) = start(quic(&network())).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let uploads = (0..16u8).map(|number| {
        let (owner, farmer) = (owner.clone(), farmer.id());
        tokio::spawn(async move {
            let shard = vec![number; 300_000];
            let mut upload = owner.upload(farmer, &upload(ShardId([number; 32]), 300_000)).await.unwrap();
            upload.send(&shard).await.unwrap();
            assert_eq!(upload.finish().await.unwrap(), *blake3::hash(&shard).as_bytes());
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        upload.await.unwrap();
    }
    assert_eq!(farmer.shards.lock().unwrap().len(), 16);
}

#[tokio::test]
async fn rate_limits_hold_in_both_directions() {
    // A lower bound alone: a busy machine may be slower, never faster than the limit.
    let rates = RateLimits { up: Some(1_000_000), down: Some(500_000) };
    let farmer = Farmer::start(memory(&network())).await;
    let (owner, _) = start(NetConfig { rates, ..memory(&network()) }).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let began = std::time::Instant::now();
    let mut upload = owner.upload(farmer.id(), &upload(SHARD, 600_000)).await.unwrap();
    upload.send(&noise(600_000)).await.unwrap();
    upload.finish().await.unwrap();
    let up = began.elapsed().as_secs_f64();
    assert!(up > 0.4, "600 kB at 1 MB/s in {up} s");
    let began = std::time::Instant::now();
    received(&owner, &farmer, 0, 300_000).await.unwrap();
    let down = began.elapsed().as_secs_f64();
    assert!(down > 0.4, "300 kB at 500 kB/s in {down} s");
    owner.set_rate_limits(RateLimits::default());
    received(&owner, &farmer, 0, 600_000).await.unwrap();
}

/// Patience of a second, where a tight limit makes transfers take several.
fn impatient(rates: RateLimits) -> NetConfig {
    let bounds = Bounds { progress: Duration::from_secs(1), ..Bounds::default() };
    NetConfig { rates, bounds, ..quic(&network()) }
}

#[tokio::test]
async fn tight_limits_of_either_side_are_not_taken_for_silence() {
    let tight = Some(40_000);
    let (up, down) = (RateLimits { up: tight, down: None }, RateLimits { up: None, down: tight });
    let free = RateLimits::default();
    for (of_owner, of_farmer) in [(up, free), (free, down), (down, free), (free, up)] {
        let farmer = Farmer::start(impatient(of_farmer)).await;
        let (owner, _) = start(impatient(of_owner)).await;
        owner.hint(farmer.id(), &farmer.net.addresses());
        let shard = noise(100_000);
        let began = std::time::Instant::now();
        let mut upload = owner.upload(farmer.id(), &upload(SHARD, 100_000)).await.unwrap();
        upload.send(&shard).await.unwrap();
        assert_eq!(upload.finish().await.unwrap(), *blake3::hash(&shard).as_bytes());
        assert!(received(&owner, &farmer, 0, 100_000).await.unwrap() == shard);
        let took = began.elapsed().as_secs_f64();
        assert!(took > 2.0, "100 kB at 40 kB/s in {took} s");
    }
}

#[tokio::test]
async fn a_farmer_whose_disk_takes_long_is_not_taken_for_silent() {
    let (farmer, mut incoming) = start(impatient(RateLimits::default())).await;
    farmer.announce_farmer(true);
    let (owner, _) = start(impatient(RateLimits::default())).await;
    owner.hint(farmer.local_id(), &farmer.addresses());
    let storing = async {
        let mut receiving = incoming.next().await.unwrap().ready(0).await.unwrap();
        let mut hasher = blake3::Hasher::new();
        while let Some(bytes) = receiving.next().await.unwrap() {
            hasher.update(&bytes);
        }
        // Three times as long as a farmer that is there may be silent.
        receiving.meanwhile(tokio::time::sleep(Duration::from_secs(6))).await;
        receiving.stored(*hasher.finalize().as_bytes()).await.unwrap();
    };
    let sending = async {
        let mut upload = owner.upload(farmer.local_id(), &upload(SHARD, 5000)).await.unwrap();
        upload.send(&noise(5000)).await.unwrap();
        upload.finish().await
    };
    let ((), hash) = tokio::join!(storing, sending);
    assert_eq!(hash.unwrap(), *blake3::hash(&noise(5000)).as_bytes());
}

#[tokio::test]
async fn many_uploads_to_a_farmer_with_a_tight_limit_all_arrive() {
    let farmer = Farmer::start(impatient(RateLimits { up: None, down: Some(60_000) })).await;
    let (owner, _) = start(impatient(RateLimits::default())).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let uploads = (0..20u8).map(|number| {
        let (owner, device) = (owner.clone(), farmer.id());
        async move {
            let shard = noise(10_000);
            let mut upload = owner.upload(device, &upload(ShardId([number; 32]), 10_000)).await.unwrap();
            upload.send(&shard).await.unwrap();
            assert_eq!(upload.finish().await.unwrap(), *blake3::hash(&shard).as_bytes());
        }
    });
    futures::future::join_all(uploads).await;
}

#[tokio::test]
async fn farmer_tells_how_much_has_arrived_while_an_upload_flows() {
    let farmer = Farmer::start(impatient(RateLimits::default())).await;
    let (owner, _) = start(impatient(RateLimits { up: Some(50_000), down: None })).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let mut upload = owner.upload(farmer.id(), &upload(SHARD, 200_000)).await.unwrap();
    let told = Arc::new(AtomicU64::new(0));
    upload.tell(told.clone());
    let mut steps = std::collections::BTreeSet::new();
    for part in noise(200_000).chunks(10_000) {
        upload.send(part).await.unwrap();
        steps.insert(told.load(Ordering::Relaxed));
    }
    assert!(steps.len() >= 3 && steps.iter().all(|step| *step <= 200_000), "{steps:?}");
    upload.finish().await.unwrap();
}

#[tokio::test]
async fn a_limited_owner_asks_for_no_more_than_its_limit_lets_come() {
    let farmer = Farmer::start(quic(&network())).await;
    let (owner, _) = start(quic(&network())).await;
    owner.hint(farmer.id(), &farmer.net.addresses());
    let mut upload = owner.upload(farmer.id(), &upload(SHARD, 300_000)).await.unwrap();
    upload.send(&noise(300_000)).await.unwrap();
    upload.finish().await.unwrap();
    owner.set_rate_limits(RateLimits { up: None, down: Some(100_000) });
    let mut download = owner.download(farmer.id(), &download(SHARD, 0, 300_000)).await.unwrap();
    let began = std::time::Instant::now();
    let mut left = download.left();
    while let Some(bytes) = download.next().await.unwrap() {
        left -= bytes.len() as u64;
        assert_eq!(download.left(), left);
        let asked = farmer.asked.load(Ordering::SeqCst) as f64;
        let allowed = 100_000.0 * (began.elapsed().as_secs_f64() + 0.5);
        assert!(asked < allowed, "{asked} bytes were asked for where {allowed} may come");
    }
    assert_eq!(left, 0);
}
