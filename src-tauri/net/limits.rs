//! Every bound on what strangers may send, hold open or make this node remember, and every waiting time.

use std::{num::NonZeroUsize, time::Duration};

use hayloft_core::audit::ProverKey;

/// Bytes of a control frame: a request or an answer.
pub const CONTROL_FRAME: usize = 256 * 1024;
/// Bytes of a data frame: one sealed cell and room for its seal.
pub const DATA_FRAME: usize = 64 * 1024 + 64;
/// Shards in one [`crate::messages::Answer::Shards`].
pub const SHARDS_PER_PAGE: usize = 1024;
/// Verdicts in one [`crate::messages::Answer::Verdicts`].
pub const VERDICTS_PER_PAGE: usize = 256;
/// Revisions in one [`crate::messages::Answer::History`]; fewer if those name more shards than one revision may.
pub const REVISIONS_PER_PAGE: usize = 64;
/// Vouchers in one [`crate::messages::Answer::Vouchers`].
pub const VOUCHERS_PER_PAGE: usize = 128;
/// Bytes of an escrow's plan.
pub const PLAN_BYTES: usize = 8 * 1024;
/// Bytes of a settlement.
pub const TRANSACTION_BYTES: usize = 32 * 1024;
/// Contracts in one [`crate::messages::Answer::Audited`].
pub const CONTRACTS_PER_PAGE: usize = 1024;
/// Bytes of an audit key in a [`crate::messages::Request::AuditKey`].
pub const AUDIT_KEY_BYTES: usize = ProverKey::MAX_BYTES;
/// Audit keys that one owner may have with one farmer: its own, its delegates', and one for a change.
pub const AUDIT_KEYS_PER_OWNER: usize = 8;
/// Challenges, and checks of keys and of tags, of one peer that a farmer works at or has waiting.
pub const LABOURS_PER_PEER: usize = 4;
/// Challenges of one owner, however many devices it has, and of those whom one auditor sends.
pub const LABOURS_PER_HAND: usize = 8;
/// Challenges of owners in one /24 or /48.
pub const LABOURS_PER_SUBNET: usize = 16;
/// Challenges of all owners; those beyond are told "busy". Those of the auditors that contracts name come on top.
pub const LABOURS: usize = 64;
/// Questions that an auditor asks in others' place at once.
pub const RELAYS: usize = 8;
/// Of these, those of one peer.
pub const RELAYS_PER_PEER: usize = 2;
/// How long one of them may take.
pub const RELAY_TIMEOUT: Duration = Duration::from_secs(90);
/// How often a farmer says that it is still working at an answer.
pub const WORKING_PAUSE: Duration = Duration::from_secs(5);
/// How often that may be said before one answer.
pub const WORKING_SAID: u32 = 400;
/// For how long.
pub const WORK_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Bytes of the sentence in a [`crate::messages::Refusal`].
pub const REFUSAL_SENTENCE_BYTES: usize = 256;

/// Established inbound connections.
pub const CONNECTIONS_IN: u32 = 512;
/// Established outbound connections.
pub const CONNECTIONS_OUT: u32 = 512;
/// Inbound connections over one transport that have not finished their handshake.
pub const CONNECTIONS_PENDING_IN: usize = 128;
/// Of these, over all transports, those of one /24 or /48.
pub const CONNECTIONS_PENDING_PER_SUBNET: usize = 32;
/// Established inbound connections of one /24 or /48.
pub const CONNECTIONS_PER_SUBNET: usize = 128;
/// Outbound connections that have not finished their handshake.
pub const CONNECTIONS_PENDING_OUT: u32 = 128;
/// Established inbound connections of one peer, which may dial over two transports; the next one ends its oldest.
pub const CONNECTIONS_PER_PEER: u32 = 4;
/// Bytes of this process's memory beyond which no connection is accepted.
pub const PROCESS_MEMORY_BYTES: usize = 1024 * 1024 * 1024;
/// Streams that one connection may have open at once: requests, the DHT's, and some. Over TCP each may hold 256 KiB unread.
pub const STREAMS_PER_CONNECTION: u32 = 96;
/// Inbound streams of one connection that have not yet agreed on a protocol: as many as one peer's requests.
pub const STREAMS_NEGOTIATING: usize = REQUESTS_PER_PEER;

/// Inbound requests served at once.
pub const REQUESTS: usize = 256;
/// Inbound requests of one peer served at once.
pub const REQUESTS_PER_PEER: usize = 32;
/// Inbound requests of one /24 or /48 served at once.
pub const REQUESTS_PER_SUBNET: usize = 64;
/// Inbound requests served at once of peers that are not known as customers.
pub const REQUESTS_OF_STRANGERS: usize = 128;
/// Customers remembered while they are away.
pub const CUSTOMERS_KNOWN: usize = 1024;
/// Inbound requests being told "busy" at once; those beyond are dropped unheard.
pub const REFUSALS_AT_ONCE: usize = 64;
/// Commands of handles that wait for the swarm.
pub const COMMAND_QUEUE: usize = 256;
/// Inbound streams that wait to be read.
pub const STREAM_QUEUE: usize = 512;
/// Read requests that wait for the node.
pub const REQUEST_QUEUE: usize = 64;

/// How long a connection or a stream may take to come about: on a lossy line, several packets in a row get lost.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole request frame may take to arrive.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole answer frame may take to arrive, however steadily it drips.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long nothing may move before a peer counts as silent.
pub const PROGRESS_TIMEOUT: Duration = Duration::from_secs(20);
/// Fewer bytes than this do not count as something moving, unless they end a frame.
pub const PROGRESS_BYTES: usize = 1024;
/// How long a farmer lets one data frame take, however steadily it drips: at 3 KB a second it takes 22 s.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a reader waits for the end of a stream that has delivered everything.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a peer that went silent may take to prove that it is alive.
pub const LIVENESS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a silent peer that has just proved to be alive, over a line that works, may go on being silent.
pub const SILENCE_OF_THE_LIVING: Duration = Duration::from_secs(5);
/// How long a node that ends may still be connected after its streams have ended.
pub const ENDING: Duration = Duration::from_secs(1);
/// How long nobody at all may be heard, although somebody is awaited, before it counts as a silence of our own line.
pub const SILENCE_OF_ALL: Duration = Duration::from_secs(5);
/// How often a farmer says how much of an upload has arrived.
pub const RECEIVED_PAUSE: Duration = Duration::from_secs(1);
/// How long a connection without streams is kept.
pub const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// QUIC: unread bytes of one stream. As many may wait in the sender's memory, for each of its streams.
pub const QUIC_STREAM_WINDOW: u32 = 1024 * 1024;
/// QUIC: unread bytes of one connection; 4 MiB carry 1 Gbit/s over a round trip of 30 ms.
pub const QUIC_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// QUIC: silence after which a connection is dead; lines come back after less.
pub const QUIC_IDLE: Duration = Duration::from_secs(25);
/// QUIC: how often an idle connection is kept alive.
pub const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(4);
/// How long a handshake may take; a lost first packet is sent again after one second, then after two more.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(6);
/// How often a connection is pinged.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Peers whose addresses are kept in memory.
pub const PEERS_KNOWN: usize = 4096;
/// Addresses kept of one peer.
pub const ADDRESSES_PER_PEER: usize = 8;
/// Peers handed to the store to be remembered.
pub const PEERS_REMEMBERED: usize = 256;
/// Remembered peers that a lonely node dials at once.
pub const JOIN_REMEMBERED: usize = 16;
/// Known peers that a node dials which has become alone.
pub const JOIN_KNOWN: usize = 2;
/// Connected peers with which a node that has just begun is content.
pub const JOIN_ENOUGH: usize = 4;
/// For how long a node has just begun.
pub const JOINING: Duration = Duration::from_secs(300);
/// Peers taken from one answer of the local network.
pub const MDNS_AT_ONCE: usize = 64;
/// How long a listen address may take to come up.
pub const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Farmers kept as candidates.
pub const CANDIDATES: usize = 2048;
/// Auditors kept as found.
pub const AUDITORS: usize = 256;
/// Candidates up to which rounds of discovery follow each other quickly while they find more.
pub const CANDIDATES_ENOUGH: usize = 64;
/// Devices that may become candidates and wait to be asked.
pub const SUSPECTS: usize = 2048;
/// Devices asked for their record at once.
pub const PROBES_AT_ONCE: usize = 32;
/// How long a device may take to show its record: those that drip or say nothing must not keep honest ones waiting.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds after which a candidate's record is asked for again.
pub const RECORD_FRESH_SECONDS: u64 = 300;
/// Seconds for which a device that gave no record is not asked again; doubles with each failure.
pub const PROBE_AGAIN_SECONDS: u64 = 15;
/// Most seconds for which a device that gave no record is not asked again.
pub const PROBE_AGAIN_MOST_SECONDS: u64 = 3600;
/// Peers of one /24 or /48 in the routing table.
pub const ROUTING_PER_SUBNET: usize = 10;

/// Bucket keys of a network and day.
pub const BUCKETS: u8 = 64;
/// Buckets that one farmer provides in.
pub const BUCKETS_PER_FARMER: usize = 2;
/// Provider keys that this node stores for others.
pub const PROVIDED_KEYS: usize = 1024;
/// Peers that a DHT query ends with, and that keep an announcement.
pub const KAD_REPLICATION: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");
/// How often the routing table is refreshed.
pub const KAD_BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(900);
/// Bytes of a DHT packet.
pub const KAD_PACKET: usize = 16 * 1024;
/// DHT queries of discovery under way at once.
pub const QUERIES_AT_ONCE: usize = 8;
/// How long a DHT query may take.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one DHT request may take.
pub const QUERY_STREAM_TIMEOUT: Duration = Duration::from_secs(4);
/// First pause between rounds of discovery, counted from begin to begin; each is twice the one before.
pub const ROUND_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between rounds of discovery.
pub const ROUND_PAUSE_MOST: Duration = Duration::from_secs(600);
/// How long rounds go on after somebody last asked for farmers.
pub const ROUNDS_AFTER_ASKED: Duration = Duration::from_secs(900);
/// Pause before a farmer's first announcement; each is four times the one before.
pub const ANNOUNCE_PAUSE: Duration = Duration::from_secs(3);
/// Longest pause between a farmer's announcements.
pub const ANNOUNCE_PAUSE_MOST: Duration = Duration::from_secs(4 * 3600);
/// First pause before a lonely node dials its bootstrap addresses again; each is twice the one before.
pub const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause before a lonely node dials its bootstrap addresses again.
pub const JOIN_PAUSE_MOST: Duration = Duration::from_secs(60);
/// How old the last round may be for its silence to mean that there is nothing new.
pub const ROUND_RECENT: Duration = Duration::from_secs(30);
/// Rounds without anything new after which nothing more is expected.
pub const QUIET_ROUNDS: u32 = 2;
/// Walks of one round.
pub const WALKS_PER_ROUND: u8 = 4;
/// Buckets asked for in one round; none in the first, which shall be quick.
pub const BUCKETS_PER_ROUND: u8 = 16;
/// How long before midnight (UTC) farmers begin to provide under the next day's keys: longer than
/// [`ANNOUNCE_PAUSE_MOST`].
pub const NEXT_DAY_AHEAD_SECONDS: u64 = 5 * 3600;
