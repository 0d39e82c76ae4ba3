//! Attacks by an owner with a sound certificate, and requests in such numbers that no limit is left out.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join_all};
use hayloft_core::{
    Amount, ContractId, DeviceId, RevisionHash, ShardId, Timestamp, codec,
    contract::{
        Change, MAX_SHARD_BYTES, MIN_GRACE_SECONDS, Revision, ShardEntry, SignedRevision, State, Terms,
        apply_signed, propose, quota_bytes,
    },
    keys::{DeviceKey, OwnerKey, OwnerKeys, RecoveryPhrase},
    record::DeviceCertificate,
};
use hayloft_net::{
    limits,
    messages::{Answer, Envelope, Request},
};
use libp2p::{
    Stream, StreamProtocol,
    identity::{Keypair, PublicKey},
};

use crate::{
    Victim, begun,
    stranger::{Stranger, swarm},
    streams::farmer_protocol,
};

const DAY_SECONDS: u64 = 24 * 3600;
/// Transfers at one byte a second.
const DRIPS: usize = 32;
/// Requests of the storm before it counts as begun, and how many are under way at once.
const STORM: usize = 500;
const AT_ONCE: usize = 200;
pub(crate) const BREATH: Duration = Duration::from_millis(50);
/// Shards of one byte before the attack counts as begun, and how many are under way at once.
const TINY: usize = 200;
const TINY_AT_ONCE: usize = limits::REQUESTS_PER_PEER / 2;

/// An owner who follows no rule but signs all it sends.
pub(crate) struct Customer {
    keys: OwnerKeys,
    stranger: Stranger,
    certificate: DeviceCertificate,
    farmer: DeviceId,
    protocol: StreamProtocol,
    victim: Victim,
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.expect("the clock is past 1970").as_secs())
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short");
    [&len.to_be_bytes()[..], payload].concat()
}

async fn read_answer(stream: &mut Stream) -> Result<Answer> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).await?;
    let len = u32::from_be_bytes(len) as usize;
    let mut payload = vec![0; len.min(1 << 20)];
    stream.read_exact(&mut payload).await?;
    Ok(codec::decode(1, &payload, 1 << 20)?)
}

impl Customer {
    /// Whom it attacks.
    pub(crate) fn victim_id(&self) -> DeviceId {
        self.farmer
    }

    /// What it signs with.
    pub(crate) fn owner(&self) -> &OwnerKey {
        &self.keys.owner
    }

    pub(crate) async fn connect(victim: &Victim) -> Result<Self> {
        let device = DeviceKey::random(&mut rand::rng());
        let keypair = Keypair::ed25519_from_bytes(*device.expose())?;
        let stranger = Stranger::connect_as(swarm(keypair)?, &victim.quic, victim.peer).await?;
        let keys = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&victim.network);
        let certificate =
            DeviceCertificate::issue(&keys.owner, &victim.network, device.id(), now(), 30 * DAY_SECONDS);
        let key = PublicKey::try_decode_protobuf(victim.peer.as_ref().digest())?;
        let farmer = DeviceId(key.try_into_ed25519()?.to_bytes());
        let protocol = farmer_protocol(victim)?;
        Ok(Self { keys, stranger, certificate, farmer, protocol, victim: victim.clone() })
    }

    async fn begin(&self, request: Request) -> Result<Stream> {
        let mut stream = self.stranger.open(&self.protocol).await?;
        let envelope = Envelope { certificate: Some(self.certificate.clone()), request };
        stream.write_all(&frame(&codec::encode(1, &envelope))).await?;
        stream.flush().await?;
        Ok(stream)
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<Answer> {
        let mut stream = self.begin(request).await?;
        match read_answer(&mut stream).await? {
            Answer::Refused(refusal) => bail!("{:?}: {}", refusal.code, refusal.sentence),
            answer => Ok(answer),
        }
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            network: self.victim.network.clone(),
            owner: self.keys.owner.id(),
            farmer: self.farmer,
            start: now(),
            epoch_seconds: DAY_SECONDS as u32,
            storage_price: Amount(0),
            egress_price: Amount(0),
            audit_share_ppm: 0,
            auditor: None,
            escrow: None,
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: rand::random(),
        }
    }

    async fn agree(&self) -> Result<State> {
        let terms = self.terms();
        let owner = terms.sign_as_owner(&self.keys.owner);
        match self.ask(Request::Agree { terms, owner }).await? {
            Answer::Agreed(signed) => Ok(State::new(*signed)?),
            other => bail!("{other:?}"),
        }
    }

    async fn upload(&self, contract: ContractId, bytes: &[u8]) -> Result<ShardEntry> {
        let (id, len) = (ShardId(rand::random()), bytes.len() as u64);
        self.ask(Request::Reserve { contract, bytes: quota_bytes(len) }).await?;
        let mut stream =
            self.begin(Request::Upload { contract, shard: id, bytes: len, tag_bytes: 0 }).await?;
        let Answer::Ready { .. } = read_answer(&mut stream).await? else { bail!("not ready") };
        for piece in bytes.chunks(64 * 1024) {
            stream.write_all(&frame(piece)).await?;
        }
        stream.flush().await?;
        let Answer::Stored { .. } = read_answer(&mut stream).await? else { bail!("not stored") };
        Ok(ShardEntry { id, bytes: len, tag_key: None })
    }

    async fn revise(&self, state: &State, change: Change) -> Result<State> {
        let revision = propose(state, change, now())?;
        let owner = revision.sign_as_owner(state.terms(), &self.keys.owner);
        let asked = self.ask(Request::Revise { revision: revision.clone(), owner }).await?;
        let Answer::Revised { farmer } = asked else { bail!("not revised") };
        Ok(apply_signed(state, &SignedRevision { revision, owner, farmer }, now())?)
    }

    /// A contract with these shards.
    async fn with_shards(&self, added: Vec<ShardEntry>, state: &State) -> Result<State> {
        let end = state.newest().is_none().then(|| now().plus_seconds(90 * DAY_SECONDS));
        self.revise(state, Change { capacity_bytes: Some(1 << 40), end, added, removed: Vec::new() }).await
    }
}

async fn drip(stream: &mut Stream) {
    let mut dripping = Ok(());
    while dripping.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        dripping = stream.write_all(&[0]).await;
        let _ = stream.flush().await;
    }
}

pub(crate) async fn slow_reader(victim: Victim) -> Result<()> {
    let customer = Customer::connect(&victim).await?;
    let state = customer.agree().await?;
    let contract = state.contract();
    let entry = customer.upload(contract, &vec![7; 1 << 20]).await?;
    let (shard, bytes) = (entry.id, entry.bytes);
    customer.with_shards(vec![entry], &state).await?;
    let begun_ones = AtomicUsize::new(0);
    let reading = (0..DRIPS).map(|_| async {
        let mut first = true;
        loop {
            let request = Request::Download { contract, shard, offset: 0, bytes };
            let Ok(mut stream) = customer.begin(request).await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            if std::mem::take(&mut first) && begun_ones.fetch_add(1, Ordering::Relaxed) + 1 == DRIPS {
                begun(DRIPS);
            }
            let mut byte = [0; 1];
            while stream.read_exact(&mut byte).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    join_all(reading).await;
    Ok(())
}

pub(crate) async fn slow_writer(victim: Victim) -> Result<()> {
    let customer = Customer::connect(&victim).await?;
    let contract = customer.agree().await?.contract();
    let bytes = 1 << 20;
    let begun_ones = AtomicUsize::new(0);
    let writing = (0..DRIPS).map(|number| {
        let (customer, begun_ones) = (&customer, &begun_ones);
        async move {
            let mut first = true;
            loop {
                let shard = ShardId(rand::random());
                let reserve = Request::Reserve { contract, bytes: quota_bytes(bytes) };
                let upload = Request::Upload { contract, shard, bytes, tag_bytes: 0 };
                let ready = async {
                    customer.ask(reserve).await?;
                    let mut stream = customer.begin(upload).await?;
                    let Answer::Ready { .. } = read_answer(&mut stream).await? else { bail!("not ready") };
                    Ok(stream)
                };
                let Ok(mut stream) = ready.await else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                if std::mem::take(&mut first) && begun_ones.fetch_add(1, Ordering::Relaxed) + 1 == DRIPS {
                    begun(DRIPS);
                }
                if number % 2 == 0 {
                    let _ = stream.write_all(&60_000_u32.to_be_bytes()).await;
                    drip(&mut stream).await;
                } else {
                    // More than announced, for as long as anybody listens.
                    while stream.write_all(&frame(&[1; 60_000])).await.is_ok() {}
                }
            }
        }
    });
    join_all(writing).await;
    Ok(())
}

pub(crate) async fn tiny_shards(victim: Victim) -> Result<()> {
    let customer = Customer::connect(&victim).await?;
    let mut state = customer.agree().await?;
    let contract = state.contract();
    let mut said = false;
    loop {
        let uploads = join_all((0..TINY_AT_ONCE).map(|_| customer.upload(contract, &[1])));
        let arrived: Vec<ShardEntry> = uploads.await.into_iter().flatten().collect();
        // Once the quota is used up each revision changes next to nothing.
        let used_up = arrived.is_empty();
        state = if used_up && state.newest().is_some() {
            let end = Some(state.end().plus_seconds(1));
            customer.revise(&state, Change { end, ..Change::default() }).await?
        } else {
            customer.with_shards(arrived, &state).await?
        };
        if !said && (used_up || state.shards().count() >= TINY) {
            said = true;
            begun(state.shards().count());
        }
    }
}

/// Sound and unsound requests of every kind, as fast as they are answered, from customers and strangers.
pub(crate) async fn storm(victim: Victim) -> Result<()> {
    let customers = join_all((0..8).map(|_| Customer::connect(&victim)));
    let customers: Vec<Customer> = customers.await.into_iter().collect::<Result<_>>()?;
    let mut contracts = Vec::new();
    for customer in &customers {
        contracts.push(customer.agree().await?.contract());
    }
    let asked = AtomicUsize::new(0);
    let storming = (0..AT_ONCE).map(|number| {
        let (customer, contract) = (&customers[number % 8], contracts[number % 8]);
        let asked = &asked;
        async move {
            loop {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                let _ = customer.ask(request(customer, contract, number)).await;
                if number == STORM {
                    begun(number);
                }
                // The attacker shall not take the processor that it shares with those whom it attacks.
                tokio::time::sleep(BREATH).await;
            }
        }
    });
    join_all(storming).await;
    Ok(())
}

fn request(customer: &Customer, contract: ContractId, number: usize) -> Request {
    let shard = ShardId(rand::random());
    match number % 11 {
        0 => Request::Offer,
        1 => {
            let terms = customer.terms();
            Request::Agree { owner: terms.sign_as_owner(&customer.keys.owner), terms }
        }
        2 => Request::Reserve { contract, bytes: u64::MAX },
        3 => Request::Reserve { contract, bytes: 1 },
        4 => Request::Upload { contract, shard, bytes: MAX_SHARD_BYTES + 1, tag_bytes: 0 },
        5 => Request::Upload { contract, shard, bytes: 1 << 20, tag_bytes: u64::MAX },
        6 => Request::Download { contract, shard, offset: u64::MAX, bytes: u64::MAX },
        7 => Request::Shards { contract, after: Some(shard) },
        8 => Request::Contract { contract: ContractId(rand::random()) },
        9 => Request::Release { contract, shards: vec![shard; 1024] },
        _ => too_large_a_revision(customer, contract),
    }
}

/// As many changes as a frame holds, and more than a revision may make.
fn too_large_a_revision(customer: &Customer, contract: ContractId) -> Request {
    let added = (0..3000_u32).map(|number| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        ShardEntry { id: ShardId(id), bytes: 1, tag_key: None }
    });
    let revision = Revision {
        contract,
        number: 0,
        previous: RevisionHash([0; 32]),
        capacity_bytes: u64::MAX,
        end: now().plus_seconds(DAY_SECONDS),
        added: added.collect(),
        removed: Vec::new(),
        shards: 3000,
        bytes: 3000,
        root: [0; 32],
        at: now(),
    };
    let owner = revision.sign_as_owner(&customer.terms(), &customer.keys.owner);
    Request::Revise { revision, owner }
}
