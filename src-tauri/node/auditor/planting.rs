//! Storing vetting data with a farmer, as any owner would: terms, key, shards with their tags, one revision. What was done before
//! is found again and not done twice.

use std::sync::Arc;

use hayloft_core::{
    DeviceId,
    auditor::vetting::{Persona, Planted, VettingSeed},
    contract::{Change, ShardEntry, SignedRevision, SignedTerms, State, apply_signed, propose, quota_bytes},
    record::DeviceCertificate,
};
use hayloft_net::{Net, NetError, StartError};
use hayloft_store::{auditor::AuditorError, plantings::Planting};

use super::{Shared, asking};
use crate::{identity::off_the_runtime, model::ApiError, owner::wire::Wire};

/// Why a planting came to nothing for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unplanted {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the farmer signs or shows something else")]
    Wrong,
    #[error(transparent)]
    Books(#[from] AuditorError),
    #[error(transparent)]
    Inside(#[from] ApiError),
}

/// A planting at work: who stores it, and how it talks to its farmer.
pub(super) struct Hand {
    pub(super) persona: Arc<Persona>,
    pub(super) net: Net,
    pub(super) wire: Wire,
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.net.stop();
    }
}

impl Shared {
    /// Stores a planting, or what is missing of it, and follows it.
    pub(super) async fn plant(&self, seed: &VettingSeed, planting: &Planting) -> Result<(), Unplanted> {
        let hand = self.hand(seed, planting).await?;
        let planted = self.plant_by(&hand, seed, planting).await;
        hand.net.shutdown().await;
        let (signed, revision, shards) = planted?;
        let until = revision.revision.end.plus_seconds(planting.terms.grace_seconds);
        match self.follow_own(signed, revision, &shards).await {
            Ok(()) | Err(AuditorError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
        crash_point!(PlantingFollowed);
        self.parts.store.auditor().planted(planting.id, until).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// The planting at work.
    pub(super) async fn hand(&self, seed: &VettingSeed, planting: &Planting) -> Result<Hand, Unplanted> {
        let (network, now) = (&self.parts.network, self.parts.clock.now());
        let persona = seed.persona(network, &planting.id, self.parts.sectors);
        let device = persona.device.id();
        let seconds = persona.seconds.saturating_mul(2);
        let certificate =
            DeviceCertificate::issue(&persona.owner, network, device, planting.terms.start.min(now), seconds);
        let net = self.parts.net.under_another_name(&persona.device, planting.terms.farmer).await?;
        let wire = Wire::new(net.clone(), certificate);
        Ok(Hand { persona: Arc::new(persona), net, wire })
    }

    async fn plant_by(
        &self,
        hand: &Hand,
        seed: &VettingSeed,
        planting: &Planting,
    ) -> Result<(SignedTerms, SignedRevision, Vec<ShardEntry>), Unplanted> {
        let (terms, wire, persona) = (&planting.terms, &hand.wire, &hand.persona);
        let (farmer, contract) = (terms.farmer, terms.id());
        let signed = wire.agree(farmer, terms.clone(), terms.sign_as_owner(&persona.owner)).await?;
        if signed.terms != *terms {
            return Err(Unplanted::Wrong);
        }
        crash_point!(PlantingAgreed);
        let state = State::new(signed.clone()).map_err(|_| Unplanted::Wrong)?;
        let key = persona.clone();
        let key = off_the_runtime(move || Ok(key.audit.prover_key().encode())).await?;
        wire.audit_key(farmer, key).await?;
        let (_, known) = wire.contract(farmer, contract).await?;
        let mut entries = Vec::new();
        for index in 0..persona.shards {
            let Planted { entry, bytes } = self.made(seed, planting, persona, index).await?;
            if known.is_none() {
                send(hand, planting, &entry, bytes).await?;
                crash_point!(PlantingSent);
            }
            entries.push(entry);
        }
        entries.sort_by_key(|entry| entry.id);
        let revision = match known {
            // It had signed before this node died.
            Some(known) => known,
            None => {
                let end = terms.start.plus_seconds(persona.seconds);
                let bytes = entries.iter().map(|entry| entry.bytes).sum();
                let (capacity_bytes, end, added) = (Some(bytes), Some(end), entries.clone());
                let change = Change { capacity_bytes, end, added, removed: Vec::new() };
                let revision =
                    propose(&state, change, self.parts.clock.now()).map_err(|_| Unplanted::Wrong)?;
                let owner = revision.sign_as_owner(terms, &persona.owner);
                let farmer = wire.revise(farmer, revision.clone(), owner).await?;
                crash_point!(PlantingSigned);
                SignedRevision { revision, owner, farmer }
            }
        };
        let fits = revision.revision.number == 0 && asking::fits(&entries, &revision.revision);
        let follows = apply_signed(&state, &revision, self.parts.clock.now()).is_ok();
        if fits && follows { Ok((signed, revision, entries)) } else { Err(Unplanted::Wrong) }
    }

    /// A shard, made off the async workers.
    pub(super) async fn made(
        &self,
        seed: &VettingSeed,
        planting: &Planting,
        persona: &Arc<Persona>,
        index: u64,
    ) -> Result<Planted, Unplanted> {
        let (seed, network, id, persona) =
            (seed.clone(), self.parts.network.clone(), planting.id, persona.clone());
        Ok(off_the_runtime(move || Ok(seed.shard(&network, &id, &persona, index))).await?)
    }
}

/// Sends a shard with its tags, or what is missing of it.
async fn send(hand: &Hand, planting: &Planting, entry: &ShardEntry, bytes: Vec<u8>) -> Result<(), Unplanted> {
    let (farmer, contract): (DeviceId, _) = (planting.terms.farmer, planting.terms.id());
    let (persona, id) = (hand.persona.clone(), entry.id);
    let all = off_the_runtime(move || {
        let tags = persona.tags(id, &bytes);
        Ok([bytes, tags].concat())
    });
    let all = all.await?;
    let tag_bytes = all.len() as u64 - entry.bytes;
    hand.wire.reserve(farmer, contract, quota_bytes(all.len() as u64)).await?;
    let mut upload = hand.wire.upload(farmer, contract, id, entry.bytes, tag_bytes).await?;
    let have = usize::try_from(upload.have()).unwrap_or(usize::MAX).min(all.len());
    upload.send(&all[have..]).await?;
    let hash = upload.finish().await?;
    if hash == *blake3::hash(&all).as_bytes() { Ok(()) } else { Err(Unplanted::Wrong) }
}
