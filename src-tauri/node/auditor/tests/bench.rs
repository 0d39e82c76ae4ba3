//! A node that audits, an owner that tells it of a contract, and the contract's farmer, who does what a test says.

use std::sync::{Arc, LazyLock, Mutex};

use hayloft_core::{
    Amount, DeviceId, NetworkName, ShardId, Timestamp,
    audit::{
        self, AuditKey, Challenge, Commitment, Committer, KeyProof, LossReport, Prover, ProverKey, Question,
        Sectors, Tag, Tagger, farmer_nonce,
    },
    contract::{
        Change, MIN_GRACE_SECONDS, ShardEntry, SignedRevision, SignedTerms, State, Terms, apply_signed,
        propose,
    },
    keys::{DeviceKey, OwnerKeys, RecoveryPhrase},
    record::DeviceCertificate,
};
use hayloft_net::{
    Inbound, Incoming, Net, NetConfig, NetError,
    messages::{Answer, Envelope, Followed, Mandated, Refusal, RefusalCode, Request},
};
use hayloft_store::auditor::Judged;

use crate::{Clock, Node, NodeOptions};

pub(super) const DAY: u64 = 24 * 3600;
/// Now, for all who take part: auditors that are found show records that are fresh by the machine's clock.
pub(super) static START: LazyLock<Timestamp> = LazyLock::new(|| Clock::system().now());
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) fn network() -> NetworkName {
    "bench".parse().expect("a name")
}

/// How the farmer behaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ways {
    Honest,
    /// Drops every question unanswered.
    Silent,
    /// Drops those of this device alone.
    SilentTo(DeviceId),
    /// Proves from its shards with one bit flipped.
    Flipped,
    /// Says beforehand that it lost these.
    Lost(Vec<ShardId>),
    /// Says so only when it is asked for it.
    Admits(ShardId),
    /// Shows another nonce than it committed to.
    OtherNonce,
    /// Signs with another key.
    Unsigned,
    /// Answers every question with its first answer.
    Replays,
    /// Says to the next question that it is busy, and is honest from then on.
    Busy,
}

struct Shard {
    entry: ShardEntry,
    bytes: Vec<u8>,
    tags: Vec<Tag>,
}

struct Kept {
    terms: SignedTerms,
    revision: SignedRevision,
    shards: Vec<Shard>,
    ways: Ways,
    first: Option<(Option<[u8; 32]>, audit::Answer)>,
    asked: Vec<Question>,
}

/// The farmer.
pub(super) struct Farmer {
    pub(super) key: Arc<DeviceKey>,
    prover: Arc<ProverKey>,
    kept: Arc<Mutex<Kept>>,
    _net: Net,
}

/// Everybody.
pub(super) struct Bench {
    home: tempfile::TempDir,
    pub(super) clock: Clock,
    pub(super) node: Node,
    pub(super) farmer: Farmer,
    pub(super) owner: OwnerKeys,
    pub(super) net: Net,
    pub(super) state: State,
    tagger: Tagger,
    epoch_seconds: u32,
}

async fn node(home: &tempfile::TempDir, clock: &Clock, bootstrap: &[String]) -> Node {
    let options = NodeOptions {
        home: home.path().to_owned(),
        network: Some(network()),
        listen: vec!["/memory/0".into()],
        memory: true,
        bootstrap: bootstrap.to_vec(),
        audit: Some(true),
        disk_guard_bytes: Some(0),
        clock: clock.clone(),
        ..NodeOptions::default()
    };
    Node::open(options).await.expect("opens")
}

/// Somebody whom others may know.
pub(super) async fn witness() -> (Net, Incoming) {
    let config = NetConfig { memory: true, listen: vec!["/memory/0".into()], ..NetConfig::new(network()) };
    Net::start(config, &DeviceKey::random(&mut rand::rng())).await.expect("starts")
}

async fn stranger(auditor: &Node) -> (Net, Incoming, DeviceKey) {
    let key = DeviceKey::random(&mut rand::rng());
    let config = NetConfig { memory: true, listen: vec!["/memory/0".into()], ..NetConfig::new(network()) };
    let (net, incoming) = Net::start(config, &key).await.expect("starts");
    let status = auditor.status().await.expect("status");
    net.hint(status.device.parse().expect("a device"), &status.addresses);
    (net, incoming, key)
}

/// Asks until there is a connection.
pub(super) async fn reach(net: &Net, auditor: DeviceId) {
    let reached = async {
        while let Err(NetError::Unreachable(_)) =
            net.ask(auditor, &Envelope { certificate: None, request: Request::Offer }).await
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("the auditor is reached");
}

fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

impl Bench {
    /// A contract with epochs of a day and three tagged shards, which nobody follows yet.
    pub(super) async fn new() -> Self {
        let home = tempfile::tempdir().expect("temp dir");
        let clock = Clock::by_hand(*START);
        let node = node(&home, &clock, &[]).await;
        let owner = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
        let audit_key = AuditKey::derive(&owner.audit, Sectors::MIN);
        let tagger = Tagger::new(&audit_key);
        let (net, incoming, key) = stranger(&node).await;
        let auditor = node.status().await.expect("status").device.parse().expect("a device");
        let terms = Terms {
            network: network(),
            owner: owner.owner.id(),
            farmer: key.id(),
            start: *START,
            epoch_seconds: DAY as u32,
            storage_price: Amount(0),
            egress_price: Amount(0),
            audit_share_ppm: 0,
            auditor: Some(auditor),
            escrow: None,
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: rand::random(),
        };
        let signed = SignedTerms {
            owner: terms.sign_as_owner(&owner.owner),
            farmer: terms.sign_as_farmer(&key),
            terms,
        };
        let state = State::new(signed.clone()).expect("signed by both");
        let (key, prover) = (Arc::new(key), Arc::new(audit_key.prover_key()));
        let shards: Vec<Shard> = (1..=3).map(|seed| shard(&tagger, &prover, seed)).collect();
        let added = shards.iter().map(|shard| shard.entry.clone()).collect();
        let (state, revision) = revised(&state, &owner, &key, added, vec![], *START);
        let (ways, first, asked) = (Ways::Honest, None, Vec::new());
        let kept = Kept { terms: signed, revision, shards, ways, first, asked };
        let kept = Arc::new(Mutex::new(kept));
        net.announce_farmer(true);
        tokio::spawn(serve(incoming, kept.clone(), key.clone(), prover.clone()));
        let farmer = Farmer { key, prover, kept, _net: net.clone() };
        let (asking, _, _) = stranger(&node).await;
        let bench =
            Self { home, clock, node, farmer, owner, net: asking, state, tagger, epoch_seconds: DAY as u32 };
        // The farmer dials the auditor, which thereby knows where it is.
        reach(&net, auditor).await;
        bench
    }

    pub(super) async fn auditor(&self) -> DeviceId {
        self.node.status().await.expect("status").device.parse().expect("a device")
    }

    pub(super) fn certificate(&self) -> DeviceCertificate {
        self.certificate_for(self.net.local_id())
    }

    /// This owner's word for any device.
    pub(super) fn certificate_for(&self, device: DeviceId) -> DeviceCertificate {
        DeviceCertificate::issue(&self.owner.owner, &network(), device, *START, 300 * DAY)
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Answer, NetError> {
        let envelope = Envelope { certificate: Some(self.certificate()), request };
        self.net.ask(self.auditor().await, &envelope).await
    }

    pub(super) fn told(&self) -> Followed {
        let kept = self.farmer.kept.lock().expect("no panic");
        Followed { terms: kept.terms.clone(), revision: kept.revision.clone(), shards: None }
    }

    pub(super) async fn follow(&self) -> Result<u64, NetError> {
        match self.ask(Request::Follow(Box::new(self.told()))).await? {
            Answer::Following { number } => Ok(number),
            other => panic!("{other:?}"),
        }
    }

    /// Another auditor, found by this one, which knows where farmer and owner are.
    pub(super) async fn second(&self) -> (tempfile::TempDir, Node) {
        let home = tempfile::tempdir().expect("temp dir");
        let first = self.node.status().await.expect("status");
        let second = node(&home, &self.clock, &first.addresses).await;
        let status = second.status().await.expect("status");
        let device = status.device.parse().expect("a device");
        for net in [&self.net, &self.farmer._net] {
            net.hint(device, &status.addresses);
            reach(net, device).await;
        }
        let met = self.node.auditor_for_tests();
        tokio::time::timeout(PATIENCE, met.meet_for_tests()).await.expect("the auditor finds the other");
        (home, second)
    }

    /// Owner and farmer sign a revision; the auditor is not told.
    pub(super) fn revise(&mut self, added: Option<u8>, removed: Vec<ShardId>) {
        let mut kept = self.farmer.kept.lock().expect("no panic");
        let new = added.map(|seed| shard(&self.tagger, &self.farmer.prover, seed));
        let entries = new.iter().map(|shard| shard.entry.clone()).collect();
        let now = self.clock.now();
        let (state, revision) =
            revised(&self.state, &self.owner, &self.farmer.key, entries, removed.clone(), now);
        kept.shards.retain(|shard| !removed.contains(&shard.entry.id));
        kept.shards.extend(new);
        kept.shards.sort_by_key(|shard| shard.entry.id);
        kept.revision = revision;
        self.state = state;
    }

    pub(super) fn behave(&self, ways: Ways) {
        self.farmer.kept.lock().expect("no panic").ways = ways;
    }

    pub(super) fn asked(&self) -> Vec<Question> {
        self.farmer.kept.lock().expect("no panic").asked.clone()
    }

    pub(super) fn shard_ids(&self) -> Vec<ShardId> {
        self.state.shards().map(|shard| shard.id).collect()
    }

    /// Lets time pass in steps in which everything that is due happens.
    pub(super) async fn pass(&self, seconds: u64) {
        for _ in 0..seconds.div_ceil(self.step()) {
            self.clock.advance(self.step());
            self.node.auditor_for_tests().work().await;
        }
    }

    fn step(&self) -> u64 {
        u64::from(self.epoch_seconds) / 48
    }

    pub(super) async fn verdicts(&self) -> Vec<Judged> {
        let contract = self.state.contract();
        self.node.auditor_for_tests().verdicts_for_tests(contract).await
    }

    /// The node ends between two steps, and starts again.
    pub(super) async fn restart(&mut self) {
        self.node.shutdown().await.expect("closes");
        self.node = node(&self.home, &self.clock, &[]).await;
        let status = self.node.status().await.expect("status");
        let auditor = status.device.parse().expect("a device");
        for net in [&self.net, &self.farmer._net] {
            net.hint(auditor, &status.addresses);
            reach(net, auditor).await;
        }
    }
}

/// A contract between an owner and a farmer of one hand, with a shard that nobody has. All of it is signed.
pub(super) fn made_up(owner: &OwnerKeys, farmer: &DeviceKey, auditor: DeviceId) -> Followed {
    let terms = Terms {
        network: network(),
        owner: owner.owner.id(),
        farmer: farmer.id(),
        start: *START,
        epoch_seconds: DAY as u32,
        storage_price: Amount(0),
        egress_price: Amount(0),
        audit_share_ppm: 0,
        auditor: Some(auditor),
        escrow: None,
        grace_seconds: MIN_GRACE_SECONDS,
        nonce: rand::random(),
    };
    let terms =
        SignedTerms { owner: terms.sign_as_owner(&owner.owner), farmer: terms.sign_as_farmer(farmer), terms };
    let state = State::new(terms.clone()).expect("signed by both");
    let entry = ShardEntry { id: ShardId(rand::random()), bytes: 9, tag_key: Some([1; 32]) };
    let (_, revision) = revised(&state, owner, farmer, vec![entry.clone()], vec![], *START);
    Followed { terms, revision, shards: Some(vec![entry]) }
}

fn shard(tagger: &Tagger, prover: &ProverKey, seed: u8) -> Shard {
    let bytes = noise(seed, 2_000 + usize::from(seed));
    let id = ShardId([seed; 32]);
    let tags = tagger.tag_shard(id, &bytes);
    let entry = ShardEntry { id, bytes: bytes.len() as u64, tag_key: Some(prover.verifier().id()) };
    Shard { entry, bytes, tags }
}

fn revised(
    state: &State,
    owner: &OwnerKeys,
    farmer: &DeviceKey,
    added: Vec<ShardEntry>,
    removed: Vec<ShardId>,
    now: Timestamp,
) -> (State, SignedRevision) {
    let end = state.newest().is_none().then(|| now.plus_seconds(90 * DAY));
    let change = Change { capacity_bytes: Some(1 << 30), end, added, removed };
    let revision = propose(state, change, now).expect("a sound change");
    let owner = revision.sign_as_owner(state.terms(), &owner.owner);
    let (_, signed) =
        hayloft_core::contract::countersign(state, &revision, &owner, farmer, now).expect("countersigned");
    (apply_signed(state, &signed, now).expect("it follows"), signed)
}

async fn serve(mut incoming: Incoming, kept: Arc<Mutex<Kept>>, key: Arc<DeviceKey>, prover: Arc<ProverKey>) {
    while let Some(inbound) = incoming.next().await {
        let answer = answer(&inbound, &mut kept.lock().expect("no panic"), &key, &prover);
        if let Some(answer) = answer {
            tokio::spawn(inbound.answer(answer));
        }
    }
}

fn answer(inbound: &Inbound, kept: &mut Kept, key: &DeviceKey, prover: &ProverKey) -> Option<Answer> {
    if kept.ways == Ways::Silent || kept.ways == Ways::SilentTo(inbound.from) {
        return None;
    }
    let entries: Vec<ShardEntry> = kept.shards.iter().map(|shard| shard.entry.clone()).collect();
    Some(match plain(inbound.envelope.request.clone()) {
        Request::Contract { .. } => Answer::Contract {
            terms: Box::new(kept.terms.clone()),
            revision: Some(Box::new(kept.revision.clone())),
        },
        Request::Shards { after, .. } => {
            let shards = entries.into_iter().filter(|shard| Some(shard.id) > after).collect();
            Answer::Shards { shards, more: false }
        }
        Request::AuditKeys { .. } => Answer::AuditKeys(vec![prover.verifier().encode().to_vec()]),
        Request::Lost { contract, after } => {
            let shards = if let Ways::Lost(lost) = &kept.ways { lost.clone() } else { Vec::new() };
            let (network, farmer, at) = (network(), key.id(), *START);
            let report = LossReport { network, contract, farmer, after, shards, more: false, at };
            Answer::Lost(Box::new(report.sign(key)))
        }
        Request::Commit { contract, epoch, commitment } => {
            let nonce = farmer_nonce(key, &network(), &contract, epoch, &commitment);
            Answer::Committed { commitment: Commitment::to(&contract, epoch, Committer::Farmer, &nonce) }
        }
        Request::Challenge(question) => prove(kept, *question, &entries, key, prover),
        _ => refusal(RefusalCode::BadRequest),
    })
}

/// What is asked, in whoever's place.
fn plain(request: Request) -> Request {
    let Request::Mandated { mandate, ask } = request else { return request };
    let (contract, epoch) = (mandate.mandate.contract, mandate.mandate.epoch);
    match *ask {
        Mandated::AuditKeys => Request::AuditKeys { contract },
        Mandated::Lost { after } => Request::Lost { contract, after },
        Mandated::Commit(commitment) => Request::Commit { contract, epoch, commitment },
        Mandated::Challenge(question) => Request::Challenge(question),
    }
}

fn refusal(code: RefusalCode) -> Answer {
    Answer::Refused(Refusal { code, sentence: "No.".into() })
}

fn prove(
    kept: &mut Kept,
    question: Question,
    entries: &[ShardEntry],
    key: &DeviceKey,
    prover: &ProverKey,
) -> Answer {
    kept.asked.push(question.clone());
    if kept.ways == Ways::Busy {
        kept.ways = Ways::Honest;
        return refusal(RefusalCode::Busy);
    }
    if question.revision != kept.revision.revision.number {
        return refusal(RefusalCode::StaleRevision);
    }
    if let (Ways::Replays, Some((nonce, answer))) = (&kept.ways, &kept.first) {
        return Answer::Proved { nonce: *nonce, answer: Box::new(answer.clone()) };
    }
    let commitment = question.commitment().expect("no ledger here");
    let mut nonce = farmer_nonce(key, &network(), &question.contract, question.epoch, &commitment);
    if kept.ways == Ways::OtherNonce {
        nonce[0] ^= 1;
    }
    let root = kept.revision.revision.root;
    let transcript = question.transcript(network(), key.id(), root, Some(nonce)).expect("both nonces");
    if let Ways::Admits(lost) = kept.ways {
        let answer = audit::Answer::admit(&transcript, lost, key);
        return Answer::Proved { nonce: Some(nonce), answer: Box::new(answer) };
    }
    let challenge = Challenge::expand(&transcript, entries).expect("a sound challenge");
    let proofs = challenge.parts().iter().map(|part| {
        let mut proving = Prover::new(prover, part).expect("its key");
        for block in part.blocks() {
            let shard = kept.shards.iter().find(|shard| shard.entry.id == block.shard).expect("kept");
            let range = block.range.start as usize..block.range.end as usize;
            let mut bytes = shard.bytes[range].to_vec();
            if kept.ways == Ways::Flipped {
                bytes[0] ^= 1;
            }
            proving.push(&bytes, &shard.tags[block.index as usize]).expect("the block asked for");
        }
        KeyProof { tag_key: part.tag_key(), proof: proving.finish().expect("all blocks") }
    });
    let proofs: Vec<KeyProof> = proofs.collect();
    let other = DeviceKey::from_bytes(&[1; 32]);
    let answer =
        audit::Answer::sign(&transcript, proofs, if kept.ways == Ways::Unsigned { &other } else { key });
    kept.first.get_or_insert((Some(nonce), answer.clone()));
    Answer::Proved { nonce: Some(nonce), answer: Box::new(answer) }
}
