//! Contracts with farmers: agreed on once, changed by revisions that both sign.
//!
//! Invariants: revisions of one contract are proposed one after the other; the store follows a revision only when the
//! farmer's signature fits; what a farmer tells of a contract is believed only if both signatures and the root do.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use hayloft_core::{
    ContractId, DeviceId, NetworkName, OwnerId, ShardId, Timestamp,
    contract::{
        Change, MAX_CHANGES_PER_REVISION, MIN_GRACE_SECONDS, Phase, RevisionError, ShardEntry,
        SignedRevision, State, Terms, apply_signed, propose,
    },
    keys::OwnerKeys,
    record::FarmerRecord,
};
use hayloft_net::{
    NetError,
    messages::{Refusal, RefusalCode},
};
use rand::Rng;
use tokio::sync::Notify;

use super::{gates::Gates, gathering::Gatherings, lock, tagging::Tagging, wire::Wire};
use crate::{
    Clock,
    money::{Money, MoneyError},
};

/// How often a farmer is asked anew after it turned out to know a newer revision.
pub(super) const REBASES: usize = 3;
/// How long a contract that its farmer denied is not used.
const ASK_DENIED_AGAIN_SECONDS: u64 = 24 * 60 * 60;
/// The usual epoch.
pub(crate) const EPOCH_SECONDS: u32 = 24 * 60 * 60;
const AUDIT_SHARE_PPM: u32 = 900_000;

/// Why a contract cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContractError {
    /// The farmer could not be asked, or refused.
    #[error(transparent)]
    Net(#[from] NetError),
    /// What the farmer signed or tells does not hold.
    #[error("the farmer signed or tells something else: {0}")]
    Wrong(#[from] RevisionError),
    /// The farmer knows an older revision than the one it signed.
    #[error("the farmer has forgotten what it signed")]
    Forgotten,
    /// No such contract in this home.
    #[error("no such contract")]
    Unknown,
    /// The contract's auditor could not be asked.
    #[error("the auditor that new contracts name does not answer: {0}")]
    Auditor(NetError),
    /// It cannot be paid for.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] hayloft_store::owner::OwnerError),
}

impl ContractError {
    /// Whether another farmer would not help: this owner cannot pay, or its auditor is away.
    pub(crate) fn is_ours(&self) -> bool {
        match self {
            Self::Money(error) => !matches!(error, MoneyError::TooDear),
            other => matches!(other, Self::Auditor(_)),
        }
    }

    /// Whether the farmer is to blame.
    pub(crate) fn blames_farmer(&self) -> bool {
        match self {
            Self::Net(error) => error.blames_peer(),
            Self::Wrong(_) | Self::Forgotten => true,
            Self::Unknown | Self::Store(_) | Self::Auditor(_) | Self::Money(_) => false,
        }
    }

    /// The same once more for others who asked the farmer together, if it is about the farmer.
    pub(crate) fn of_the_farmer(&self) -> Option<Self> {
        match self {
            Self::Net(error) => Some(Self::Net(error.clone())),
            Self::Wrong(error) => Some(Self::Wrong(*error)),
            Self::Forgotten => Some(Self::Forgotten),
            Self::Unknown | Self::Store(_) | Self::Auditor(_) | Self::Money(_) => None,
        }
    }
}

/// What is to change in a contract. What is already so stays so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Shards to be under it.
    pub(crate) add: Vec<ShardEntry>,
    /// Shards not to be under it.
    pub(crate) remove: Vec<ShardId>,
    /// It lasts at least until then.
    pub(crate) until: Option<Timestamp>,
}

/// The change that fulfils a wish, as far as one revision goes; `None` if nothing is left to change.
fn change_for(state: &State, wish: &Wish) -> Option<Change> {
    let new = |shard: &&ShardEntry| state.shard(&shard.id).is_none();
    let added: Vec<ShardEntry> =
        wish.add.iter().filter(new).take(MAX_CHANGES_PER_REVISION).cloned().collect();
    let there: BTreeSet<ShardId> =
        wish.remove.iter().filter(|id| state.shard(id).is_some()).copied().collect();
    let removed: Vec<ShardId> = there.into_iter().take(MAX_CHANGES_PER_REVISION).collect();
    let longer = wish.until.filter(|until| state.newest().is_none() || *until > state.end());
    if added.is_empty() && removed.is_empty() && longer.is_none() {
        return None;
    }
    let gone: u64 = removed.iter().filter_map(|id| state.shard(id)).map(|shard| shard.bytes).sum();
    let come: u64 = added.iter().map(|shard| shard.bytes).sum();
    let bytes = state.bytes().saturating_sub(gone).saturating_add(come);
    Some(Change { capacity_bytes: Some(state.capacity_bytes().max(bytes)), end: longer, added, removed })
}

/// What new contracts say about audits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// The length of an epoch.
    pub(crate) epoch_seconds: u32,
    /// Who judges; none is one of those that are found.
    pub(crate) auditor: Option<DeviceId>,
}

type Slot = Arc<tokio::sync::Mutex<Option<State>>>;
type Current = Arc<tokio::sync::Mutex<Option<ContractId>>>;

/// This owner's contracts.
pub(crate) struct Contracts {
    pub(super) wire: Wire,
    tagging: Arc<Tagging>,
    pub(super) store: hayloft_store::Owner,
    keys: Arc<OwnerKeys>,
    network: NetworkName,
    pub(super) clock: Clock,
    judged: Judged,
    pub(super) money: Money,
    slots: Mutex<HashMap<ContractId, Slot>>,
    current: Mutex<HashMap<DeviceId, Current>>,
    /// Held while contracts are paid for.
    pub(super) paying: tokio::sync::Mutex<()>,
    /// A revision was signed: its auditor is to be told.
    pub(crate) revised: Notify,
    pub(super) gates: Gates,
    /// Shards that wait to be put under contract together.
    pub(super) gatherings: Gatherings,
}

impl Contracts {
    pub(crate) fn new(
        (wire, money): (Wire, Money),
        tagging: Arc<Tagging>,
        store: hayloft_store::Owner,
        keys: Arc<OwnerKeys>,
        network: NetworkName,
        clock: Clock,
        judged: Judged,
    ) -> Self {
        let (slots, current, gates) = (Mutex::default(), Mutex::default(), Gates::default());
        let (revised, gatherings) = (Notify::new(), Gatherings::default());
        Self {
            wire,
            tagging,
            store,
            keys,
            network,
            clock,
            judged,
            money,
            slots,
            current,
            paying: tokio::sync::Mutex::default(),
            revised,
            gates,
            gatherings,
        }
    }

    /// The length of an epoch in new contracts.
    pub(super) fn epoch_seconds(&self) -> u32 {
        self.judged.epoch_seconds
    }

    fn owner(&self) -> OwnerId {
        self.keys.owner.id()
    }

    /// The contract with a farmer under which a new shard of so many bytes goes; agreed on now if there is none.
    pub(crate) async fn with(&self, offer: &FarmerRecord, bytes: u64) -> Result<ContractId, ContractError> {
        let current = lock(&self.current).entry(offer.device).or_default().clone();
        let mut current = current.lock().await;
        if let Some(contract) = *current
            && self.usable(contract, bytes).await?
        {
            return Ok(contract);
        }
        let contract = match self.stored(offer.device, bytes).await? {
            Some(contract) => contract,
            None => self.agree(offer, bytes).await?,
        };
        *current = Some(contract);
        Ok(contract)
    }

    /// Places nothing under this contract for a day, because its farmer says that it knows no such contract. Whoever says
    /// so of what it signed may lie: terms and newest revision are kept as evidence, and it is asked again. Answers whether
    /// there is such evidence.
    pub(crate) async fn give_up(
        &self,
        farmer: DeviceId,
        contract: ContractId,
    ) -> Result<bool, ContractError> {
        let current = lock(&self.current).entry(farmer).or_default().clone();
        let mut current = current.lock().await;
        if *current == Some(contract) {
            *current = None;
        }
        lock(&self.slots).remove(&contract);
        let stored = self.store.contract(contract).await?;
        if stored.is_some_and(|stored| stored.revision.is_some()) {
            self.store.deny_contract(contract, self.clock.now()).await?;
            Ok(true)
        } else {
            // Agreed on and never used: farmers forget such ones, and nothing is proved by it.
            self.store.remove_contract(contract).await?;
            Ok(false)
        }
    }

    async fn usable(&self, contract: ContractId, bytes: u64) -> Result<bool, ContractError> {
        let slot = self.slot(contract);
        let mut slot = slot.lock().await;
        match self.loaded(contract, &mut slot).await {
            Ok(state) => {
                let open = matches!(state.phase(self.clock.now()), Phase::Unused | Phase::Running);
                let (terms, kept) = (state.terms().clone(), state.bytes());
                let has_room = state.has_room();
                Ok(open && has_room && self.is_paid_for(&terms, kept, bytes).await?)
            }
            Err(ContractError::Unknown) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn stored(
        &self,
        farmer: DeviceId,
        bytes: u64,
    ) -> Result<Option<ContractId>, ContractError> {
        let now = self.clock.now();
        for contract in self.store.contracts(Some(farmer)).await? {
            let denied = contract.denied.is_some_and(|at| now < at.plus_seconds(ASK_DENIED_AGAIN_SECONDS));
            if !denied && self.usable(contract.id, bytes).await? {
                return Ok(Some(contract.id));
            }
        }
        Ok(None)
    }

    async fn agree(&self, offer: &FarmerRecord, bytes: u64) -> Result<ContractId, ContractError> {
        let terms = self.funded(self.terms(offer), bytes).await?;
        let owner = terms.sign_as_owner(&self.keys.owner);
        let signed = self.wire.agree(offer.device, terms.clone(), owner).await?;
        if signed.terms != terms {
            return Err(ContractError::Wrong(RevisionError::WrongContract));
        }
        let state = State::new(signed.clone())?;
        let contract = state.contract();
        self.store.insert_contract(contract, &signed).await?;
        *self.slot(contract).lock().await = Some(state);
        Ok(contract)
    }

    pub(super) fn terms(&self, offer: &FarmerRecord) -> Terms {
        let mut nonce = [0; 32];
        rand::rng().fill_bytes(&mut nonce);
        let auditor = match self.judged.auditor {
            Some(auditor) => Some(auditor).filter(|auditor| *auditor != offer.device),
            None => self.wire.auditor_for(offer, self.judged.epoch_seconds),
        };
        Terms {
            network: self.network.clone(),
            owner: self.owner(),
            farmer: offer.device,
            start: self.clock.now(),
            epoch_seconds: self.judged.epoch_seconds,
            storage_price: offer.storage_price,
            egress_price: offer.egress_price,
            audit_share_ppm: AUDIT_SHARE_PPM,
            auditor,
            escrow: None,
            grace_seconds: MIN_GRACE_SECONDS,
            nonce,
        }
    }

    fn slot(&self, contract: ContractId) -> Slot {
        lock(&self.slots).entry(contract).or_default().clone()
    }

    async fn loaded<'a>(
        &self,
        contract: ContractId,
        slot: &'a mut Option<State>,
    ) -> Result<&'a mut State, ContractError> {
        if slot.is_none() {
            let stored = self.store.contract(contract).await?.ok_or(ContractError::Unknown)?;
            *slot = Some(State::load(stored.terms, stored.revision.as_ref(), stored.shards)?);
        }
        slot.as_mut().ok_or(ContractError::Unknown)
    }

    /// Makes the contract as wished, by as many revisions as it takes. A revision whose answer was lost on the way is
    /// found again and built upon.
    pub(crate) async fn revise(&self, contract: ContractId, wish: &Wish) -> Result<(), ContractError> {
        let slot = self.slot(contract);
        let mut slot = slot.lock().await;
        let state = self.loaded(contract, &mut slot).await?;
        let wish = &self.within_what_is_paid(state.terms(), wish).await?;
        let (mut rebases, mut key_sent) = (0, false);
        while let Some(change) = change_for(state, wish) {
            match self.revise_once(state, change).await {
                Ok(next) => *state = next,
                Err(ContractError::Net(NetError::Refused(Refusal { code, .. })))
                    if code == RefusalCode::StaleRevision && rebases < REBASES =>
                {
                    rebases += 1;
                    self.rebase(state).await?;
                }
                // Asked for once, when the first tagged shard comes, and again by a farmer that lost it.
                Err(ContractError::Net(NetError::Refused(Refusal { code, .. })))
                    if code == RefusalCode::UnknownKey && !key_sent =>
                {
                    key_sent = true;
                    self.send_key(state.terms().farmer).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn send_key(&self, farmer: DeviceId) -> Result<(), ContractError> {
        let tagging = self.tagging.clone();
        let key = tokio::task::spawn_blocking(move || tagging.public().to_vec()).await;
        Ok(self.wire.audit_key(farmer, key.map_err(|_| NetError::Cancelled)?).await?)
    }

    async fn revise_once(&self, state: &State, change: Change) -> Result<State, ContractError> {
        let now = self.clock.now();
        let revision = propose(state, change, now)?;
        let owner = revision.sign_as_owner(state.terms(), &self.keys.owner);
        let farmer = self.wire.revise(state.terms().farmer, revision.clone(), owner).await?;
        crash_point!(RevisionSigned);
        let signed = SignedRevision { revision, owner, farmer };
        let next = apply_signed(state, &signed, now)?;
        self.store.save_revision(&signed).await?;
        self.revised.notify_one();
        Ok(next)
    }

    /// Takes over what the farmer proves to be the contract's newest revision.
    async fn rebase(&self, state: &mut State) -> Result<(), ContractError> {
        let (farmer, contract) = (state.terms().farmer, state.contract());
        let (terms, newest) = self.wire.contract(farmer, contract).await?;
        let Some(newest) = newest else { return Err(ContractError::Forgotten) };
        if terms.terms != *state.terms() {
            return Err(ContractError::Wrong(RevisionError::WrongContract));
        }
        if state.newest().is_some_and(|known| known.number > newest.revision.number) {
            return Err(ContractError::Forgotten);
        }
        // Only a count that this owner signed bounds how many shards are asked for.
        newest.verify(state.terms())?;
        let shards = self.wire.shards(farmer, contract, newest.revision.shards).await?;
        let proved = State::load(terms, Some(&newest), shards.iter().cloned())?;
        self.store.rebase(&newest, &shards).await?;
        *state = proved;
        Ok(())
    }

    /// Frees at its farmer what uploads that came to nothing have left under the contract.
    pub(crate) async fn release(
        &self,
        contract: ContractId,
        shards: &[ShardId],
    ) -> Result<(), ContractError> {
        let stored = self.store.contract(contract).await?.ok_or(ContractError::Unknown)?;
        let (wire, farmer, shards) = (self.wire.clone(), stored.terms.terms.farmer, shards.to_vec());
        let releasing = async move { wire.release(farmer, contract, &shards).await };
        Ok(self.gates.give_back(contract, releasing).await.map_err(|_| NetError::Cancelled)??)
    }

    /// Takes over the farmer's newest revision if it is not the one known here, so that nothing the farmer holds
    /// for this owner is unknown.
    pub(crate) async fn sync(&self, contract: ContractId) -> Result<(), ContractError> {
        let slot = self.slot(contract);
        let mut slot = slot.lock().await;
        let state = self.loaded(contract, &mut slot).await?;
        let (_, newest) = self.wire.contract(state.terms().farmer, contract).await?;
        let newest = newest.map(|newest| newest.revision.hash());
        if newest == state.newest().map(hayloft_core::contract::Revision::hash) {
            return Ok(());
        }
        self.rebase(state).await
    }

    /// Forgets contracts that are surely over: their farmers may have deleted everything.
    pub(crate) async fn forget_over(&self, surely: Timestamp) -> Result<(), ContractError> {
        for stored in self.store.contracts(None).await? {
            let over = State::load(stored.terms, stored.revision.as_ref(), stored.shards)
                .is_ok_and(|state| state.phase(surely) == Phase::Over);
            if over {
                lock(&self.slots).remove(&stored.id);
                self.gates.forget(stored.id);
                self.store.remove_contract(stored.id).await?;
            }
        }
        Ok(())
    }
}
