//! Shards up and down: whole, in ranges, resumed, cancelled, slowed.

use hayloft_core::ShardId;
use hayloft_net::{Fault, NetConfig, NetError, RateLimits, messages::RefusalCode};

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
