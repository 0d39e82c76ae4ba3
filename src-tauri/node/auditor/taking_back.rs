//! Taking vetting data back from a farmer that leaves, with one last revision that removes all of it, as any owner would who moves
//! its files away.
//!
//! Invariant: whatever dies in between, it is done again at the next look: a farmer that has signed shows the last revision, and
//! the planting is forgotten only once this auditor follows that one.

use hayloft_core::{
    DeviceId,
    auditor::vetting::VettingSeed,
    contract::{Change, ShardEntry, SignedRevision, SignedTerms, State, propose},
};
use hayloft_store::{auditor::AuditorError, plantings::Planting};

use super::{
    Shared,
    case::{Case, CatchUp},
    planting::{Hand, Unplanted},
};

impl Hand {
    /// Whether the farmer says that it leaves. One that says nothing stays.
    pub(super) async fn leaves(&self, farmer: DeviceId) -> bool {
        let said = self.wire.offer(farmer).await.ok().flatten();
        said.is_some_and(|signed| {
            let record = &signed.record;
            record.device == farmer && record.leaves.is_some()
        })
    }
}

impl Shared {
    /// Takes a planting back. A farmer that does not let it happen now is asked again at the next look.
    pub(super) async fn take_back(
        &self,
        seed: &VettingSeed,
        planting: &Planting,
        hand: &Hand,
    ) -> Result<(), AuditorError> {
        let gone = async {
            let last = self.last_revision(seed, planting, hand).await?;
            crash_point!(PlantingTakenBack);
            self.follow_last(planting, last).await?;
            crash_point!(LastRevisionFollowed);
            Ok(())
        };
        match gone.await {
            Ok(()) => self.parts.store.auditor().forget_planting(planting.id).await,
            Err(Unplanted::Books(AuditorError::Database(error))) => Err(error.into()),
            Err(error) => {
                tracing::debug!(farmer = %planting.terms.farmer, %error, "vetting data could not be taken back");
                Ok(())
            }
        }
    }

    /// The revision, signed by both, after which the farmer keeps nothing of a planting.
    async fn last_revision(
        &self,
        seed: &VettingSeed,
        planting: &Planting,
        hand: &Hand,
    ) -> Result<SignedRevision, Unplanted> {
        let Hand { persona, wire, .. } = hand;
        let (farmer, contract) = (planting.terms.farmer, planting.terms.id());
        let (terms, newest) = wire.contract(farmer, contract).await?;
        let newest = newest.ok_or(Unplanted::Wrong)?;
        let mut entries: Vec<ShardEntry> = Vec::new();
        if newest.revision.shards > 0 {
            for index in 0..persona.shards {
                entries.push(self.made(seed, planting, persona, index).await?.entry);
            }
        }
        let removed = entries.iter().map(|entry| entry.id).collect();
        let state = loaded(planting, terms, &newest, entries)?;
        if newest.revision.shards == 0 {
            return Ok(newest);
        }
        let change = Change { removed, ..Change::default() };
        let revision = propose(&state, change, self.parts.clock.now()).map_err(|_| Unplanted::Wrong)?;
        let owner = revision.sign_as_owner(&planting.terms, &persona.owner);
        let farmer = wire.revise(farmer, revision.clone(), owner).await?;
        let signed = SignedRevision { revision, owner, farmer };
        signed.verify(&planting.terms).map_err(|_| Unplanted::Wrong)?;
        Ok(signed)
    }

    /// Follows the last revision, under which nothing is audited.
    async fn follow_last(&self, planting: &Planting, last: SignedRevision) -> Result<(), Unplanted> {
        let (contract, number) = (planting.terms.id(), last.revision.number);
        let _one_at_a_time = self.lock(contract).await;
        let store = self.parts.store.auditor();
        let Some(followed) = store.followed(contract).await? else { return Ok(()) };
        if followed.revision.revision.number >= number {
            return Ok(());
        }
        let listed = store.revision(contract, followed.revision.revision.number).await?;
        let (_, shards) = listed.unwrap_or_else(|| (followed.revision.clone(), Vec::new()));
        let origin = store.origin(contract).await?;
        let mut case = Case { followed, shards, origin };
        match self.take_over(&mut case, last, Some(Vec::new())).await {
            Ok(()) => Ok(()),
            Err(CatchUp::Net(error)) => Err(error.into()),
            Err(CatchUp::Books(error)) => Err(error.into()),
        }
    }
}

/// The contract as its farmer shows it, if it is what was planted.
fn loaded(
    planting: &Planting,
    terms: SignedTerms,
    newest: &SignedRevision,
    entries: Vec<ShardEntry>,
) -> Result<State, Unplanted> {
    if terms.terms != planting.terms {
        return Err(Unplanted::Wrong);
    }
    State::load(terms, Some(newest), entries).map_err(|_| Unplanted::Wrong)
}
