//! The task that owns the swarm: takes commands, handles events, joins the network and keeps trying while alone.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::StreamExt as _;
use hayloft_core::{DeviceId, keys::DeviceKey};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    identity::Keypair,
    kad::RecordKey,
    swarm::{DialError, SwarmEvent, dial_opts::DialOpts},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    behaviour::{self, Behaviour},
    dials::Dials,
    door::Door,
    events,
    joining::{Joining, Reach},
    queries::{Question, Questions},
};
use crate::{NetConfig, Source, StartError, address, farmer::Admission, handle::Shared, limits};

/// What handles ask of the swarm.
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect with a peer; the reply says whether a connection stands.
    Connect { peer: PeerId, reply: oneshot::Sender<bool> },
    /// Ask the DHT; what it names comes as [`Heard`], the end as `done`.
    Ask { question: Question, done: oneshot::Sender<()> },
    /// Be found under these keys and under none from before.
    Provide { keys: Vec<[u8; 32]> },
}

/// A device that may be a farmer, and where it was heard of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) device: DeviceId,
    pub(crate) source: Source,
}

/// A swarm that does not listen yet.
pub(crate) struct Built {
    swarm: Swarm<Behaviour>,
    bootstrap: Vec<Multiaddr>,
}

/// A swarm whose addresses are bound.
pub(crate) struct Listening {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) dials: Dials,
    pub(super) questions: Questions,
    bootstrap: Vec<Multiaddr>,
    provided: HashSet<[u8; 32]>,
}

/// Builds the swarm of a configuration.
pub(crate) fn build(
    config: &NetConfig,
    device: &DeviceKey,
    door: Door,
    admission: Arc<Admission>,
) -> Result<Built, StartError> {
    let mut secret = *device.expose();
    let key = Keypair::ed25519_from_bytes(&mut secret).map_err(|_| StartError::BadDeviceKey)?;
    let bootstrap = config.bootstrap.iter().map(|text| address::parse(text)).collect::<Result<_, _>>()?;
    Ok(Built { swarm: behaviour::swarm(config, key, door, admission)?, bootstrap })
}

impl Built {
    pub(crate) fn stream_control(&self) -> libp2p_stream::Control {
        self.swarm.behaviour().stream.new_control()
    }

    /// Binds all listen addresses.
    pub(crate) async fn listen(
        self,
        config: &NetConfig,
        shared: Arc<Shared>,
        heard: mpsc::Sender<Heard>,
    ) -> Result<Listening, StartError> {
        let mut listening = Listening {
            swarm: self.swarm,
            shared,
            heard,
            dials: Dials::default(),
            questions: Questions::default(),
            bootstrap: self.bootstrap,
            provided: HashSet::new(),
        };
        for text in &config.listen {
            listening.bind(text).await?;
        }
        listening.recall(config);
        Ok(listening)
    }
}

/// An error with its causes: the outermost alone may say nothing.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let mut told: Vec<String> = causes.filter(|cause| !cause.is_empty()).collect();
    told.dedup();
    told.join(": ")
}

impl Listening {
    async fn bind(&mut self, text: &str) -> Result<(), StartError> {
        let failed = |reason: String| StartError::Listen { address: text.to_owned(), reason };
        let listener =
            self.swarm.listen_on(address::parse(text)?).map_err(|error| failed(in_full(&error)))?;
        let bound = async {
            loop {
                match self.swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == listener => return Ok(()),
                    SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                        return Err(reason
                            .err()
                            .map_or_else(|| "closed".to_owned(), |error| in_full(&error)));
                    }
                    event => self.on_event(event),
                }
            }
        };
        let bound = timeout(limits::LISTEN_TIMEOUT, bound).await;
        bound.map_err(|_| failed("no address came up".to_owned()))?.map_err(failed)?;
        self.shared.peers.set_listening(self.swarm.listeners().cloned().collect());
        Ok(())
    }

    /// Learns the addresses of peers from earlier runs, those that were seen last as the latest; those that cannot be read
    /// are left out.
    fn recall(&mut self, config: &NetConfig) {
        let latest = config.remembered.len().min(limits::PEERS_REMEMBERED);
        for remembered in config.remembered[..latest].iter().rev() {
            let Some(peer) = address::peer_of(&remembered.device) else { continue };
            let texts = remembered.addresses.iter().take(limits::ADDRESSES_PER_PEER);
            let found = texts.filter_map(|text| Some(address::split_peer(&address::parse(text).ok()?).0));
            self.shared.peers.learn(peer, found);
            events::hear(self, peer, Source::Remembered);
        }
    }

    /// Runs until the network is shut down, then closes every connection.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let stop = self.shared.stop.clone();
        let mut joining = Joining::new(Instant::now());
        loop {
            let due = joining.due();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = commands.recv() => self.on_command(command),
                event = self.swarm.select_next_some() => {
                    self.on_event(event);
                    let connected = self.swarm.connected_peers().take(limits::JOIN_ENOUGH).count();
                    joining.connected(connected, Instant::now());
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    match joining.turn(Instant::now()) {
                        Reach::Known => self.dial_known(limits::JOIN_KNOWN),
                        Reach::All => self.join(),
                    }
                }
            }
        }
        drop(commands);
        self.close().await;
    }

    /// Dials the bootstrap addresses and some remembered peers, and looks around from those that are connected. A node that
    /// has just begun is not content with one of them: the peers that a single one names may all be gone.
    fn join(&mut self) {
        // Without a known peer there is nobody to ask.
        let _ = self.swarm.behaviour_mut().kad.bootstrap();
        for address in self.bootstrap.clone() {
            let options = match address::split_peer(&address) {
                (bare, Some(peer)) => DialOpts::peer_id(peer).addresses(vec![bare]).build(),
                (bare, None) => DialOpts::unknown_peer_id().address(bare).build(),
            };
            self.try_dial(options);
        }
        self.dial_known(limits::JOIN_REMEMBERED);
    }

    fn dial_known(&mut self, count: usize) {
        for peer in self.shared.peers.some_known(count) {
            let addresses = self.shared.peers.addresses(&peer);
            self.try_dial(DialOpts::peer_id(peer).addresses(addresses).build());
        }
    }

    pub(super) fn try_dial(&mut self, options: DialOpts) {
        match self.swarm.dial(options) {
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => tracing::debug!(%error, "not dialled"),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { peer, reply } => {
                self.dials.connect(&mut self.swarm, &self.shared.peers, peer, reply);
            }
            Command::Ask { question, done } => {
                self.questions.ask(&mut self.swarm.behaviour_mut().kad, question, done);
            }
            Command::Provide { keys } => self.provide(keys),
        }
    }

    fn provide(&mut self, keys: Vec<[u8; 32]>) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let wanted: HashSet<_> = keys.into_iter().collect();
        for old in self.provided.difference(&wanted) {
            kad.stop_providing(&RecordKey::new(old));
        }
        for key in &wanted {
            if let Err(error) = kad.start_providing(RecordKey::new(key)) {
                tracing::warn!(%error, "not announced");
            }
        }
        self.provided = wanted;
    }

    /// Tells every peer that this node leaves.
    async fn close(mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                if let SwarmEvent::ConnectionClosed { .. } = self.swarm.select_next_some().await {}
            }
        };
        let _ = timeout(Duration::from_millis(500), closed).await;
    }
}
