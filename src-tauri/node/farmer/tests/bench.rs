//! What the farmer's tests stand on: a real node that farms in this process, a clock moved by hand, and an owner who
//! follows a script, byte by byte, over the real protocol.

use hayloft_core::{
    Amount, ContractId, DeviceId, NetworkName, ShardId, Signature, Timestamp,
    contract::{
        Change, MIN_GRACE_SECONDS, Revision, ShardEntry, SignedRevision, State, Terms, apply_signed, propose,
        quota_bytes,
    },
    keys::{DeviceKey, OwnerKeys, RecoveryPhrase},
    record::DeviceCertificate,
};
use hayloft_net::{
    Net, NetConfig, NetError,
    messages::{Answer, Envelope, RefusalCode, Request},
};

use crate::{Clock, Node, NodeOptions, model::FarmSettings};

/// Longer than anything here takes; a test that waits for it has failed.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const DAY: u64 = 24 * 3600;
pub(crate) const START: Timestamp = Timestamp(1_900_000_000);

pub(crate) fn network() -> NetworkName {
    "bench".parse().expect("a name")
}

/// A node that farms.
pub(crate) struct Bench {
    pub(crate) home: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) node: Node,
}

pub(crate) fn offering(quota_bytes: u64) -> FarmSettings {
    FarmSettings { enabled: true, quota_bytes, ..FarmSettings::default() }
}

impl Bench {
    pub(crate) async fn new(farm: FarmSettings) -> Self {
        let home = tempfile::tempdir().expect("temp dir");
        let clock = Clock::by_hand(START);
        let node = Self::open(&home, &clock, Some(farm)).await;
        Self { home, clock, node }
    }

    async fn open(home: &tempfile::TempDir, clock: &Clock, farm: Option<FarmSettings>) -> Node {
        Node::open(Self::options(home, clock, farm)).await.expect("opens")
    }

    fn options(home: &tempfile::TempDir, clock: &Clock, farm: Option<FarmSettings>) -> NodeOptions {
        NodeOptions {
            home: home.path().to_owned(),
            network: Some(network()),
            listen: vec!["/memory/0".into()],
            memory: true,
            farm,
            disk_guard_bytes: Some(0),
            clock: clock.clone(),
            ..NodeOptions::default()
        }
    }

    /// Stops the node and opens its home again.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(|_| ()).await
    }

    /// The same, with a deed to the home in between.
    pub(crate) async fn restart_after(self, deed: impl FnOnce(&std::path::Path)) -> Self {
        self.node.shutdown().await.expect("closes");
        drop(self.node);
        deed(self.home.path());
        let node = Self::open(&self.home, &self.clock, None).await;
        Self { node, ..self }
    }

    pub(crate) async fn set(&self, change: impl FnOnce(&mut FarmSettings)) {
        let mut farm = self.node.farm_status().await.expect("status").settings;
        change(&mut farm);
        self.node.farm_set(farm).await.expect("set");
    }

    /// Bytes on the disk of a shard that is coming.
    pub(crate) fn arrived(&self, shard: ShardId) -> u64 {
        let name = shard.to_string();
        let path = self.home.path().join("shards").join(&name[..2]).join(format!("{name}.part"));
        path.metadata().map_or(0, |found| found.len())
    }

    pub(crate) async fn owner(&self) -> Script {
        Script::new(self, DeviceKey::random(&mut rand::rng())).await
    }
}

/// An owner who does exactly what a test says.
pub(crate) struct Script {
    pub(crate) keys: OwnerKeys,
    pub(crate) net: Net,
    pub(crate) farmer: DeviceId,
    pub(crate) clock: Clock,
    pub(crate) certificate: Option<DeviceCertificate>,
}

impl Script {
    pub(crate) async fn new(bench: &Bench, device: DeviceKey) -> Self {
        let config = NetConfig { memory: true, ..NetConfig::new(network()) };
        let mut script = Self::start(config, &bench.clock, device).await;
        script.meet(bench).await;
        script
    }

    /// One that knows no farmer yet.
    pub(crate) async fn start(config: NetConfig, clock: &Clock, device: DeviceKey) -> Self {
        let (net, _) = Net::start(config, &device).await.expect("starts");
        let mut script = Self {
            keys: RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network()),
            net,
            farmer: DeviceId([0; 32]),
            clock: clock.clone(),
            certificate: None,
        };
        script.certificate = Some(script.certify(script.net.local_id(), START, 300 * DAY));
        script
    }

    /// Another owner on the very same device.
    pub(crate) fn housemate(&self) -> Self {
        let keys = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
        let mut script =
            Self { keys, net: self.net.clone(), clock: self.clock.clone(), certificate: None, ..*self };
        script.certificate = Some(script.certify(script.net.local_id(), START, 300 * DAY));
        script
    }

    pub(crate) async fn meet(&mut self, bench: &Bench) {
        let status = bench.node.status().await.expect("status");
        self.meet_at(status.device.parse().expect("a device"), &status.addresses).await;
    }

    pub(crate) async fn meet_at(&mut self, farmer: DeviceId, addresses: &[String]) {
        self.farmer = farmer;
        self.net.hint(farmer, addresses);
        // After a restart, what is left of the old connection must be noticed first.
        let reached = async {
            while let Err(NetError::Unreachable(_)) = self.ask(Request::Offer).await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the farmer is reached");
    }

    pub(crate) fn certify(&self, device: DeviceId, from: Timestamp, seconds: u64) -> DeviceCertificate {
        DeviceCertificate::issue(&self.keys.owner, &network(), device, from, seconds)
    }

    pub(crate) fn envelope(&self, request: Request) -> Envelope {
        Envelope { certificate: self.certificate.clone(), request }
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, NetError> {
        self.net.ask(self.farmer, &self.envelope(request)).await
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            network: network(),
            owner: self.keys.owner.id(),
            farmer: self.farmer,
            start: self.clock.now(),
            epoch_seconds: DAY as u32,
            storage_price: Amount(0),
            egress_price: Amount(0),
            audit_share_ppm: 0,
            auditor: None,
            escrow: None,
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: rand::random(),
        }
    }

    pub(crate) async fn agree_to(&self, terms: Terms) -> Result<State, NetError> {
        let owner = terms.sign_as_owner(&self.keys.owner);
        match self.ask(Request::Agree { terms: terms.clone(), owner }).await? {
            Answer::Agreed(signed) => {
                assert_eq!(signed.terms, terms);
                Ok(State::new(*signed).expect("signed by both"))
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn agree(&self) -> State {
        self.agree_to(self.terms()).await.expect("agreed")
    }

    /// Reserves what one shard of so many bytes takes.
    pub(crate) async fn reserve_for(&self, contract: ContractId, bytes: u64) {
        self.reserve(contract, quota_bytes(bytes)).await.expect("reserved");
    }

    pub(crate) async fn reserve(&self, contract: ContractId, bytes: u64) -> Result<Timestamp, NetError> {
        match self.ask(Request::Reserve { contract, bytes }).await? {
            Answer::Reserved { until } => Ok(until),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn upload(
        &self,
        contract: ContractId,
        id: ShardId,
        bytes: &[u8],
    ) -> Result<ShardEntry, NetError> {
        let request = Request::Upload { contract, shard: id, bytes: bytes.len() as u64, tag_bytes: 0 };
        let mut upload = self.net.upload(self.farmer, &self.envelope(request)).await?;
        let have = usize::try_from(upload.have()).expect("small");
        upload.send(&bytes[have..]).await?;
        assert_eq!(upload.finish().await?, *blake3::hash(bytes).as_bytes());
        Ok(entry(id, bytes))
    }

    pub(crate) async fn revise(&self, state: &State, revision: &Revision) -> Result<State, NetError> {
        let owner = revision.sign_as_owner(state.terms(), &self.keys.owner);
        let farmer = self.revise_raw(revision, owner).await?;
        let signed = SignedRevision { revision: revision.clone(), owner, farmer };
        Ok(apply_signed(state, &signed, self.clock.now()).expect("what the farmer signed holds here too"))
    }

    pub(crate) async fn revise_raw(
        &self,
        revision: &Revision,
        owner: Signature,
    ) -> Result<Signature, NetError> {
        match self.ask(Request::Revise { revision: revision.clone(), owner }).await? {
            Answer::Revised { farmer } => Ok(farmer),
            other => panic!("{other:?}"),
        }
    }

    /// The next revision, with room for all and, at first, an end in 90 days.
    pub(crate) fn propose(&self, state: &State, added: Vec<ShardEntry>, removed: Vec<ShardId>) -> Revision {
        let end = state.newest().is_none().then(|| self.clock.now().plus_seconds(90 * DAY));
        let change = Change { capacity_bytes: Some(1 << 40), end, added, removed };
        propose(state, change, self.clock.now()).expect("a sound change")
    }

    /// One shard under a new contract, stored and signed for.
    pub(crate) async fn stored(&self, bytes: &[u8]) -> (State, ShardId) {
        self.stored_under(self.terms(), bytes).await
    }

    /// The same under terms of one's own.
    pub(crate) async fn stored_under(&self, terms: Terms, bytes: &[u8]) -> (State, ShardId) {
        let state = self.agree_to(terms).await.expect("agreed");
        let id = ShardId(rand::random());
        self.reserve_for(state.contract(), bytes.len() as u64).await;
        let entry = self.upload(state.contract(), id, bytes).await.expect("stored");
        let revision = self.propose(&state, vec![entry], Vec::new());
        (self.revise(&state, &revision).await.expect("revised"), id)
    }

    pub(crate) async fn download(
        &self,
        contract: ContractId,
        shard: ShardId,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, NetError> {
        let request = Request::Download { contract, shard, offset, bytes };
        let mut download = self.net.download(self.farmer, &self.envelope(request)).await?;
        let mut all = Vec::new();
        while let Some(piece) = download.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

pub(crate) fn entry(id: ShardId, bytes: &[u8]) -> ShardEntry {
    ShardEntry { id, bytes: bytes.len() as u64, tag_key: None }
}

/// Bytes that repeat nowhere within a shard.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&rand::random()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Demands a refusal of that code, with a sentence.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, NetError>, code: RefusalCode) -> String {
    match result {
        Err(NetError::Refused(refusal)) => {
            assert_eq!(refusal.code, code, "{}", refusal.sentence);
            assert!(refusal.sentence.ends_with('.') && refusal.sentence.len() > 10, "{}", refusal.sentence);
            refusal.sentence
        }
        other => panic!("{code:?} was expected: {other:?}"),
    }
}
