//! The farmer's side of contracts: agreeing, showing and revising. One revision of a contract at a time; the new state
//! is on disk before the signature leaves.

use hayloft_core::{
    Amount, ContractId, DeviceId, OwnerId, ShardId, Signature, Timestamp,
    contract::{
        MIN_EPOCH_SECONDS, Revision, RevisionError, SignedRevision, SignedTerms, State, Terms, TermsOffered,
        UNUSED_SECONDS, check_owner, check_terms, countersign, countersign_same_shards,
    },
    placement::Subnet,
};
use hayloft_net::{
    limits::SHARDS_PER_PAGE,
    messages::{Answer, Refusal, RefusalCode},
};
use hayloft_store::farmer::Contract;

use super::{Shared, labours::Worker, offer, refuse};

/// Contracts that one owner may have with one farmer: one, and some for races between its devices.
const CONTRACTS_PER_OWNER: u64 = 8;

/// When a contract ends, and from when on its bytes may be deleted.
pub(crate) fn ends(contract: &Contract) -> (Timestamp, Timestamp) {
    let terms = &contract.terms.terms;
    match &contract.revision {
        Some(newest) => (newest.revision.end, newest.revision.end.plus_seconds(terms.grace_seconds)),
        None => {
            let lapses = terms.start.plus_seconds(UNUSED_SECONDS);
            (lapses, lapses)
        }
    }
}

/// Who asks.
pub(crate) struct Asker {
    /// The key that the connection proved.
    pub(crate) device: DeviceId,
    /// The owner that certified it, or why none did.
    pub(crate) owner: Result<OwnerId, Refusal>,
}

impl Shared {
    /// The contract, if it is this owner's and not surely over: what is still kept is served.
    pub(crate) async fn contract_of(&self, owner: OwnerId, id: ContractId) -> Result<Contract, Refusal> {
        let contract = self.parts.store.farmer().contract(id).await.map_err(refuse::store)?;
        let contract = contract.filter(|contract| contract.terms.terms.owner == owner);
        contract
            .filter(|contract| self.parts.witness.credible() < ends(contract).1)
            .ok_or_else(refuse::unknown_contract)
    }

    /// The contract, if it is this asker's to audit: its owner's, or one whose terms name it as the auditor.
    pub(crate) async fn contract_for(&self, asker: &Asker, id: ContractId) -> Result<Contract, Refusal> {
        let contract = self.parts.store.farmer().contract(id).await.map_err(refuse::store)?;
        let contract = contract.filter(|contract| self.parts.witness.credible() < ends(contract).1);
        let is_auditor = |contract: &Contract| contract.terms.terms.auditor == Some(asker.device);
        match (contract, &asker.owner) {
            (Some(contract), _) if is_auditor(&contract) => Ok(contract),
            (_, Err(refusal)) => Err(refusal.clone()),
            (Some(contract), Ok(owner)) if contract.terms.terms.owner == *owner => Ok(contract),
            (_, Ok(_)) => Err(refuse::unknown_contract()),
        }
    }

    /// The same, if new data may come under it.
    pub(crate) async fn open_contract_of(&self, owner: OwnerId, id: ContractId) -> Result<Contract, Refusal> {
        let contract = self.contract_of(owner, id).await?;
        if self.parts.clock.now() < ends(&contract).0 {
            Ok(contract)
        } else {
            Err(refuse::revision(&RevisionError::Ended))
        }
    }

    pub(crate) async fn agree(
        &self,
        owner: OwnerId,
        terms: Terms,
        signature: Signature,
        subnet: Subnet,
    ) -> Result<Answer, Refusal> {
        if terms.owner != owner {
            return Err(refuse::refuse(
                RefusalCode::NotAllowed,
                "The terms name another owner than your certificate.",
            ));
        }
        terms.verify_owner(&signature).map_err(|error| refuse::terms(&error))?;
        let id = terms.id();
        let _one_at_a_time = self.lock(id).await;
        let farmer = self.parts.store.farmer();
        if let Some(known) = farmer.contract(id).await.map_err(refuse::store)? {
            return Ok(Answer::Agreed(Box::new(known.terms)));
        }
        self.permitted()?;
        check_terms(&terms, &self.terms_offered(), self.parts.clock.now())
            .map_err(|error| refuse::terms(&error))?;
        self.check_funded(&terms).await?;
        if farmer.contracts_of(owner).await.map_err(refuse::store)? >= CONTRACTS_PER_OWNER {
            return Err(refuse::refuse(
                RefusalCode::NoSpace,
                "You have as many contracts here as one owner may.",
            ));
        }
        if !self.agreements.lock().is_ok_and(|mut made| made.admit(subnet, self.parts.clock.now())) {
            return Err(refuse::refuse(
                RefusalCode::Busy,
                "Your subnet has agreed on enough here for one day.",
            ));
        }
        let signed =
            SignedTerms { farmer: terms.sign_as_farmer(&self.parts.device), owner: signature, terms };
        farmer.insert_contract(id, &signed).await.map_err(refuse::store)?;
        Ok(Answer::Agreed(Box::new(signed)))
    }

    pub(super) fn terms_offered(&self) -> TermsOffered {
        let settings = self.settings.borrow();
        TermsOffered {
            network: self.parts.network.clone(),
            farmer: self.parts.device.id(),
            storage_price: Amount(settings.storage_price),
            egress_price: Amount(settings.egress_price),
            shortest_epoch_seconds: self.parts.epoch_seconds.unwrap_or(MIN_EPOCH_SECONDS),
        }
    }

    pub(crate) async fn page(&self, id: ContractId, after: Option<ShardId>) -> Result<Answer, Refusal> {
        let page = self.parts.store.farmer().shards(id, after, SHARDS_PER_PAGE as u32).await;
        let (shards, more) = page.map_err(refuse::store)?;
        Ok(Answer::Shards { shards, more })
    }

    pub(super) async fn revise(
        &self,
        worker: Worker,
        owner: OwnerId,
        revision: Revision,
        signature: Signature,
    ) -> Result<Answer, Refusal> {
        let id = revision.contract;
        let contract = self.contract_of(owner, id).await?;
        if contract.revision.as_ref().is_none_or(|newest| newest.revision != revision) {
            // Before it is locked, for it may take long. Only for an owner who signed just this next revision.
            check_owner(&contract.terms, contract.revision.as_ref(), &revision, &signature)
                .map_err(|error| refuse::revision(&error))?;
            self.check_tags(worker, owner, &revision).await?;
        }
        let _one_at_a_time = self.lock(id).await;
        let contract = self.contract_of(owner, id).await?;
        if let Some(newest) = contract.revision.as_ref().filter(|newest| newest.revision == revision) {
            revision
                .verify_owner(&contract.terms.terms, &signature)
                .map_err(|error| refuse::revision(&error))?;
            return Ok(Answer::Revised { farmer: newest.farmer });
        }
        self.may_renew(&contract, &revision)?;
        let before = contract.revision.as_ref().map(|newest| &newest.revision);
        self.check_paid(&contract.terms.terms, before, &revision).await?;
        let signed = self.countersigned(contract, revision, signature).await?;
        self.parts.store.farmer().commit_revision(&signed).await.map_err(refuse::store)?;
        crash_point!(RevisionKept);
        self.changed();
        Ok(Answer::Revised { farmer: signed.farmer })
    }

    /// A farmer that no longer offers space, or leaves, lets contracts run out; it still frees what its owners remove.
    fn may_renew(&self, contract: &Contract, revision: &Revision) -> Result<(), Refusal> {
        let longer = contract.revision.as_ref().is_some_and(|newest| revision.end > newest.revision.end);
        match (longer, self.leaves()) {
            (true, Some(_)) => Err(refuse::not_accepting(&offer::NotAccepting::Leaving)),
            (true, None) if !self.settings.borrow().enabled => {
                Err(refuse::not_accepting(&offer::NotAccepting::Off))
            }
            _ => Ok(()),
        }
    }

    async fn countersigned(
        &self,
        contract: Contract,
        revision: Revision,
        signature: Signature,
    ) -> Result<SignedRevision, Refusal> {
        let (device, now) = (self.parts.device.clone(), self.parts.clock.now());
        let newest = contract.revision.as_ref();
        check_owner(&contract.terms, newest, &revision, &signature)
            .map_err(|error| refuse::revision(&error))?;
        if let Some(newest) = newest.filter(|_| revision.changes_nothing()) {
            let signed =
                countersign_same_shards(&contract.terms, newest, &revision, &signature, &device, now);
            return signed.map_err(|error| refuse::revision(&error));
        }
        // All shards of a contract are in memory meanwhile: of few contracts at once.
        let Ok(_place) = self.revising.acquire().await else {
            return Err(refuse::refuse(RefusalCode::Busy, "This farmer is shutting down."));
        };
        let entries = self.parts.store.farmer().entries(contract.id).await.map_err(refuse::store)?;
        let sign = move || {
            let state = State::load(contract.terms, contract.revision.as_ref(), entries).map_err(|error| {
                tracing::error!(%error, contract = %contract.id, "a contract on this disk contradicts itself");
                refuse::refuse(RefusalCode::Internal, "This farmer's own record of the contract is damaged.")
            })?;
            let signed = countersign(&state, &revision, &signature, &device, now);
            signed.map(|(_, signed)| signed).map_err(|error| refuse::revision(&error))
        };
        let signed = tokio::task::spawn_blocking(sign).await;
        signed.unwrap_or_else(|_| Err(refuse::refuse(RefusalCode::Internal, "This farmer failed.")))
    }
}
