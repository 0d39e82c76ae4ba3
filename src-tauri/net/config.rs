//! What a node tells its network at the start.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hayloft_core::{NetworkName, Timestamp};

use crate::{Remembered, limits};

/// What [`crate::Net::start`] needs to know.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// Part of every protocol name: other networks are not understood.
    pub network: NetworkName,
    /// Multiaddresses to listen on, such as `/ip4/0.0.0.0/udp/0/quic-v1`; port 0 takes a free one. May be empty.
    pub listen: Vec<String>,
    /// Multiaddresses of nodes to join by, with or without `/p2p/ID`.
    pub bootstrap: Vec<String>,
    /// Whether to look for nodes on the local network.
    pub mdns: bool,
    /// Uses libp2p's in-process transport (`/memory/PORT`) in place of sockets, for tests.
    pub memory: bool,
    /// Whether it keeps a part of the DHT and answers others' questions, or only asks.
    pub serves_dht: bool,
    /// Peers known from earlier runs.
    pub remembered: Vec<Remembered>,
    /// Bandwidth at the start.
    pub rates: RateLimits,
    /// Limits on strangers and waiting times.
    pub bounds: Bounds,
    /// The time by which records count.
    pub wall: Wall,
}

impl NetConfig {
    /// A configuration that listens nowhere, knows nobody and has the ordinary bounds.
    pub fn new(network: NetworkName) -> Self {
        Self {
            network,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            mdns: false,
            memory: false,
            serves_dht: true,
            remembered: Vec::new(),
            rates: RateLimits::default(),
            bounds: Bounds::default(),
            wall: Wall::default(),
        }
    }
}

/// A wall clock: the machine's, or the one a node is given for tests.
#[derive(Clone)]
pub struct Wall(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Wall {
    /// Asks `read` for the time.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Wall {
    fn default() -> Self {
        Self::new(|| Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()))
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

/// Bandwidth of data frames, in bytes per second; none is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Sent.
    pub up: Option<u64>,
    /// Received.
    pub down: Option<u64>,
}

/// Limits on strangers and waiting times; the default is what [`limits`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Established inbound connections.
    pub connections_in: u32,
    /// Established connections with one peer.
    pub connections_per_peer: u32,
    /// Inbound requests served at once.
    pub requests: usize,
    /// Inbound requests of one peer served at once.
    pub requests_per_peer: usize,
    /// Inbound requests of one subnet served at once.
    pub requests_per_subnet: usize,
    /// Inbound requests of peers that are not known as customers served at once.
    pub requests_of_strangers: usize,
    /// How long a connection or a stream may take to come about.
    pub connect: Duration,
    /// How long a whole request frame may take to arrive.
    pub request: Duration,
    /// How long nothing may move before a peer counts as silent.
    pub progress: Duration,
    /// How long a connection without streams is kept.
    pub idle_connection: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_in: limits::CONNECTIONS_IN,
            connections_per_peer: limits::CONNECTIONS_PER_PEER,
            requests: limits::REQUESTS,
            requests_per_peer: limits::REQUESTS_PER_PEER,
            requests_per_subnet: limits::REQUESTS_PER_SUBNET,
            requests_of_strangers: limits::REQUESTS_OF_STRANGERS,
            connect: limits::CONNECT_TIMEOUT,
            request: limits::REQUEST_TIMEOUT,
            progress: limits::PROGRESS_TIMEOUT,
            idle_connection: limits::IDLE_CONNECTION_TIMEOUT,
        }
    }
}
