//! What the swarm tells: connections, who peers are, what the DHT found.

use libp2p::{
    Multiaddr, PeerId, identify, kad, mdns,
    swarm::{ConnectionId, SwarmEvent, dial_opts::DialOpts},
};

use super::{
    behaviour::{self, BehaviourEvent},
    queries, routing,
    task::{Heard, Listening},
};
use crate::{Source, address, discovery, limits};

impl Listening {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let remote = address::split_peer(endpoint.get_remote_address()).0;
                if endpoint.is_dialer() {
                    self.shared.peers.learn(peer_id, [remote.clone()]);
                }
                self.shared.peers.connection_made(peer_id, connection_id, remote);
                self.dials.succeeded(&peer_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.shared.peers.connection_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "dial failed");
                self.dials.failed(&mut self.swarm, &peer);
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.shared.peers.set_listening(self.swarm.listeners().cloned().collect());
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            })) => self.on_identified(peer_id, connection_id, &info),
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.on_kad(event),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                self.on_mdns(found)
            }
            event => tracing::trace!(?event, "nothing to do"),
        }
    }

    /// A peer said who it is: those of this network that serve the DHT enter the routing table, farmers are heard of.
    fn on_identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        let Some(observed) = self.shared.peers.observed(&peer, &connection) else { return };
        if info.protocol_version != behaviour::family(&self.shared.network) {
            return;
        }
        let addresses = address::believable(&info.listen_addrs, &observed);
        self.shared.peers.learn(peer, addresses.iter().cloned());
        self.shared.peers.reached(&peer);
        let kad = &mut self.swarm.behaviour_mut().kad;
        let serves = info.protocols.iter().any(|protocol| kad.protocol_names().contains(protocol));
        if serves && routing::insert(kad, peer, &observed, &addresses) {
            let local = *self.swarm.local_peer_id();
            self.swarm.behaviour_mut().kad.get_closest_peers(local);
            self.shared.peers.join();
        }
        if info.protocols.contains(&self.shared.protocol) {
            hear(self, peer, Source::Met);
        }
    }

    fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                if let Some(source) = self.questions.source(&id) {
                    for peer in queries::named(&result) {
                        hear(self, peer, source);
                    }
                }
                if step.last {
                    self.questions.finish(&id);
                    self.dials.looked_up(&mut self.swarm, &self.shared.peers, id, queries::closest(&result));
                }
            }
            kad::Event::InboundRequest {
                request: kad::InboundRequest::AddProvider { record: Some(record) },
            } => self.on_announced(record),
            event => tracing::trace!(?event, "nothing to do"),
        }
    }

    /// Keeps a peer's announcement if it is for a bucket of these days and names no addresses but the peer's own.
    fn on_announced(&mut self, mut record: kad::ProviderRecord) {
        let network = &self.shared.network;
        if !discovery::is_bucket(network, record.key.as_ref(), self.shared.wall.now()) {
            return tracing::debug!("announcement under a foreign key");
        }
        let Some(observed) = self.shared.peers.any_observed(&record.provider) else { return };
        record.addresses = address::believable(&record.addresses, &observed);
        let store = self.swarm.behaviour_mut().kad.store_mut();
        if let Err(error) = kad::store::RecordStore::add_provider(store, record) {
            tracing::debug!(%error, "announcement not kept");
        }
    }

    fn on_mdns(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, address) in found.into_iter().take(limits::MDNS_AT_ONCE) {
            let bare = address::split_peer(&address).0;
            self.shared.peers.learn(peer, [bare.clone()]);
            hear(self, peer, Source::Mdns);
            self.try_dial(DialOpts::peer_id(peer).addresses(vec![bare]).build());
        }
    }
}

/// Passes on that a device may be a farmer; when discovery is far behind, it hears of it again later.
pub(super) fn hear(listening: &Listening, peer: PeerId, source: Source) {
    let device = address::device_of(&peer);
    if let Some(device) = device.filter(|device| *device != listening.shared.local) {
        let _ = listening.heard.try_send(Heard { device, source });
    }
}
