//! Peers that speak libp2p but not our protocol: each gets the error it deserves, and only liars are blamed.

use std::{future::Future, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use hayloft_core::{DeviceId, ShardId, codec};
use hayloft_net::{
    Bounds, Fault, Net, NetConfig, NetError, limits,
    messages::{Answer, Envelope, RefusalCode},
};
use libp2p::{
    Multiaddr, Stream, StreamProtocol, Swarm,
    identity::Keypair,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
};

use crate::network::{Farmer, PATIENCE, download, network, offer, quic, start, tcp, upload};

const FARMER: StreamProtocol = StreamProtocol::new("/hayloft/test/farmer/1");
const SHARD: ShardId = ShardId([7; 32]);

fn frame(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_be_bytes(), payload].concat()
}

fn answer(answer: &Answer) -> Vec<u8> {
    frame(&codec::encode(1, answer))
}

#[derive(NetworkBehaviour)]
struct Streams {
    stream: libp2p_stream::Behaviour,
}

fn stranger() -> (Swarm<Streams>, DeviceId) {
    let key = Keypair::generate_ed25519();
    let device = DeviceId(key.public().try_into_ed25519().unwrap().to_bytes());
    let swarm = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| Streams { stream: libp2p_stream::Behaviour::new() })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    (swarm, device)
}

/// A farmer that reads one request and then does whatever it likes with the stream.
async fn liar<F: Future<Output = ()> + Send + 'static>(lie: fn(Stream) -> F) -> (DeviceId, String) {
    let (mut swarm, device) = stranger();
    swarm.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()).unwrap();
    let mut streams = swarm.behaviour().stream.new_control().accept(FARMER).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.to_string();
        }
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = swarm.select_next_some() => {}
                Some((_, mut stream)) = streams.next() => {
                    tokio::spawn(async move {
                        let mut length = [0; 4];
                        if stream.read_exact(&mut length).await.is_ok() {
                            let mut request = vec![0; u32::from_be_bytes(length) as usize];
                            stream.read_exact(&mut request).await.unwrap();
                            lie(stream).await;
                        }
                    });
                }
            }
        }
    });
    (device, address)
}

async fn owner_of<F: Future<Output = ()> + Send + 'static>(lie: fn(Stream) -> F) -> (Net, DeviceId) {
    let (device, address) = liar(lie).await;
    let bounds = Bounds { progress: Duration::from_secs(1), ..Bounds::default() };
    let (owner, _) = start(NetConfig { bounds, ..quic(&network()) }).await;
    owner.hint(device, &[address]);
    (owner, device)
}

async fn downloaded(owner: &Net, device: DeviceId, bytes: u64) -> Result<u64, NetError> {
    let receiving = async {
        let mut download = owner.download(device, &download(SHARD, 0, bytes)).await?;
        let mut received = 0;
        while let Some(bytes) = download.next().await? {
            received += bytes.len() as u64;
        }
        Ok(received)
    };
    tokio::time::timeout(PATIENCE, receiving).await.expect("an end")
}

async fn blamed_for<F: Future<Output = ()> + Send + 'static>(lie: fn(Stream) -> F) -> Fault {
    let (owner, device) = owner_of(lie).await;
    let error = downloaded(&owner, device, 1000).await.unwrap_err();
    assert!(error.blames_peer());
    match error {
        NetError::Protocol(fault) => fault,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn too_many_bytes_are_a_fault_within_a_frame_and_after_the_last() {
    let within = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 1000 })).await;
        let _ = stream.write_all(&frame(&[0; 1001])).await;
        let _ = stream.close().await;
    });
    assert_eq!(within.await, Fault::TooManyBytes);
    let after = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 1000 })).await;
        let _ = stream.write_all(&frame(&[0; 1000])).await;
        let _ = stream.write_all(&frame(&[0; 1])).await;
        let _ = stream.close().await;
    });
    assert_eq!(after.await, Fault::TooManyBytes);
}

#[tokio::test]
async fn too_few_bytes_are_a_fault() {
    let fault = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 1000 })).await;
        let _ = stream.write_all(&frame(&[0; 999])).await;
        let _ = stream.close().await;
    });
    assert_eq!(fault.await, Fault::EndedEarly);
}

#[tokio::test]
async fn empty_and_endless_frames_are_faults() {
    let empty = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 1000 })).await;
        let _ = stream.write_all(&frame(&[])).await;
        let _ = stream.close().await;
    });
    assert_eq!(empty.await, Fault::EmptyFrame);
    let endless = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 1000 })).await;
        let _ = stream.write_all(&u32::MAX.to_be_bytes()).await;
        let _ = stream.close().await;
    });
    let limit = limits::DATA_FRAME as u64;
    assert_eq!(endless.await, Fault::FrameTooLong { bytes: u32::MAX.into(), limit });
}

#[tokio::test]
async fn oversized_answer_garbage_and_the_wrong_answer_are_faults() {
    let oversized = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&u32::to_be_bytes(limits::CONTROL_FRAME as u32 + 1)).await;
        let _ = stream.close().await;
    });
    let limit = limits::CONTROL_FRAME as u64;
    assert_eq!(oversized.await, Fault::FrameTooLong { bytes: limit + 1, limit });
    let garbage = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&frame(b"\x01\xffgarbage")).await;
        let _ = stream.close().await;
    });
    assert_eq!(garbage.await, Fault::Malformed);
    let wrong = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Ready { have: 0, room: 64 << 20 })).await;
        let _ = stream.close().await;
    });
    assert_eq!(wrong.await, Fault::WrongAnswer);
    let other_length = blamed_for(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 2000 })).await;
        let _ = stream.close().await;
    });
    assert_eq!(other_length.await, Fault::WrongAnswer);
}

#[tokio::test]
async fn silence_of_a_living_peer_is_blamed_before_and_amid_the_data() {
    let (owner, device) = owner_of(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    assert_eq!(downloaded(&owner, device, 1000).await, Err(NetError::Silent));
    let (owner, device) = owner_of(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Sending { bytes: 1000 })).await;
        let _ = stream.write_all(&frame(&[0; 500])).await;
        std::future::pending().await
    })
    .await;
    assert_eq!(downloaded(&owner, device, 1000).await, Err(NetError::Silent));
}

#[tokio::test]
async fn farmer_that_takes_nothing_is_silent_and_one_that_claims_too_much_lies() {
    let (owner, device) = owner_of(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Ready { have: 0, room: 64 << 20 })).await;
        std::future::pending().await
    })
    .await;
    let mut sending = owner.upload(device, &upload(SHARD, 64 << 20)).await.unwrap();
    let sent = tokio::time::timeout(PATIENCE, sending.send(&vec![0; 64 << 20])).await.unwrap();
    assert_eq!(sent, Err(NetError::Silent));
    let (owner, device) = owner_of(|mut stream| async move {
        let _ = stream.write_all(&answer(&Answer::Ready { have: 1001, room: 1001 })).await;
        let _ = stream.close().await;
    })
    .await;
    let lied = owner.upload(device, &upload(SHARD, 1000)).await.unwrap_err();
    assert_eq!(lied, NetError::Protocol(Fault::WrongAnswer));
}

#[tokio::test]
async fn a_farmer_that_ends_in_the_middle_is_gone_and_not_blamed() {
    for config in [quic, tcp] {
        let farmer = Farmer::start(config(&network())).await;
        let (owner, _) = start(config(&network())).await;
        owner.hint(farmer.id(), &farmer.net.addresses());
        let bytes = 64 << 20;
        farmer.shards.lock().unwrap().insert(SHARD, vec![1; bytes]);
        let mut download = owner.download(farmer.id(), &download(SHARD, 0, bytes as u64)).await.unwrap();
        download.next().await.unwrap();
        let reading = async {
            while download.next().await?.is_some() {}
            Ok::<(), NetError>(())
        };
        let (read, ()) = tokio::join!(reading, farmer.net.shutdown());
        assert_eq!(read, Err(NetError::Unreachable(farmer.id())));
    }
}

/// Sends these bytes to a farmer in place of a request, and gives what it says before it closes.
async fn told(bytes: &[u8], end: bool) -> Vec<u8> {
    let bounds = Bounds { request: Duration::from_secs(1), ..Bounds::default() };
    let farmer = Farmer::start(NetConfig { bounds, ..quic(&network()) }).await;
    let address: Multiaddr = farmer.net.addresses()[0].parse().unwrap();
    let (mut swarm, _) = stranger();
    let mut control = swarm.behaviour().stream.new_control();
    swarm.dial(DialOpts::from(address)).unwrap();
    let peer = loop {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
            break peer_id;
        }
    };
    let running = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let talk = async {
        let mut stream = control.open_stream(peer, FARMER).await.unwrap();
        let _ = stream.write_all(bytes).await;
        if end {
            let _ = stream.close().await;
        }
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        said
    };
    let said = tokio::time::timeout(PATIENCE, talk).await.expect("the farmer ends it");
    running.abort();
    assert_eq!(farmer.offers.load(std::sync::atomic::Ordering::SeqCst), 0, "nothing reached the node");
    said
}

fn refused_with(said: &[u8]) -> RefusalCode {
    match codec::decode(1, &said[4..], limits::CONTROL_FRAME).unwrap() {
        Answer::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn strangers_with_bad_requests_are_refused_and_never_reach_the_node() {
    let future = frame(&codec::encode(2, &offer()));
    let trailing = frame(&[codec::encode::<Envelope>(1, &offer()), vec![0]].concat());
    let oversized = u32::MAX.to_be_bytes().to_vec();
    for request in [oversized, frame(b""), frame(b"garbage"), future, trailing] {
        assert_eq!(refused_with(&told(&request, false).await), RefusalCode::BadRequest, "{request:?}");
    }
}

#[tokio::test]
async fn requests_that_come_too_late_are_told_so_and_those_that_end_before_are_cut_off() {
    let busy = |said: Vec<u8>| refused_with(&said) == RefusalCode::Busy;
    assert!(busy(told(&[], false).await));
    assert!(busy(told(&100u32.to_be_bytes(), false).await));
    assert!(told(&[], true).await.is_empty());
    assert!(told(&frame(&codec::encode(1, &offer()))[..6], true).await.is_empty());
}
