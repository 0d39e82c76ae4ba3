//! `hayloft-flood`: a stranger in a process of its own that attacks one node over real sockets, in the one way that it is
//! told to, as hard as it can.
//!
//! It prints `{"begun": COUNT}` once the attack stands at its full strength, goes on, and ends when its standard input
//! closes. What it opens it keeps open; what the node closes it opens again.

mod customer;
mod follows;
mod hostile;
mod kad;
mod sockets;
mod stranger;
mod streams;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use hayloft_core::NetworkName;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

/// The ways to attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Attack {
    /// Requests that come at one byte a second, from many identities.
    DripRequests,
    /// Request frames that never end, and streams that never end after their frame.
    EndlessRequests,
    /// Frames of length 0, of too many bytes, of `u32::MAX` bytes, and cut ones.
    WrongLengths,
    /// Streams of every protocol there is, opened, filled as far as the window goes, and left.
    FullWindows,
    /// TCP connections that say nothing.
    HalfOpenTcp,
    /// QUIC handshakes that stop after their first packet, and datagrams of noise.
    HalfOpenQuic,
    /// Hundreds of connections of one identity, over and over.
    ConnectionsOfOne,
    /// More connections of as many identities than there are places.
    ConnectionsOfMany,
    /// Requests without end, hundreds at once, sound and unsound.
    RequestStorm,
    /// Announcements under thousands of keys, queries, and packets beyond every limit.
    Kad,
    /// Endless news about who one is, with lists beyond every limit.
    Identify,
    /// A customer that reads its shard at one byte a second, many times at once.
    SlowReader,
    /// A customer that sends its shards at one byte a second, many at once, and one that sends more than announced.
    SlowWriter,
    /// A customer whose contract holds thousands of shards of one byte, and who revises it again and again.
    TinyShards,
    /// Contracts without number for an auditor to follow, with farmers that nobody reaches.
    Follows,
    /// Many farmers, met by an owner, whose answers drip, never end, never come, or are none.
    HostileFarmers,
}

/// Whom to attack.
#[derive(Debug, Clone)]
struct Victim {
    network: NetworkName,
    peer: PeerId,
    quic: Multiaddr,
    tcp: Multiaddr,
}

impl Victim {
    fn new(network: NetworkName, addresses: &[Multiaddr]) -> Result<Self> {
        let with = |found: fn(&Protocol<'_>) -> bool| {
            addresses.iter().find(|address| address.iter().any(|part| found(&part))).cloned()
        };
        let quic = with(|part| matches!(part, Protocol::QuicV1)).context("no QUIC address")?;
        let tcp = with(|part| matches!(part, Protocol::Tcp(_))).unwrap_or_else(|| quic.clone());
        match quic.iter().last() {
            Some(Protocol::P2p(peer)) => Ok(Self { network, peer, quic, tcp }),
            _ => anyhow::bail!("an address without an id"),
        }
    }
}

/// Says once that the attack stands.
fn begun(count: usize) {
    println!("{}", serde_json::json!({ "begun": count }));
    let _ = std::io::stdout().flush();
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().context("NETWORK ATTACK ADDRESS…");
    let network: NetworkName = next()?.parse()?;
    let attack: Attack = serde_json::from_value(next()?.into())?;
    let addresses: Vec<Multiaddr> = args.map(|text| Ok(text.parse()?)).collect::<Result<_>>()?;
    let victim = Victim::new(network, &addresses)?;
    let attacking = async {
        match attack {
            Attack::DripRequests => streams::drip(victim).await,
            Attack::EndlessRequests => streams::endless(victim).await,
            Attack::WrongLengths => streams::wrong_lengths(victim).await,
            Attack::FullWindows => streams::full_windows(victim).await,
            Attack::HalfOpenTcp => sockets::half_open_tcp(victim).await,
            Attack::HalfOpenQuic => sockets::half_open_quic(victim).await,
            Attack::ConnectionsOfOne => sockets::connections_of_one(victim).await,
            Attack::ConnectionsOfMany => sockets::connections_of_many(victim).await,
            Attack::RequestStorm => customer::storm(victim).await,
            Attack::Kad => kad::flood(victim).await,
            Attack::Identify => kad::identify(victim).await,
            Attack::SlowReader => customer::slow_reader(victim).await,
            Attack::SlowWriter => customer::slow_writer(victim).await,
            Attack::TinyShards => customer::tiny_shards(victim).await,
            Attack::Follows => follows::flood(victim).await,
            Attack::HostileFarmers => hostile::farmers(victim).await,
        }
    };
    let mut stdin = tokio::io::stdin();
    let mut closed = [0; 1];
    tokio::select! {
        ended = attacking => ended,
        _ = stdin.read(&mut closed) => Ok(()),
    }
}
