//! An identity of its own that opens raw streams of any protocol.

use std::{convert::Infallible, time::Duration};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    noise,
    swarm::{
        NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    tcp, yamux,
};
use libp2p_stream::Control;
use tokio::task::JoinHandle;

/// Longer than any attack lasts.
const IDLE: Duration = Duration::from_secs(3600);
/// Unread bytes of a stream: so few that even one who reads nothing can open many.
const STREAM_WINDOW: u32 = 64 * 1024;

#[derive(NetworkBehaviour)]
pub(crate) struct Streams {
    pub(crate) stream: libp2p_stream::Behaviour,
    identify: identify::Behaviour,
}

/// A connected stranger; gone with this value.
pub(crate) struct Stranger {
    pub(crate) control: Control,
    pub(crate) own: PeerId,
    pub(crate) victim: PeerId,
    running: JoinHandle<()>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) fn swarm(key: Keypair) -> Result<Swarm<Streams>> {
    let built = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_quic_config(|mut config| {
            config.max_stream_data = STREAM_WINDOW;
            config
        })
        .with_behaviour(|key| Streams {
            stream: libp2p_stream::Behaviour::new(),
            identify: identify::Behaviour::new(identify::Config::new("/flood/1".to_owned(), key.public())),
        })
        .unwrap_or_else(|never: Infallible| match never {})
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build();
    Ok(built)
}

impl Stranger {
    /// Connects once; what comes later is only kept up.
    pub(crate) async fn connect(address: &Multiaddr, victim: PeerId) -> Result<Self> {
        Self::connect_as(swarm(Keypair::generate_ed25519())?, address, victim).await
    }

    /// The same with an identity and protocols of its own.
    pub(crate) async fn connect_as(
        mut swarm: Swarm<Streams>,
        address: &Multiaddr,
        victim: PeerId,
    ) -> Result<Self> {
        let own = *swarm.local_peer_id();
        let control = swarm.behaviour().stream.new_control();
        swarm.dial(dial(address, victim))?;
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => bail!(error),
                _ => {}
            }
        }
        let running = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Ok(Self { control, own, victim, running })
    }

    /// A stream of that protocol.
    pub(crate) async fn open(&self, protocol: &StreamProtocol) -> Result<Stream> {
        Ok(self.control.clone().open_stream(self.victim, protocol.clone()).await?)
    }
}

/// A dial that is made even if a connection stands.
pub(crate) fn dial(address: &Multiaddr, victim: PeerId) -> DialOpts {
    DialOpts::peer_id(victim).condition(PeerCondition::Always).addresses(vec![address.clone()]).build()
}
