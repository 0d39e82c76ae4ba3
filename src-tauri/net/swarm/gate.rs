//! The gate for inbound connections: how many may shake hands at once, over each transport and of each subnet, and how
//! many may stand.
//!
//! When all places are taken a newcomer is not turned away, or whoever fills them first would keep everybody out: the
//! idle stranger that has been here longest goes. Peers that are being served stay, and customers stay before all others.
//! A peer that comes back while connections of its last run still stand, dead without having said so, takes the place of
//! its own oldest. Half-open TCP connections take no place from QUIC. Addresses without a subnet are counted in all alone.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::{
    Bounds,
    address::{self, Subnet},
    farmer::{Admission, Regard},
    limits,
};

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are as many inbound connections as may be")]
pub(super) struct Full;

/// Admits inbound connections.
pub(super) struct Gate {
    crowd: Crowd,
    admission: Arc<Admission>,
    leaving: VecDeque<(PeerId, ConnectionId)>,
    waker: Option<Waker>,
}

impl Gate {
    pub(super) fn new(bounds: &Bounds, admission: Arc<Admission>) -> Self {
        Self { crowd: Crowd::new(bounds), admission, leaving: VecDeque::new(), waker: None }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let quic = remote.iter().any(|part| matches!(part, Protocol::QuicV1));
        self.crowd.knock(connection, quic, subnet(remote)).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.leaving.extend(self.crowd.make_way(&peer));
        let regard = |peer: &PeerId| self.admission.regard(peer);
        let leaves = self.crowd.enter(connection, peer, subnet(remote), regard);
        self.leaving.extend(leaves.map_err(ConnectionDenied::new)?);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. })
            | FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.crowd.leave(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, connection)) = self.leaving.pop_front() {
            let connection = CloseConnection::One(connection);
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn subnet(remote: &Multiaddr) -> Option<Subnet> {
    address::ip_of(remote).and_then(address::subnet_of)
}

/// Those at the gate and those inside.
#[derive(Debug)]
struct Crowd {
    most: usize,
    most_per_peer: usize,
    most_per_subnet: usize,
    knocking: HashMap<ConnectionId, (bool, Option<Subnet>)>,
    /// In order of arrival.
    inside: BTreeMap<u64, Member>,
    arrivals: HashMap<ConnectionId, u64>,
    arrived: u64,
}

#[derive(Debug)]
struct Member {
    connection: ConnectionId,
    peer: PeerId,
    subnet: Option<Subnet>,
}

impl Crowd {
    fn new(bounds: &Bounds) -> Self {
        Self {
            most: bounds.connections_in as usize,
            most_per_peer: bounds.connections_per_peer as usize,
            most_per_subnet: limits::CONNECTIONS_PER_SUBNET,
            knocking: HashMap::new(),
            inside: BTreeMap::new(),
            arrivals: HashMap::new(),
            arrived: 0,
        }
    }

    fn knock(&mut self, connection: ConnectionId, quic: bool, subnet: Option<Subnet>) -> Result<(), Full> {
        let same = self.knocking.values().filter(|(other, _)| *other == quic).count();
        let near = self.knocking.values().filter(|(_, other)| subnet.is_some() && *other == subnet).count();
        if same >= limits::CONNECTIONS_PENDING_IN || near >= limits::CONNECTIONS_PENDING_PER_SUBNET {
            return Err(Full);
        }
        self.knocking.insert(connection, (quic, subnet));
        Ok(())
    }

    /// A peer that has as many connections as it may have gives up its oldest; answers which.
    fn make_way(&mut self, peer: &PeerId) -> Option<(PeerId, ConnectionId)> {
        let mut own = self.inside.values().filter(|member| member.peer == *peer);
        let oldest = own.next()?.connection;
        if 1 + own.count() < self.most_per_peer {
            return None;
        }
        self.leave(&oldest);
        Some((*peer, oldest))
    }

    /// Lets a connection in; answers who has to leave for it.
    fn enter(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        subnet: Option<Subnet>,
        regard: impl Fn(&PeerId) -> Regard,
    ) -> Result<Option<(PeerId, ConnectionId)>, Full> {
        self.knocking.remove(&connection);
        let neighbours = self.inside.values().filter(|member| subnet.is_some() && member.subnet == subnet);
        let crowded = neighbours.count() >= self.most_per_subnet;
        let mut leaves = None;
        if crowded || self.inside.len() >= self.most {
            let lesser = if regard(&peer) == Regard::Customer { Regard::Customer } else { Regard::Served };
            let here = |member: &Member| !crowded || member.subnet == subnet;
            let least = self.inside.iter().filter(|(_, member)| here(member));
            let least = least.map(|(at, member)| (regard(&member.peer), *at)).min();
            let (_, at) = least.filter(|(regard, _)| *regard < lesser).ok_or(Full)?;
            leaves = self.inside.remove(&at).map(|member| (member.peer, member.connection));
        }
        if let Some((_, gone)) = &leaves {
            self.arrivals.remove(gone);
        }
        self.arrived += 1;
        self.arrivals.insert(connection, self.arrived);
        self.inside.insert(self.arrived, Member { connection, peer, subnet });
        Ok(leaves)
    }

    fn leave(&mut self, connection: &ConnectionId) {
        self.knocking.remove(connection);
        if let Some(at) = self.arrivals.remove(connection) {
            self.inside.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(most: u32) -> Crowd {
        Crowd::new(&Bounds { connections_in: most, ..Bounds::default() })
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn net(ip: &str) -> Option<Subnet> {
        address::subnet_of(ip.parse().unwrap())
    }

    #[test]
    fn half_open_tcp_connections_leave_room_for_quic_and_a_subnet_has_its_share() {
        let mut crowd = crowd(512);
        let tcp = (0..10_000).filter(|&number| crowd.knock(id(number), false, None).is_ok()).count();
        assert_eq!(tcp, limits::CONNECTIONS_PENDING_IN);
        assert_eq!(crowd.knock(id(10_000), true, None), Ok(()));
        let near = net("198.51.100.1");
        let of_one = (20_000..30_000).filter(|&number| crowd.knock(id(number), true, near).is_ok()).count();
        assert_eq!(of_one, limits::CONNECTIONS_PENDING_PER_SUBNET);
        assert_eq!(crowd.knock(id(30_000), true, net("198.51.101.1")), Ok(()));
        crowd.leave(&id(0));
        assert_eq!(crowd.knock(id(30_001), false, None), Ok(()));
    }

    #[test]
    fn newcomers_push_out_the_idle_stranger_that_came_first_and_nobody_else() {
        let mut crowd = crowd(4);
        let peers: Vec<PeerId> = (0..6).map(|_| PeerId::random()).collect();
        let regard = |peer: &PeerId| match peers.iter().position(|other| other == peer) {
            Some(0) => Regard::Customer,
            Some(1) => Regard::Served,
            _ => Regard::Idle,
        };
        for (number, peer) in peers.iter().enumerate().take(4) {
            assert_eq!(crowd.enter(id(number), *peer, None, regard), Ok(None));
        }
        assert_eq!(crowd.enter(id(4), peers[4], None, regard), Ok(Some((peers[2], id(2)))));
        assert_eq!(crowd.enter(id(5), peers[5], None, regard), Ok(Some((peers[3], id(3)))));
        assert_eq!((crowd.inside.len(), crowd.arrivals.len()), (4, 4));
    }

    #[test]
    fn a_peer_that_comes_back_takes_the_place_of_its_own_oldest_connection() {
        let mut crowd = Crowd::new(&Bounds { connections_per_peer: 2, ..Bounds::default() });
        let (peer, other) = (PeerId::random(), PeerId::random());
        let served = |_: &PeerId| Regard::Served;
        assert_eq!(crowd.enter(id(0), other, None, served), Ok(None));
        for (number, leaves) in [(1, None), (2, None), (3, Some((peer, id(1)))), (4, Some((peer, id(2))))] {
            assert_eq!(crowd.make_way(&peer), leaves);
            assert_eq!(crowd.enter(id(number), peer, None, served), Ok(None));
        }
        assert_eq!((crowd.inside.len(), crowd.arrivals.len()), (3, 3));
    }

    #[test]
    fn those_being_served_give_way_to_customers_alone() {
        let mut crowd = crowd(2);
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        let regard = |peer: &PeerId| if *peer == peers[3] { Regard::Customer } else { Regard::Served };
        assert_eq!(crowd.enter(id(0), peers[0], None, regard), Ok(None));
        assert_eq!(crowd.enter(id(1), peers[1], None, regard), Ok(None));
        assert_eq!(crowd.enter(id(2), peers[2], None, regard), Err(Full));
        assert_eq!(crowd.enter(id(3), peers[3], None, regard), Ok(Some((peers[0], id(0)))));
        let all = |_: &PeerId| Regard::Customer;
        assert_eq!(crowd.enter(id(4), peers[0], None, all), Err(Full));
    }

    #[test]
    fn one_subnet_pushes_out_its_own_alone() {
        let mut crowd = crowd(512);
        let idle = |_: &PeerId| Regard::Idle;
        let far = PeerId::random();
        assert_eq!(crowd.enter(id(0), far, net("203.0.113.9"), idle), Ok(None));
        for number in 1..10_000 {
            let peer = PeerId::random();
            let left = crowd.enter(id(number), peer, net("198.51.100.1"), idle).unwrap();
            assert_ne!(left.map(|(peer, _)| peer), Some(far));
        }
        assert_eq!(crowd.inside.len(), 1 + limits::CONNECTIONS_PER_SUBNET);
    }
}
