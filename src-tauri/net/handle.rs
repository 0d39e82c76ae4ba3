//! [`Net`]: the handle by which a node uses its network.

use std::{collections::HashMap, future::Future, net::IpAddr, sync::Arc, time::Duration};

use hayloft_core::{DeviceId, NetworkName, keys::DeviceKey};
use libp2p::{Stream, StreamProtocol};
use libp2p_stream::OpenStreamError;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Bounds, Candidate, FoundAuditor, Incoming, NetConfig, RateLimits, Remembered, Wall, address,
    discovery::{self, Directory},
    error::{Fault, NetError, StartError},
    farmer::{self, Admission},
    hearing::{Awaited, Hearing},
    limits,
    rate::Rates,
    swarm::{self, Command, Door, Peers},
};

/// A node's network. Clones share it; it runs until [`Net::shutdown`].
#[derive(Debug, Clone)]
pub struct Net {
    pub(crate) shared: Arc<Shared>,
    control: Control,
}

/// What handles, streams and the swarm's task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) network: NetworkName,
    pub(crate) local: DeviceId,
    pub(crate) protocol: StreamProtocol,
    /// Whether it uses the in-process transport.
    pub(crate) memory: bool,
    pub(crate) bounds: Bounds,
    pub(crate) wall: Wall,
    pub(crate) rates: Rates,
    pub(crate) peers: Peers,
    pub(crate) admission: Arc<Admission>,
    pub(crate) directory: Directory,
    pub(crate) farming: watch::Sender<bool>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) hearing: Hearing,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

#[derive(Clone)]
struct Control(libp2p_stream::Control);

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Control")
    }
}

impl Shared {
    /// Somebody answered or sent something.
    pub(crate) fn hears(&self) {
        self.hearing.hears();
    }

    /// Something is expected from somebody.
    pub(crate) fn awaits(&self, device: DeviceId) -> Awaited<'_> {
        self.hearing.awaits(device)
    }

    /// What the future gives; none if the network is shut down first.
    pub(crate) async fn until_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        self.stop.run_until_cancelled(future).await
    }
}

impl Net {
    /// Starts listening, joins by the bootstrap addresses and keeps trying. All listen addresses are bound when
    /// this returns. Requests are accepted only after [`Net::announce_farmer`].
    ///
    /// # Errors
    /// [`StartError`] for a bad address or key, or one that cannot be listened on.
    pub async fn start(config: NetConfig, device: &DeviceKey) -> Result<(Self, Incoming), StartError> {
        let farming = watch::Sender::new(false);
        let protocol = farmer::protocol(&config.network);
        let (door, streams) = Door::new(protocol.clone(), farming.subscribe());
        let admission = Admission::new(config.bounds);
        let running = swarm::build(&config, device, door, admission.clone())?;
        let control = running.stream_control();
        let (commands, command_queue) = mpsc::channel(limits::COMMAND_QUEUE);
        let (heard, heard_queue) = mpsc::channel(limits::SUSPECTS);
        let (requests, request_queue) = mpsc::channel(limits::REQUEST_QUEUE);
        let shared = Arc::new(Shared {
            protocol,
            network: config.network.clone(),
            memory: config.memory,
            local: device.id(),
            bounds: config.bounds,
            wall: config.wall.clone(),
            rates: Rates::new(config.rates),
            peers: Peers::default(),
            admission,
            directory: Directory::new(config.wall.clone()),
            farming,
            commands,
            hearing: Hearing::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let net = Self { shared: shared.clone(), control: Control(control) };
        let listening = running.listen(&config, shared.clone(), heard).await?;
        shared.tasks.spawn(listening.run(command_queue));
        shared.tasks.spawn(farmer::accept(shared.clone(), streams, requests));
        shared.tasks.spawn(discovery::announce(shared.clone()));
        shared.tasks.spawn(discovery::search(net.clone(), heard_queue));
        Ok((net, Incoming::new(request_queue)))
    }

    /// A network of its own under another device key, which knows where `device` is, is found by nobody and ends by its own
    /// [`Net::shutdown`]. Nothing but the address ties the two together.
    ///
    /// # Errors
    /// [`StartError`] as for [`Net::start`].
    pub async fn under_another_name(&self, key: &DeviceKey, device: DeviceId) -> Result<Self, StartError> {
        let config = NetConfig {
            memory: self.shared.memory,
            bounds: self.shared.bounds,
            wall: self.shared.wall.clone(),
            ..NetConfig::new(self.shared.network.clone())
        };
        let (net, _) = Self::start(config, key).await?;
        let known = self.shared.peers.reachable().into_iter().find(|(known, _)| *known == device);
        net.hint(device, &known.map(|(_, addresses)| addresses).unwrap_or_default());
        Ok(net)
    }

    /// This device.
    pub fn local_id(&self) -> DeviceId {
        self.shared.local
    }

    /// The multiaddresses listened on, each ending in this node's `/p2p/ID`: what others can take as `--bootstrap`.
    pub fn addresses(&self) -> Vec<String> {
        self.shared.peers.listening(&self.shared.local)
    }

    /// Connected peers.
    pub fn peer_count(&self) -> usize {
        self.shared.peers.connected()
    }

    /// The address that the connection with a device shows; none if there is no connection, or an in-process one.
    pub fn address_of(&self, device: DeviceId) -> Option<IpAddr> {
        self.shared.peers.address_of(&address::peer_of(&device)?)
    }

    /// Whether what comes in is kept to a limit at present.
    pub fn limits_downloads(&self) -> bool {
        self.shared.rates.down.piece().is_some()
    }

    /// For how long no farmer has answered or sent anything, whether asked or not.
    pub fn quiet_for(&self) -> Duration {
        self.shared.hearing.quiet_for()
    }

    /// Whether a time in which nobody at all was heard ended after `at`, or so shortly before that what was begun then may
    /// still have failed for it.
    pub fn was_silent_after(&self, at: Instant) -> bool {
        self.shared.hearing.was_silent_after(at)
    }

    /// Changes the bandwidth of data frames, of running transfers too.
    pub fn set_rate_limits(&self, rates: RateLimits) {
        self.shared.rates.set(rates);
    }

    /// Begins or ends farming: serving requests and being found.
    pub fn announce_farmer(&self, farming: bool) {
        self.shared.farming.send_if_modified(|was| std::mem::replace(was, farming) != farming);
    }

    /// Tells addresses of a device, which are tried when it is dialled. Unreadable ones are ignored.
    pub fn hint(&self, device: DeviceId, addresses: &[String]) {
        if let Some(peer) = address::peer_of(&device) {
            for text in addresses.iter().take(limits::ADDRESSES_PER_PEER) {
                if let Ok(found) = address::parse(text) {
                    self.shared.peers.learn(peer, [address::split_peer(&found).0]);
                }
            }
        }
    }

    /// Looks for farmers until there are `want`, nothing new turns up, or `within` is over; gives all there are then.
    /// Those who accept nothing at present are among them.
    pub async fn find_farmers(&self, want: usize, within: Duration) -> Vec<Candidate> {
        let mut changes = self.shared.directory.ask();
        let enough = async {
            while !self.shared.directory.satisfied(want) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = self.shared.until_stopped(tokio::time::timeout(within, enough)).await;
        self.farmers()
    }

    /// Looks for auditors until there are `want`, nothing new turns up, or `within` is over; gives all there are then.
    pub async fn find_auditors(&self, want: usize, within: Duration) -> Vec<FoundAuditor> {
        let mut changes = self.shared.directory.ask();
        let enough = async {
            while !self.shared.directory.knows_auditors(want) {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = self.shared.until_stopped(tokio::time::timeout(within, enough)).await;
        self.auditors()
    }

    /// The auditors known now, without looking for more.
    pub fn auditors(&self) -> Vec<FoundAuditor> {
        self.shared.directory.auditors()
    }

    /// The farmers known now, without looking for more.
    pub fn farmers(&self) -> Vec<Candidate> {
        self.shared.directory.candidates()
    }

    /// How many farmers are there whose records do not count, because their clocks and this computer's differ.
    pub fn clocks_that_differ(&self) -> usize {
        self.shared.directory.clocks_that_differ()
    }

    /// Sees a new value whenever [`Net::farmers`] may have changed.
    pub fn farmers_changed(&self) -> watch::Receiver<u64> {
        self.shared.directory.changes()
    }

    /// Drops a farmer from those known; it must be found and asked anew.
    pub fn forget_farmer(&self, device: DeviceId) {
        self.shared.directory.forget(device);
    }

    /// Peers worth remembering over a restart, farmers first.
    pub fn remembered(&self) -> Vec<Remembered> {
        let farmers = self.shared.directory.candidates().into_iter().map(|candidate| candidate.device);
        let known: HashMap<_, _> = self.shared.peers.reachable().into_iter().collect();
        let first: Vec<_> = farmers.filter(|device| known.contains_key(device)).collect();
        let others = known.keys().filter(|device| !first.contains(device));
        let devices: Vec<_> = first.iter().chain(others).take(limits::PEERS_REMEMBERED).copied().collect();
        let remember =
            |device| Remembered { device, addresses: known.get(&device).cloned().unwrap_or_default() };
        devices.into_iter().map(remember).collect()
    }

    /// Begins what [`Net::shutdown`] does, and waits for nothing.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Closes all connections and streams, and ends all tasks. Requests under way end as [`NetError::Cancelled`].
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// A fresh stream to a device, over a connection made if need be.
    pub(crate) async fn open_stream(&self, device: DeviceId) -> Result<Stream, NetError> {
        let stop = &self.shared.stop;
        stop.run_until_cancelled(self.open_stream_within(device, self.shared.bounds.connect))
            .await
            .unwrap_or(Err(NetError::Cancelled))
    }

    async fn open_stream_within(&self, device: DeviceId, patience: Duration) -> Result<Stream, NetError> {
        let unreachable = NetError::Unreachable(device);
        let peer = address::peer_of(&device).ok_or(unreachable.clone())?;
        // A connection may close between these two steps: then it is made once more.
        for _ in 0..2 {
            let (reply, connected) = oneshot::channel();
            self.shared
                .commands
                .send(Command::Connect { peer, reply })
                .await
                .map_err(|_| NetError::Cancelled)?;
            match tokio::time::timeout(patience, connected).await {
                Ok(Ok(true)) => {}
                _ => return Err(unreachable),
            }
            let mut control = self.control.0.clone();
            let opening = control.open_stream(peer, self.shared.protocol.clone());
            match tokio::time::timeout(patience, opening).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => {
                    return Err(NetError::Protocol(Fault::NotAFarmer));
                }
                Ok(Err(error)) => tracing::debug!(%device, %error, "stream could not be opened"),
                Err(_) => return Err(unreachable),
            }
        }
        Err(unreachable)
    }

    /// Whether a device answers at all.
    pub(crate) async fn lives(&self, device: DeviceId) -> bool {
        let opened = tokio::time::timeout(limits::LIVENESS_TIMEOUT, self.open_stream(device)).await;
        matches!(opened, Ok(Ok(_) | Err(NetError::Protocol(Fault::NotAFarmer))))
    }
}
