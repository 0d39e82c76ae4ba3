//! Nodes for tests: farmers that keep shards in memory, over loopback sockets or in-process transport.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use hayloft_core::{
    Amount, ContractId, DeviceId, NetworkName, ShardId, Timestamp,
    keys::DeviceKey,
    record::{FarmerRecord, SignedFarmerRecord},
};
use hayloft_net::{
    Inbound, Incoming, Net, NetConfig, NetError,
    messages::{Answer, Envelope, RefusalCode, Request},
};

/// Longer than anything here takes; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn network() -> NetworkName {
    "test".parse().unwrap()
}

pub(crate) fn quic(network: &NetworkName) -> NetConfig {
    NetConfig { listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()], ..NetConfig::new(network.clone()) }
}

pub(crate) fn tcp(network: &NetworkName) -> NetConfig {
    NetConfig { listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()], ..NetConfig::new(network.clone()) }
}

pub(crate) fn memory(network: &NetworkName) -> NetConfig {
    NetConfig { listen: vec!["/memory/0".to_owned()], memory: true, ..NetConfig::new(network.clone()) }
}

pub(crate) fn joined_by(config: NetConfig, other: &Net) -> NetConfig {
    NetConfig { bootstrap: other.addresses(), ..config }
}

pub(crate) fn new_key() -> DeviceKey {
    DeviceKey::random(&mut rand::rng())
}

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

pub(crate) async fn start(config: NetConfig) -> (Net, Incoming) {
    Net::start(config, &new_key()).await.unwrap()
}

/// The record that a test's farmer shows.
pub(crate) fn record(network: &NetworkName, key: &DeviceKey) -> SignedFarmerRecord {
    let at = now();
    let record = FarmerRecord {
        network: network.clone(),
        device: key.id(),
        protocol: hayloft_net::farmer::VERSION,
        accepting: true,
        free_bytes: 1 << 30,
        storage_price: Amount(0),
        egress_price: Amount(0),
        operator: None,
        country: None,
        leaves: None,
        at,
        expires: at.plus_seconds(600),
    };
    record.sign(key)
}

/// A farmer that keeps what it is sent in memory, whole or not.
#[derive(Clone)]
pub(crate) struct Farmer {
    pub(crate) net: Net,
    pub(crate) shards: Arc<Mutex<HashMap<ShardId, Vec<u8>>>>,
    pub(crate) offers: Arc<AtomicU64>,
    /// Bytes that downloads have asked for.
    pub(crate) asked: Arc<AtomicU64>,
}

impl Farmer {
    pub(crate) async fn start(config: NetConfig) -> Self {
        let (key, network) = (Arc::new(new_key()), config.network.clone());
        let (net, mut incoming) = Net::start(config, &key).await.unwrap();
        net.announce_farmer(true);
        let farmer = Self { net, shards: Arc::default(), offers: Arc::default(), asked: Arc::default() };
        let serving = farmer.clone();
        tokio::spawn(async move {
            while let Some(inbound) = incoming.next().await {
                let (farmer, key, network) = (serving.clone(), key.clone(), network.clone());
                tokio::spawn(async move { farmer.serve(inbound, &network, &key).await });
            }
        });
        farmer
    }

    pub(crate) fn id(&self) -> DeviceId {
        self.net.local_id()
    }

    async fn serve(&self, inbound: Inbound, network: &NetworkName, key: &DeviceKey) -> Result<(), NetError> {
        match inbound.envelope.request.clone() {
            Request::Offer => {
                self.offers.fetch_add(1, Ordering::SeqCst);
                inbound.answer(Answer::Offer(Box::new(record(network, key).into()))).await
            }
            Request::Upload { shard, bytes, .. } => self.take(inbound, shard, bytes).await,
            Request::Download { shard, offset, bytes, .. } => self.give(inbound, shard, offset, bytes).await,
            _ => inbound.refuse(RefusalCode::BadRequest, "not in this test").await,
        }
    }

    async fn take(&self, inbound: Inbound, shard: ShardId, bytes: u64) -> Result<(), NetError> {
        let mut kept = self.shards.lock().unwrap().get(&shard).cloned().unwrap_or_default();
        let mut receiving = inbound.ready(kept.len() as u64).await?;
        while let Some(frame) = receiving.next().await? {
            kept.extend_from_slice(&frame);
            self.shards.lock().unwrap().insert(shard, kept.clone());
        }
        assert_eq!(kept.len() as u64, bytes);
        receiving.stored(*blake3::hash(&kept).as_bytes()).await
    }

    async fn give(&self, inbound: Inbound, shard: ShardId, offset: u64, bytes: u64) -> Result<(), NetError> {
        self.asked.fetch_add(bytes, Ordering::SeqCst);
        let shards = self.shards.lock().unwrap().get(&shard).cloned();
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + bytes).unwrap();
        let Some(range) = shards.as_ref().and_then(|shard| shard.get(range)) else {
            return inbound.refuse(RefusalCode::UnknownShard, "no such shard here").await;
        };
        let mut sending = inbound.sending().await?;
        sending.send(range).await?;
        sending.finish().await
    }
}

pub(crate) fn plain(request: Request) -> Envelope {
    Envelope { certificate: None, request }
}

pub(crate) fn offer() -> Envelope {
    plain(Request::Offer)
}

pub(crate) fn upload(shard: ShardId, bytes: u64) -> Envelope {
    plain(Request::Upload { contract: ContractId([0; 32]), shard, bytes, tag_bytes: 0 })
}

pub(crate) fn download(shard: ShardId, offset: u64, bytes: u64) -> Envelope {
    plain(Request::Download { contract: ContractId([0; 32]), shard, offset, bytes })
}

/// Bytes that differ everywhere.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Waits until the owner knows exactly these farmers.
pub(crate) async fn finds(owner: &Net, farmers: &[Farmer]) {
    let mut wanted: Vec<_> = farmers.iter().map(Farmer::id).collect();
    wanted.sort();
    let mut changes = owner.farmers_changed();
    let all = async {
        loop {
            let found: Vec<_> = owner.find_farmers(wanted.len(), PATIENCE).await;
            let found: Vec<_> = found.into_iter().map(|candidate| candidate.device).collect();
            if found == wanted {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    let known = tokio::time::timeout(PATIENCE, all).await;
    assert!(known.is_ok(), "of {} farmers only {} were found", wanted.len(), owner.farmers().len());
}
