//! Dialling on demand: by known addresses first, then by those that the DHT knows. Whoever waits is told as soon as a
//! connection stands or nothing is left to try.

use std::collections::HashMap;

use libp2p::{
    PeerId, Swarm, kad,
    swarm::{DialError, dial_opts::DialOpts, dial_opts::PeerCondition},
};
use tokio::sync::oneshot;

use super::{behaviour::Behaviour, peers::Peers};

/// The devices somebody waits to be connected with.
#[derive(Debug, Default)]
pub(super) struct Dials {
    waiting: HashMap<PeerId, Waiting>,
    lookups: HashMap<kad::QueryId, PeerId>,
}

#[derive(Debug)]
struct Waiting {
    looked_up: bool,
    replies: Vec<oneshot::Sender<bool>>,
}

impl Dials {
    /// Connects with a peer and then answers.
    pub(super) fn connect(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &Peers,
        peer: PeerId,
        reply: oneshot::Sender<bool>,
    ) {
        if swarm.is_connected(&peer) {
            let _ = reply.send(true);
        } else if let Some(waiting) = self.waiting.get_mut(&peer) {
            waiting.replies.retain(|reply| !reply.is_closed());
            waiting.replies.push(reply);
        } else {
            self.waiting.insert(peer, Waiting { looked_up: false, replies: vec![reply] });
            self.dial(swarm, peers, peer);
        }
    }

    fn dial(&mut self, swarm: &mut Swarm<Behaviour>, peers: &Peers, peer: PeerId) {
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(peers.addresses(&peer))
            .extend_addresses_through_behaviour()
            .build();
        match swarm.dial(options) {
            // Somebody else dials this peer already: that dial's end is awaited.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "not dialled");
                self.failed(swarm, &peer);
            }
        }
    }

    /// A connection stands.
    pub(super) fn succeeded(&mut self, peer: &PeerId) {
        self.answer(peer, true);
    }

    /// A dial came to nothing: the DHT is asked once, then those who wait are told.
    pub(super) fn failed(&mut self, swarm: &mut Swarm<Behaviour>, peer: &PeerId) {
        if swarm.is_connected(peer) {
            return self.answer(peer, true);
        }
        match self.waiting.get_mut(peer) {
            Some(waiting) if !waiting.looked_up => {
                waiting.looked_up = true;
                let query = swarm.behaviour_mut().kad.get_closest_peers(*peer);
                self.lookups.insert(query, *peer);
            }
            _ => self.answer(peer, false),
        }
    }

    /// Takes the end of a lookup; says whether it was one of these.
    pub(super) fn looked_up(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: &Peers,
        query: kad::QueryId,
        found: &[kad::PeerInfo],
    ) -> bool {
        let Some(peer) = self.lookups.remove(&query) else { return false };
        match found.iter().find(|info| info.peer_id == peer) {
            Some(info) if self.waiting.contains_key(&peer) => {
                peers.learn(peer, info.addrs.iter().cloned());
                self.dial(swarm, peers, peer);
            }
            _ => self.failed(swarm, &peer),
        }
        true
    }

    fn answer(&mut self, peer: &PeerId, connected: bool) {
        for reply in self.waiting.remove(peer).into_iter().flat_map(|waiting| waiting.replies) {
            let _ = reply.send(connected);
        }
    }
}
