//! Lines: what lies between a node and all others, slowed, delayed, lossy or cut as a test wishes.
//!
//! Every node behind a [`Line`] has two loopback addresses with the same port: a hidden one, which its own socket is bound
//! to, and a public one, where a relay listens in its place. Nodes believe an announced port only under the address that
//! a connection shows, and a relay sends on from the public address of whoever sent: so the public addresses are all that
//! nodes learn of each other, and their real QUIC packets pass the sender's line up and the receiver's line down. Such
//! nodes listen on QUIC alone: nothing goes around by TCP. Works on systems where all of 127.0.0.0/8 is loopback.
//!
//! Deliberately absent: reordering and bit errors, which QUIC takes for loss.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use tokio::{net::UdpSocket, runtime::Runtime, sync::mpsc};

/// Bytes of the IP and UDP headers, which a packet takes of a line's rate like any others.
const HEADERS: usize = 28;
/// The largest packet there is.
const PACKET: usize = 65_536;

/// How one direction of a line is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Bits per second, headers included; none is as fast as the machine.
    pub bits_per_second: Option<u64>,
    /// How long a packet travels.
    pub delay: Duration,
    /// The share of packets that get lost, 0 to 1.
    pub loss: f64,
    /// The longest that a packet may wait for those before it; beyond that it is dropped, as routers do.
    pub queue: Duration,
}

impl Conditions {
    /// Nothing in the way.
    pub const FREE: Self =
        Self { bits_per_second: None, delay: Duration::ZERO, loss: 0.0, queue: Duration::from_millis(500) };

    /// 1 Mbit/s, a round trip of 200 ms with the other direction alike, 5 % loss.
    pub const POOR: Self = Self {
        bits_per_second: Some(1_000_000),
        delay: Duration::from_millis(100),
        loss: 0.05,
        queue: Duration::from_millis(500),
    };
}

/// What one direction has carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets that came through.
    pub packets: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Packets lost by chance, in a full queue, or on a cut line.
    pub dropped: u64,
}

/// The way from a node to all others, and back. Clones are the same line.
#[derive(Debug, Clone)]
pub struct Line {
    up: Arc<Mutex<Link>>,
    down: Arc<Mutex<Link>>,
}

impl Line {
    /// A line with nothing in the way, whose losses, once it has any, follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let link = |seed| Arc::new(Mutex::new(Link::new(seed)));
        Self { up: link(seed), down: link(seed ^ u64::MAX) }
    }

    /// Makes both directions so.
    pub fn set(&self, conditions: Conditions) {
        self.set_up(conditions);
        self.set_down(conditions);
    }

    /// Makes the way from the node so.
    pub fn set_up(&self, conditions: Conditions) {
        held(&self.up).conditions = conditions;
    }

    /// Makes the way to the node so.
    pub fn set_down(&self, conditions: Conditions) {
        held(&self.down).conditions = conditions;
    }

    /// Lets nothing through, in both directions, until [`Line::restore`].
    pub fn cut(&self) {
        (held(&self.up).cut, held(&self.down).cut) = (true, true);
    }

    /// Ends a cut.
    pub fn restore(&self) {
        (held(&self.up).cut, held(&self.down).cut) = (false, false);
    }

    /// What has come through from the node.
    pub fn sent(&self) -> Carried {
        held(&self.up).carried
    }

    /// What has come through to the node.
    pub fn received(&self) -> Carried {
        held(&self.down).carried
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One direction of a line.
#[derive(Debug)]
struct Link {
    conditions: Conditions,
    cut: bool,
    busy_until: Instant,
    chance: StdRng,
    carried: Carried,
}

impl Link {
    fn new(seed: u64) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        let carried = Carried::default();
        Self { conditions: Conditions::FREE, cut: false, busy_until: Instant::now(), chance, carried }
    }

    /// When a packet that enters at `now` comes out; none if it does not.
    fn pass(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Conditions { bits_per_second, delay, loss, queue } = self.conditions;
        let begins = self.busy_until.max(now);
        let lost = loss > 0.0 && self.chance.random_bool(loss.min(1.0));
        if self.cut || lost || begins - now > queue {
            self.carried.dropped += 1;
            return None;
        }
        let bytes = (bytes + HEADERS) as u64;
        self.carried.packets += 1;
        self.carried.bytes += bytes;
        let takes = bits_per_second.map_or(0, |rate| bytes * 8 * 1_000_000_000 / rate.max(1));
        self.busy_until = begins + Duration::from_nanos(takes);
        Some(self.busy_until + delay)
    }
}

/// The addresses of a node behind a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What its socket must be bound to.
    pub hidden: SocketAddr,
    /// Where others reach it.
    pub public: SocketAddr,
}

impl Place {
    /// What the node is told to listen on.
    pub fn listen(&self) -> String {
        multiaddress(self.hidden)
    }

    /// Where others find the node with this libp2p id.
    pub fn reached_by(&self, peer: &str) -> String {
        format!("{}/p2p/{peer}", multiaddress(self.public))
    }
}

fn multiaddress(address: SocketAddr) -> String {
    format!("/ip4/{}/udp/{}/quic-v1", address.ip(), address.port())
}

/// All lines of a network and the relays on them; gone with this value.
pub struct Lines {
    runtime: Option<Runtime>,
    post: mpsc::UnboundedSender<Packet>,
    nodes: Nodes,
    /// The second and third byte of this network's addresses, and the last byte given out.
    prefix: [u8; 2],
    last: Mutex<u8>,
}

/// Public addresses and lines of nodes, by their hidden addresses.
type Nodes = Arc<Mutex<HashMap<IpAddr, (IpAddr, Line)>>>;

impl Lines {
    /// A network of lines without nodes.
    ///
    /// # Errors
    /// If no thread can be had for it.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (post, posted) = mpsc::unbounded_channel();
        runtime.spawn(carry(posted));
        let mut rng = rand::rng();
        // Hidden addresses are 64 networks higher.
        let prefix = [rng.random_range(1..64), rng.random()];
        Ok(Self { runtime: Some(runtime), post, nodes: Nodes::default(), prefix, last: Mutex::new(0) })
    }

    /// Addresses for a node that shall be behind `line`; its relay is up when this returns.
    ///
    /// # Errors
    /// If there are more than 254 nodes, or the relay cannot listen.
    pub fn place(&self, line: &Line) -> Result<Place> {
        let last = {
            let mut last = held(&self.last);
            *last = last.checked_add(1).filter(|last| *last < 255).context("too many nodes")?;
            *last
        };
        let [a, b] = self.prefix;
        let public = IpAddr::from([127, a, b, last]);
        let hidden = IpAddr::from([127, a + 64, b, last]);
        let runtime = self.runtime.as_ref().context("gone")?;
        let socket = std::net::UdpSocket::bind((public, 0))?;
        socket.set_nonblocking(true)?;
        let _inside = runtime.enter();
        let socket = UdpSocket::from_std(socket)?;
        let place =
            Place { public: socket.local_addr()?, hidden: (hidden, socket.local_addr()?.port()).into() };
        held(&self.nodes).insert(hidden, (public, line.clone()));
        let relay = Relay {
            socket: Arc::new(socket),
            node: place.hidden,
            line: line.clone(),
            nodes: self.nodes.clone(),
            post: self.post.clone(),
        };
        runtime.spawn(relay.run());
        Ok(place)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes packets for one node, and brings its answers back.
struct Relay {
    socket: Arc<UdpSocket>,
    node: SocketAddr,
    line: Line,
    nodes: Nodes,
    post: mpsc::UnboundedSender<Packet>,
}

impl Relay {
    async fn run(self) {
        let mut flows: HashMap<SocketAddr, (Arc<UdpSocket>, Line)> = HashMap::new();
        let mut buffer = vec![0; PACKET];
        loop {
            // An error tells of an earlier packet that found nobody.
            let Ok((len, from)) = self.socket.recv_from(&mut buffer).await else { continue };
            if let std::collections::hash_map::Entry::Vacant(flow) = flows.entry(from) {
                match self.begin(from).await {
                    Ok(begun) => drop(flow.insert(begun)),
                    Err(_) => continue,
                }
            }
            if let Some((socket, line)) = flows.get(&from) {
                self.send(&buffer[..len], &line.up, &self.line.down, socket, None);
            }
        }
    }

    /// A socket that stands for whoever sends from this address; what the node answers goes back to it.
    async fn begin(&self, from: SocketAddr) -> io::Result<(Arc<UdpSocket>, Line)> {
        let known = held(&self.nodes).get(&from.ip()).cloned();
        // Whoever has no line of its own is next door.
        let (public, line) = known.unwrap_or_else(|| (Ipv4Addr::LOCALHOST.into(), Line::new(0)));
        let socket = Arc::new(UdpSocket::bind((public, 0)).await?);
        socket.connect(self.node).await?;
        let relay = Self {
            socket: self.socket.clone(),
            node: self.node,
            line: self.line.clone(),
            nodes: self.nodes.clone(),
            post: self.post.clone(),
        };
        let (answers, back) = (socket.clone(), line.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; PACKET];
            while !relay.post.is_closed() {
                let Ok(len) = answers.recv(&mut buffer).await else { continue };
                relay.send(&buffer[..len], &relay.line.up, &back.down, &relay.socket, Some(from));
            }
        });
        Ok((socket, line))
    }

    fn send(
        &self,
        bytes: &[u8],
        up: &Mutex<Link>,
        down: &Arc<Mutex<Link>>,
        by: &Arc<UdpSocket>,
        to: Option<SocketAddr>,
    ) {
        let now = Instant::now();
        let left = held(up).pass(now, bytes.len());
        let Some(due) = left else { return };
        let packet = Packet { due, down: Some(down.clone()), bytes: bytes.to_vec(), by: by.clone(), to };
        if let Some(packet) = packet.go_on(now) {
            let _ = self.post.send(packet);
        }
    }
}

/// A packet on its way: first up the sender's line, then down the receiver's, which it enters only when it gets there,
/// for others that set out later may be there before it.
struct Packet {
    /// When it comes out of the direction it is in.
    due: Instant,
    /// The direction it enters next.
    down: Option<Arc<Mutex<Link>>>,
    bytes: Vec<u8>,
    by: Arc<UdpSocket>,
    to: Option<SocketAddr>,
}

impl Packet {
    /// As far as it gets by `now`; none once it is delivered or lost.
    fn go_on(mut self, now: Instant) -> Option<Self> {
        if self.due <= now
            && let Some(down) = self.down.take()
        {
            self.due = held(&down).pass(now, self.bytes.len())?;
        }
        if self.due > now {
            return Some(self);
        }
        self.deliver();
        None
    }

    /// A full socket buffer loses it, as anywhere.
    fn deliver(self) {
        let _ = match self.to {
            Some(to) => self.by.try_send_to(&self.bytes, to),
            None => self.by.try_send(&self.bytes),
        };
    }
}

/// Packets that wait for their time; of those due at once, the first that came.
#[derive(Default)]
struct Waiting {
    order: BinaryHeap<Reverse<(Instant, u64)>>,
    packets: HashMap<u64, Packet>,
    number: u64,
}

impl Waiting {
    fn push(&mut self, packet: Packet) {
        self.order.push(Reverse((packet.due, self.number)));
        self.packets.insert(self.number, packet);
        self.number += 1;
    }

    fn next(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((due, _))| *due)
    }

    fn pop(&mut self, now: Instant) -> Option<Packet> {
        self.next().filter(|due| *due <= now)?;
        let Reverse((_, number)) = self.order.pop()?;
        self.packets.remove(&number)
    }
}

/// Takes packets on when they are due.
async fn carry(mut posted: mpsc::UnboundedReceiver<Packet>) {
    let mut waiting = Waiting::default();
    loop {
        let next = waiting.next();
        let due = async {
            match next {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            packet = posted.recv() => {
                let Some(packet) = packet else { return };
                waiting.push(packet);
            }
            () = due => {
                let now = Instant::now();
                while let Some(packet) = waiting.pop(now) {
                    if let Some(packet) = packet.go_on(now) {
                        waiting.push(packet);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: usize = 1_000 - HEADERS;

    fn link(conditions: Conditions) -> Link {
        Link { conditions, ..Link::new(1) }
    }

    #[test]
    fn packets_leave_at_the_lines_rate_and_travel_its_delay() {
        let mut link = link(Conditions { loss: 0.0, ..Conditions::POOR });
        let now = Instant::now();
        for index in 1..=50 {
            let due = link.pass(now, PAYLOAD).expect("carried");
            let ideal = Duration::from_millis(8 * index) + Duration::from_millis(100);
            assert!((due - now).abs_diff(ideal) < Duration::from_millis(2), "{index}: {:?}", due - now);
        }
    }

    #[test]
    fn a_full_queue_drops_what_comes_next() {
        let mut link = link(Conditions { loss: 0.0, ..Conditions::POOR });
        let now = Instant::now();
        let carried = (0..200).filter(|_| link.pass(now, PAYLOAD).is_some()).count();
        assert!((60..=66).contains(&carried), "half a second of a megabit: {carried}");
        assert_eq!(link.carried.dropped, 200 - carried as u64);
    }

    #[test]
    fn the_asked_share_of_packets_is_lost_and_the_same_ones_each_time() {
        let lost = |seed| -> Vec<bool> {
            let conditions = Conditions { loss: 0.05, ..Conditions::FREE };
            let mut link = Link { conditions, ..Link::new(seed) };
            let now = Instant::now();
            (0..10_000).map(|_| link.pass(now, 100).is_none()).collect()
        };
        let first = lost(7);
        assert_eq!(first, lost(7));
        assert_ne!(first, lost(8));
        assert!((400..600).contains(&first.iter().filter(|lost| **lost).count()));
    }

    #[test]
    fn a_cut_line_carries_nothing_until_it_is_restored() {
        let line = Line::new(1);
        line.cut();
        assert_eq!(held(&line.up).pass(Instant::now(), 10), None);
        line.restore();
        assert!(held(&line.up).pass(Instant::now(), 10).is_some());
        assert_eq!((line.sent().packets, line.sent().dropped), (1, 1));
    }

    #[tokio::test]
    async fn packets_between_two_nodes_pass_both_lines_and_show_public_addresses() -> Result<()> {
        let lines = Lines::new()?;
        let (near, far) = (Line::new(1), Line::new(2));
        let (here, there) = (lines.place(&near)?, lines.place(&far)?);
        let (near_socket, far_socket) =
            (UdpSocket::bind(here.hidden).await?, UdpSocket::bind(there.hidden).await?);
        near.set_up(Conditions { delay: Duration::from_millis(30), ..Conditions::FREE });
        let begun = Instant::now();
        near_socket.send_to(b"there", there.public).await?;
        let mut buffer = [0; 16];
        let (len, from) = far_socket.recv_from(&mut buffer).await?;
        assert!(begun.elapsed() >= Duration::from_millis(30));
        assert_eq!((&buffer[..len], from.ip()), (&b"there"[..], here.public.ip()));
        far_socket.send_to(b"back", from).await?;
        let (len, from) = near_socket.recv_from(&mut buffer).await?;
        assert_eq!((&buffer[..len], from), (&b"back"[..], there.public));
        let one = |carried: Carried| carried.packets == 1;
        assert!(one(near.sent()) && one(far.received()) && one(far.sent()) && one(near.received()));
        Ok(())
    }

    #[tokio::test]
    async fn a_packet_from_afar_keeps_no_place_before_it_arrives() -> Result<()> {
        const DELAY: Duration = Duration::from_millis(400);
        let lines = Lines::new()?;
        let (far, near, receiver) = (Line::new(1), Line::new(2), Line::new(3));
        far.set_up(Conditions { delay: DELAY, ..Conditions::FREE });
        let queue = Duration::from_millis(50);
        receiver.set_down(Conditions { bits_per_second: Some(1_000_000), queue, ..Conditions::FREE });
        let places = [lines.place(&far)?, lines.place(&near)?, lines.place(&receiver)?];
        let [far, near, here] = places;
        let sockets = [UdpSocket::bind(far.hidden).await?, UdpSocket::bind(near.hidden).await?];
        let socket = UdpSocket::bind(here.hidden).await?;
        sockets[0].send_to(b"far", here.public).await?;
        sockets[1].send_to(b"near", here.public).await?;
        let mut buffer = [0; 16];
        for expected in [&b"near"[..], b"far"] {
            let received = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut buffer)).await;
            let len = received.context("lost")??;
            assert_eq!(&buffer[..len], expected);
        }
        assert_eq!((receiver.received().packets, receiver.received().dropped), (2, 0));
        Ok(())
    }
}
