//! What libp2p behaviours the swarm is made of, and with which bounds.

use std::{convert::Infallible, sync::Arc};

use hayloft_core::NetworkName;
use libp2p::{
    StreamProtocol, Swarm, SwarmBuilder, connection_limits, identify,
    identity::Keypair,
    kad, mdns, memory_connection_limits, noise, ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, yamux,
};

use super::{door::Door, gate::Gate};
use crate::{NetConfig, StartError, farmer::Admission, limits};

/// The behaviours; those that refuse connections come first.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    gate: Gate,
    memory: memory_connection_limits::Behaviour,
    pub(super) kad: kad::Behaviour<kad::store::MemoryStore>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) stream: libp2p_stream::Behaviour,
    door: Door,
}

/// The DHT's protocol name on a network.
pub(super) fn kad_protocol(config: &NetConfig) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/hayloft/{}/kad/1", config.network)).expect("begins with a slash")
}

/// What all nodes of a network say that they speak.
pub(super) fn family(network: &NetworkName) -> String {
    format!("/hayloft/{network}/1")
}

impl Behaviour {
    fn new(
        config: &NetConfig,
        key: &Keypair,
        mdns: Toggle<mdns::tokio::Behaviour>,
        door: Door,
        admission: Arc<Admission>,
    ) -> Self {
        let local = key.public().to_peer_id();
        let store = kad::store::MemoryStore::with_config(
            local,
            kad::store::MemoryStoreConfig {
                max_records: 0,
                max_value_bytes: 0,
                max_provided_keys: limits::PROVIDED_KEYS,
                ..Default::default()
            },
        );
        let mut kad = kad::Behaviour::with_config(local, store, kad_config(config));
        // Reachability is not measured yet: it is the configuration that says who serves the DHT.
        kad.set_mode(Some(if config.serves_dht { kad::Mode::Server } else { kad::Mode::Client }));
        // Nodes that share a process do not each have its memory.
        let memory_bytes = if config.memory { usize::MAX } else { limits::PROCESS_MEMORY_BYTES };
        let identity = identify::Config::new(family(&config.network), key.public())
            .with_agent_version(concat!("hayloft/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        Self {
            limits: connection_limits::Behaviour::new(connection_limits()),
            gate: Gate::new(&config.bounds, admission),
            memory: memory_connection_limits::Behaviour::with_max_bytes(memory_bytes),
            kad,
            identify: identify::Behaviour::new(identity),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(limits::PING_INTERVAL)),
            mdns,
            stream: libp2p_stream::Behaviour::new(),
            door,
        }
    }
}

/// What the gate leaves: outbound connections.
fn connection_limits() -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_outgoing(Some(limits::CONNECTIONS_PENDING_OUT))
        .with_max_established_outgoing(Some(limits::CONNECTIONS_OUT))
}

/// Records are refused and announcements looked at before they are kept; peers enter the routing table by hand.
fn kad_config(config: &NetConfig) -> kad::Config {
    let mut kad = kad::Config::new(kad_protocol(config));
    kad.set_replication_factor(limits::KAD_REPLICATION)
        .set_query_timeout(limits::QUERY_TIMEOUT)
        .set_substreams_timeout(limits::QUERY_STREAM_TIMEOUT)
        .set_max_packet_size(limits::KAD_PACKET)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(Some(limits::KAD_BOOTSTRAP_INTERVAL));
    kad
}

/// A swarm over sockets, or in this process alone if the configuration says so.
pub(super) fn swarm(
    config: &NetConfig,
    key: Keypair,
    door: Door,
    admission: Arc<Admission>,
) -> Result<Swarm<Behaviour>, StartError> {
    if config.memory {
        memory_swarm(config, key, door, admission)
    } else {
        socket_swarm(config, key, door, admission)
    }
}

fn socket_swarm(
    config: &NetConfig,
    key: Keypair,
    door: Door,
    admission: Arc<Admission>,
) -> Result<Swarm<Behaviour>, StartError> {
    let mdns =
        config.mdns.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), key.public().to_peer_id()));
    let mdns = mdns.transpose().map_err(|error| failed("mDNS", &error))?;
    let built = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux_config)
        .map_err(|error| failed("TCP", &error))?
        .with_quic_config(quic_config)
        .with_dns()
        .map_err(|error| failed("DNS", &error))?
        .with_behaviour(|key| Behaviour::new(config, key, mdns.into(), door, admission))
        .unwrap_or_else(|never: Infallible| match never {})
        .with_swarm_config(|swarm| swarm_config(swarm, config))
        .build();
    Ok(built)
}

fn memory_swarm(
    config: &NetConfig,
    key: Keypair,
    door: Door,
    admission: Arc<Admission>,
) -> Result<Swarm<Behaviour>, StartError> {
    use libp2p::core::{Transport as _, transport::MemoryTransport, upgrade::Version};
    let security = noise::Config::new(&key).map_err(|error| failed("noise", &error))?;
    let built = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|_| {
            MemoryTransport::default().upgrade(Version::V1).authenticate(security).multiplex(yamux_config())
        })
        .unwrap_or_else(|never: Infallible| match never {})
        .with_behaviour(|key| Behaviour::new(config, key, None.into(), door, admission))
        .unwrap_or_else(|never: Infallible| match never {})
        .with_swarm_config(|swarm| swarm_config(swarm, config))
        .build();
    Ok(built)
}

fn failed(transport: &'static str, error: &dyn std::error::Error) -> StartError {
    StartError::Transport { transport, reason: error.to_string() }
}

fn swarm_config(swarm: libp2p::swarm::Config, config: &NetConfig) -> libp2p::swarm::Config {
    swarm
        .with_smart_dial()
        .with_idle_connection_timeout(config.bounds.idle_connection)
        .with_max_negotiating_inbound_streams(limits::STREAMS_NEGOTIATING)
}

fn yamux_config() -> yamux::Config {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(limits::STREAMS_PER_CONNECTION as usize);
    yamux
}

fn quic_config(mut quic: libp2p::quic::Config) -> libp2p::quic::Config {
    quic.handshake_timeout = limits::HANDSHAKE_TIMEOUT;
    quic.max_idle_timeout = u32::try_from(limits::QUIC_IDLE.as_millis()).unwrap_or(u32::MAX);
    quic.keep_alive_interval = limits::QUIC_KEEP_ALIVE;
    quic.max_concurrent_stream_limit = limits::STREAMS_PER_CONNECTION;
    quic.max_stream_data = limits::QUIC_STREAM_WINDOW;
    quic.max_connection_data = limits::QUIC_CONNECTION_WINDOW;
    quic
}
