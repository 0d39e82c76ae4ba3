//! Owners' audit keys: checked once when they come, kept beside the shards, and the latest few at hand.
//!
//! Invariants: what is kept was found sound by `core::audit`; all keys of one owner have blocks of one size, so that one
//! question can be asked about all shards of a contract.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use hayloft_core::{
    ContractId, OwnerId,
    audit::{MAX_TAG_KEYS, ProverKey, TagKeyId, VerifierKey},
};
use hayloft_net::{
    limits::{AUDIT_KEY_BYTES, AUDIT_KEYS_PER_OWNER},
    messages::{Answer, Refusal, RefusalCode},
};

use super::{Shared, labours::Worker, refuse};

/// Keys at hand; each takes some 250 KB.
const AT_HAND: usize = 16;

/// The keys last used.
#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<VecDeque<Arc<ProverKey>>>);

impl Keys {
    fn get(&self, id: TagKeyId) -> Option<Arc<ProverKey>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = keys.iter().position(|key| key.verifier().id() == id)?;
        let key = keys.remove(at)?;
        keys.push_front(key.clone());
        Some(key)
    }

    fn put(&self, key: Arc<ProverKey>) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|known| known.verifier().id() != key.verifier().id());
        keys.push_front(key);
        keys.truncate(AT_HAND);
    }
}

pub(super) fn unknown_key() -> Refusal {
    refuse::refuse(RefusalCode::UnknownKey, "This farmer does not have that audit key: send it first.")
}

fn bad(why: impl std::fmt::Display) -> Refusal {
    refuse::refuse(RefusalCode::BadKey, format!("This audit key is not taken: {why}."))
}

impl Shared {
    /// Takes a key of an owner that has a contract here.
    pub(super) async fn take_key(
        &self,
        worker: Worker,
        owner: OwnerId,
        key: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        if key.len() > AUDIT_KEY_BYTES {
            return Err(bad("it is too long"));
        }
        let farmer = self.parts.store.farmer();
        if farmer.contracts_of(owner).await.map_err(refuse::store)? == 0 {
            return Err(refuse::unknown_contract());
        }
        let kept = farmer.audit_keys_of(owner).await.map_err(refuse::store)?;
        let named = key.get(..VerifierKey::BYTES).and_then(|verifier| VerifierKey::decode(verifier).ok());
        let named = named.map(|verifier| verifier.id()).filter(|id| kept.contains(id));
        if let Some(id) = named
            && self.prover_key(id).await?.is_some_and(|known| known.encode() == key)
        {
            return Ok(Answer::KeyKept);
        }
        if named.is_none() && kept.len() >= AUDIT_KEYS_PER_OWNER {
            return Err(bad("you have too many here"));
        }
        let check = move |_: &_| ProverKey::decode(&key, &mut rand::rng());
        let key = Arc::new(self.checks.run(worker, check).await?.map_err(bad)?);
        let id = key.verifier().id();
        for other in kept {
            let other = self.prover_key(other).await?;
            if other.is_some_and(|other| other.verifier().sectors() != key.verifier().sectors()) {
                return Err(bad("your other keys here are for blocks of another size"));
            }
        }
        let stored = farmer.keep_audit_key(owner, id, key.to_kept(), AUDIT_KEYS_PER_OWNER).await;
        stored.map_err(refuse::store)?;
        self.keys.put(key);
        Ok(Answer::KeyKept)
    }

    /// A key of that name, whoever uses it.
    pub(super) async fn prover_key(&self, id: TagKeyId) -> Result<Option<Arc<ProverKey>>, Refusal> {
        if let Some(key) = self.keys.get(id) {
            return Ok(Some(key));
        }
        let kept = self.parts.store.farmer().audit_key(id).await.map_err(refuse::store)?;
        let Some(kept) = kept else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || ProverKey::from_kept(&kept).ok()).await;
        let key = read.ok().flatten().filter(|key| key.verifier().id() == id).map(Arc::new);
        if let Some(key) = &key {
            self.keys.put(key.clone());
        }
        Ok(key)
    }

    /// What verifiers need for the shards of a contract.
    pub(super) async fn verifier_keys(&self, contract: ContractId) -> Result<Answer, Refusal> {
        let farmer = self.parts.store.farmer();
        let mut keys = Vec::new();
        for id in farmer.tag_keys(contract, MAX_TAG_KEYS as u32).await.map_err(refuse::store)? {
            let key = self.prover_key(id).await?.ok_or_else(unknown_key)?;
            keys.push(key.verifier().encode().to_vec());
        }
        Ok(Answer::AuditKeys(keys))
    }
}
