//! What the swarm knows of its peers: addresses to dial, connections that stand. Shared with all handles; bounded.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hayloft_core::DeviceId;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
use tokio::{sync::watch, time::Instant};

use crate::{address, limits};

/// The peers of a node.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    state: Mutex<State>,
    joined: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<PeerId, Known>,
    connections: HashMap<PeerId, HashMap<ConnectionId, Connection>>,
    listening: Vec<Multiaddr>,
    learned: u64,
    turns: u64,
}

/// A connection that stands.
#[derive(Debug)]
struct Connection {
    remote: Multiaddr,
    made: Instant,
}

/// Addresses of a peer, the newest last.
#[derive(Debug, Default)]
struct Known {
    addresses: Vec<Multiaddr>,
    reached: bool,
    learned: u64,
    /// When it was last among [`Peers::some_known`]; zero if never.
    turn: u64,
}

impl Peers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds addresses of a peer; of too many addresses or peers, those learned longest ago are forgotten.
    pub(crate) fn learn(&self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        let mut state = self.state();
        state.learned += 1;
        let learned = state.learned;
        if state.known.len() >= limits::PEERS_KNOWN && !state.known.contains_key(&peer) {
            state.forget_one();
        }
        let known = state.known.entry(peer).or_default();
        known.learned = learned;
        for address in addresses {
            known.addresses.retain(|old| *old != address);
            known.addresses.push(address);
        }
        let surplus = known.addresses.len().saturating_sub(limits::ADDRESSES_PER_PEER);
        known.addresses.drain(..surplus);
    }

    /// Addresses to dial a peer by.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.state().known.get(peer).map(|known| known.addresses.clone()).unwrap_or_default()
    }

    pub(super) fn connection_made(&self, peer: PeerId, connection: ConnectionId, remote: Multiaddr) {
        let mut state = self.state();
        let remote = address::split_peer(&remote).0;
        let made = Connection { remote, made: Instant::now() };
        state.connections.entry(peer).or_default().insert(connection, made);
    }

    /// Says that a peer proved to be of this network.
    pub(super) fn reached(&self, peer: &PeerId) {
        if let Some(known) = self.state().known.get_mut(peer) {
            known.reached = true;
        }
    }

    /// Some peers with known addresses that are not connected: half of them the latest, half of them those that have waited
    /// longest for a turn, so that everybody has one soon.
    pub(super) fn some_known(&self, count: usize) -> Vec<PeerId> {
        let mut state = self.state();
        state.turns += 1;
        let State { known, connections, turns, .. } = &mut *state;
        let mut idle: Vec<_> = known.iter_mut().filter(|(peer, _)| !connections.contains_key(peer)).collect();
        idle.sort_by_key(|(_, known)| Reverse(known.learned));
        let latest = (count / 2).min(idle.len());
        idle[latest..].sort_by_key(|(_, known)| (known.turn, Reverse(known.learned)));
        let mut some = Vec::with_capacity(count.min(idle.len()));
        for (peer, known) in idle.into_iter().take(count) {
            known.turn = *turns;
            some.push(*peer);
        }
        some
    }

    pub(super) fn connection_closed(&self, peer: PeerId, connection: ConnectionId) {
        let mut state = self.state();
        if let Some(connections) = state.connections.get_mut(&peer) {
            connections.remove(&connection);
            if connections.is_empty() {
                state.connections.remove(&peer);
            }
        }
    }

    /// The remote address of one connection.
    pub(super) fn observed(&self, peer: &PeerId, connection: &ConnectionId) -> Option<Multiaddr> {
        self.state().connections.get(peer)?.get(connection).map(|found| found.remote.clone())
    }

    /// The remote address of any connection of a peer.
    pub(super) fn any_observed(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.state().connections.get(peer)?.values().next().map(|found| found.remote.clone())
    }

    /// The IP that a peer's connection shows.
    pub(crate) fn address_of(&self, peer: &PeerId) -> Option<IpAddr> {
        self.state().connections.get(peer)?.values().find_map(|found| address::ip_of(&found.remote))
    }

    /// Whether a connection was made since then: streams that are older may lie on one to a node that is no more.
    pub(crate) fn connected_since(&self, peer: &PeerId, then: Instant) -> bool {
        let state = self.state();
        let connections = state.connections.get(peer).into_iter().flat_map(HashMap::values);
        connections.into_iter().any(|connection| connection.made > then)
    }

    /// Connected peers.
    pub(crate) fn connected(&self) -> usize {
        self.state().connections.len()
    }

    pub(super) fn set_listening(&self, addresses: Vec<Multiaddr>) {
        self.state().listening = addresses;
    }

    /// The addresses listened on, with this node's id.
    pub(crate) fn listening(&self, local: &DeviceId) -> Vec<String> {
        let Some(local) = address::peer_of(local) else { return Vec::new() };
        let with_id = |address: &Multiaddr| address.clone().with(Protocol::P2p(local)).to_string();
        self.state().listening.iter().map(with_id).collect()
    }

    /// Devices that proved to be of this network and whose addresses are known, the latest first.
    pub(crate) fn reachable(&self) -> Vec<(DeviceId, Vec<String>)> {
        let state = self.state();
        let mut reached: Vec<_> = state.known.iter().filter(|(_, known)| known.reached).collect();
        reached.sort_by_key(|(_, known)| Reverse(known.learned));
        let texts = |known: &Known| known.addresses.iter().map(Multiaddr::to_string).collect::<Vec<_>>();
        let found = reached.into_iter().filter(|(_, known)| !known.addresses.is_empty());
        found.filter_map(|(peer, known)| Some((address::device_of(peer)?, texts(known)))).collect()
    }

    /// Says that the routing table got its first peer.
    pub(super) fn join(&self) {
        self.joined.send_modify(|times| *times += 1);
    }

    /// Sees a new value whenever the routing table gets its first peer.
    pub(crate) fn joined(&self) -> watch::Receiver<u64> {
        self.joined.subscribe()
    }
}

impl State {
    fn forget_one(&mut self) {
        let idle = self.known.iter().filter(|(peer, _)| !self.connections.contains_key(peer));
        let oldest = idle.min_by_key(|(_, known)| known.learned).map(|(peer, _)| *peer);
        if let Some(oldest) = oldest {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn addresses_of_a_peer_are_bounded_and_the_newest_stay() {
        let (peers, peer) = (Peers::default(), PeerId::random());
        peers.learn(peer, (1..=100).map(address));
        let kept = peers.addresses(&peer);
        assert_eq!(kept.len(), limits::ADDRESSES_PER_PEER);
        assert_eq!(kept.last(), Some(&address(100)));
    }

    #[test]
    fn some_of_the_known_are_the_latest_and_all_others_have_their_turn() {
        let peers = Peers::default();
        let all: Vec<PeerId> = (1..=100).map(|_| PeerId::random()).collect();
        for (port, peer) in all.iter().enumerate() {
            peers.learn(*peer, [address(port)]);
        }
        let mut seen = std::collections::HashSet::new();
        for _ in 0..92_usize.div_ceil(8) {
            let some = peers.some_known(16);
            assert_eq!(some.len(), 16);
            assert!(some[..8].iter().eq(all.iter().rev().take(8)));
            seen.extend(some);
        }
        assert_eq!(seen.len(), 100, "everybody has a turn");
    }

    #[test]
    fn known_peers_are_bounded_and_connected_ones_stay() {
        let (peers, friend) = (Peers::default(), PeerId::random());
        peers.learn(friend, [address(1)]);
        peers.connection_made(friend, ConnectionId::new_unchecked(1), address(1));
        for port in 0..limits::PEERS_KNOWN + 10 {
            peers.learn(PeerId::random(), [address(port % 60_000)]);
        }
        assert_eq!(peers.state().known.len(), limits::PEERS_KNOWN);
        assert_eq!(peers.addresses(&friend), [address(1)]);
    }
}
