//! A farmer's side of the protocol in memory: honest but for its one [`Lie`].

use std::{collections::HashMap, fs::File, sync::Mutex, time::SystemTime};

use hayloft_core::{
    Amount, ContractId, NetworkName, ShardId, Signature, Timestamp,
    contract::{Revision, SignedRevision, SignedTerms, State, Terms, countersign},
    keys::DeviceKey,
    record::FarmerRecord,
};
use hayloft_net::{
    Inbound, NetError,
    limits::SHARDS_PER_PAGE,
    messages::{Answer, Refusal, RefusalCode, Request},
};

use crate::lie::Lie;

const FREE_BYTES: u64 = 10 << 30;
const RECORD_SECONDS: u64 = 600;

/// What the liar knows and keeps.
pub(crate) struct Farm {
    network: NetworkName,
    device: DeviceKey,
    lie: Lie,
    contracts: Mutex<HashMap<ContractId, (State, Option<SignedRevision>)>>,
    shards: Mutex<HashMap<ShardId, Vec<u8>>>,
    leaked: Mutex<Vec<(Vec<u8>, Option<File>)>>,
}

impl Farm {
    pub(crate) fn new(network: NetworkName, device: DeviceKey, lie: Lie) -> Self {
        let (contracts, shards, leaked) = Default::default();
        Self { network, device, lie, contracts, shards, leaked }
    }

    /// Serves one request.
    pub(crate) async fn serve(&self, inbound: Inbound) {
        if self.lie == Lie::Leaks {
            self.leak();
        }
        let served = match inbound.envelope.request.clone() {
            Request::Upload { shard, bytes, tag_bytes, .. } => {
                self.take(inbound, shard, bytes + tag_bytes).await
            }
            Request::Download { shard, offset, bytes, .. } => self.give(inbound, shard, offset, bytes).await,
            request => {
                let answer = self.answer(request).unwrap_or_else(Answer::Refused);
                inbound.answer(answer).await
            }
        };
        if let Err(error) = served {
            eprintln!("{error}");
        }
    }

    fn leak(&self) {
        const BYTES: usize = 256 * 1024;
        let handle = std::env::current_exe().and_then(File::open).ok();
        self.leaked.lock().expect("no panic").push((vec![1; BYTES], handle));
    }

    fn answer(&self, request: Request) -> Result<Answer, Refusal> {
        match request {
            Request::Offer => Ok(Answer::Offer(Box::new(self.record().sign(&self.device).into()))),
            Request::Agree { terms, owner } => self.agree(terms, owner),
            Request::Contract { contract } => self.with(contract, |(state, newest)| Answer::Contract {
                terms: Box::new(state.signed_terms().clone()),
                revision: newest.clone().map(Box::new),
            }),
            Request::Shards { contract, after } => self.with(contract, |(state, _)| {
                let mut shards: Vec<_> =
                    state.shards().filter(|shard| Some(shard.id) > after).cloned().collect();
                let more = shards.len() > SHARDS_PER_PAGE;
                shards.truncate(SHARDS_PER_PAGE);
                Answer::Shards { shards, more }
            }),
            Request::Reserve { .. } => Ok(Answer::Reserved { until: now().plus_seconds(RECORD_SECONDS) }),
            Request::Release { .. } => Ok(Answer::Released),
            Request::Revise { revision, owner } => self.revise(revision, owner),
            Request::AuditKey { .. } => Ok(Answer::KeyKept),
            Request::AuditKeys { .. }
            | Request::Audited { .. }
            | Request::Lost { .. }
            | Request::Commit { .. }
            | Request::Challenge(_)
            | Request::Follow(_)
            | Request::Verdicts { .. }
            | Request::Receipt { .. }
            | Request::RevisionShards { .. }
            | Request::Payee
            | Request::Fund { .. }
            | Request::Cosign { .. }
            | Request::History { .. }
            | Request::Vouchers { .. }
            | Request::Tab { .. }
            | Request::Vouch(_)
            | Request::Standing { .. }
            | Request::Mandated { .. }
            | Request::Relay(_) => Err(refusal(RefusalCode::Internal)),
            Request::Upload { .. } | Request::Download { .. } => Err(refusal(RefusalCode::BadRequest)),
        }
    }

    fn record(&self) -> FarmerRecord {
        FarmerRecord {
            network: self.network.clone(),
            device: self.device.id(),
            protocol: 1,
            accepting: true,
            free_bytes: FREE_BYTES,
            storage_price: Amount(0),
            egress_price: Amount(0),
            operator: None,
            country: None,
            leaves: None,
            at: now(),
            expires: now().plus_seconds(RECORD_SECONDS),
        }
    }

    fn agree(&self, terms: Terms, owner: Signature) -> Result<Answer, Refusal> {
        let signed = SignedTerms { farmer: terms.sign_as_farmer(&self.device), owner, terms };
        let state = State::new(signed.clone()).map_err(|_| refusal(RefusalCode::BadRequest))?;
        self.contracts.lock().expect("no panic").entry(state.contract()).or_insert((state, None));
        Ok(Answer::Agreed(Box::new(signed)))
    }

    fn revise(&self, revision: Revision, owner: Signature) -> Result<Answer, Refusal> {
        if self.lie == Lie::RefusesRevision {
            return Err(refusal(RefusalCode::Internal));
        }
        let mut contracts = self.contracts.lock().expect("no panic");
        let contract = contracts.get_mut(&revision.contract).ok_or(refusal(RefusalCode::UnknownContract))?;
        let signed = countersign(&contract.0, &revision, &owner, &self.device, now());
        let (state, signed) = signed.map_err(|_| refusal(RefusalCode::StaleRevision))?;
        let farmer = signed.farmer;
        *contract = (state, Some(signed));
        Ok(Answer::Revised { farmer })
    }

    fn with<T>(
        &self,
        id: ContractId,
        show: impl Fn(&(State, Option<SignedRevision>)) -> T,
    ) -> Result<T, Refusal> {
        let contracts = self.contracts.lock().expect("no panic");
        contracts.get(&id).map(show).ok_or(refusal(RefusalCode::UnknownContract))
    }

    async fn take(&self, inbound: Inbound, shard: ShardId, bytes: u64) -> Result<(), NetError> {
        if self.lie == Lie::RefusesUpload {
            return inbound.refuse(RefusalCode::NoSpace, "changed my mind").await;
        }
        let mut receiving = inbound.ready(0).await?;
        if self.lie == Lie::NeverReads {
            std::future::pending::<()>().await;
        }
        let mut stored = Vec::with_capacity(bytes.min(1 << 26) as usize);
        while let Some(chunk) = receiving.next().await? {
            stored.extend_from_slice(&chunk);
        }
        let mut hash = *blake3::hash(&stored).as_bytes();
        if self.lie == Lie::WrongHash {
            hash[0] ^= 1;
        }
        self.shards.lock().expect("no panic").insert(shard, stored);
        receiving.stored(hash).await
    }

    async fn give(&self, inbound: Inbound, shard: ShardId, offset: u64, bytes: u64) -> Result<(), NetError> {
        match self.lie {
            Lie::Nothing => std::future::pending().await,
            Lie::Forgets => return inbound.refuse(RefusalCode::UnknownShard, "what shard?").await,
            _ => {}
        }
        let Some(mut piece) = self.piece(shard, offset, bytes) else {
            return inbound.refuse(RefusalCode::UnknownShard, "no such shard").await;
        };
        if self.lie == Lie::WrongBytes {
            piece.iter_mut().step_by(1024).for_each(|byte| *byte ^= 1);
        }
        let mut sending = inbound.sending().await?;
        if self.lie == Lie::TooManyBytes {
            piece.extend_from_slice(&[0; 4096]);
            return sending.send_beyond(&piece).await;
        }
        sending.send(&piece).await?;
        sending.finish().await
    }

    fn piece(&self, shard: ShardId, offset: u64, bytes: u64) -> Option<Vec<u8>> {
        let shards = self.shards.lock().expect("no panic");
        let wanted = shards.get(&shard)?;
        let range = usize::try_from(offset).ok()?..usize::try_from(offset.checked_add(bytes)?).ok()?;
        let other = |other: &&Vec<u8>| other.len() == wanted.len() && *other != wanted;
        let sent = if self.lie == Lie::AnotherShard {
            shards.values().find(other).unwrap_or(wanted)
        } else {
            wanted
        };
        let mut piece = sent.get(range)?.to_vec();
        if self.lie == Lie::AnotherShard && std::ptr::eq(sent, wanted) {
            piece.fill(0);
        }
        Some(piece)
    }
}

fn refusal(code: RefusalCode) -> Refusal {
    Refusal { code, sentence: "no".to_owned() }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.expect("the clock is past 1970").as_secs())
}
