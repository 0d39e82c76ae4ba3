//! Owners tell of contracts to be followed. All they say is signed by the farmer too, or follows from what is: a stranger
//! can make this auditor follow only what a farmer agreed to have audited by it.

use hayloft_core::{
    OwnerId,
    auditor::follow::State,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};
use hayloft_net::{
    Inbound,
    messages::{Answer, Followed as Told, Refusal, RefusalCode},
};
use hayloft_store::auditor::{AuditorError, Followed};

use super::{
    Shared, asking,
    case::{Case, CatchUp, subject},
    refusal,
};
use crate::farmer::refuse;

impl Shared {
    pub(super) async fn follow(&self, inbound: &Inbound, told: Told) -> Result<Answer, Refusal> {
        let owner = self.owner_of(inbound)?;
        self.check(&told, owner)?;
        let number = told.revision.revision.number;
        let contract = told.terms.terms.id();
        let _one_at_a_time = self.lock(contract).await;
        let store = self.parts.store.auditor();
        let known = match store.followed(contract).await.map_err(refusal)? {
            None => {
                self.begin(told).await?;
                number
            }
            Some(followed) if followed.revision.revision.number >= number => {
                followed.revision.revision.number
            }
            Some(followed) => {
                let listed = store.revision(contract, followed.revision.revision.number).await;
                let (_, shards) =
                    listed.map_err(refusal)?.unwrap_or_else(|| (followed.revision.clone(), vec![]));
                let origin = store.origin(contract).await.map_err(refusal)?;
                let mut case = Case { followed, shards, origin };
                self.take_over(&mut case, told.revision, told.shards).await.map_err(refused)?;
                number
            }
        };
        self.wake.notify_one();
        Ok(Answer::Following { number: known })
    }

    /// Everything that can be told without the shards.
    fn check(&self, told: &Told, owner: OwnerId) -> Result<(), Refusal> {
        let (SignedTerms { terms, .. }, revision) = (&told.terms, &told.revision.revision);
        let allowed = terms.owner == owner && terms.auditor == Some(self.parts.device.id());
        let wrong = |sentence: &str| refuse::refuse(RefusalCode::BadRequest, sentence);
        if !allowed {
            let sentence = "The terms are another owner's, or name another auditor.";
            return Err(refuse::refuse(RefusalCode::NotAllowed, sentence));
        }
        if terms.network != self.parts.network || revision.contract != terms.id() {
            return Err(wrong("The revision is of another contract, or the contract of another network."));
        }
        told.terms.verify().map_err(|error| refuse::terms(&error))?;
        told.revision.verify(terms).map_err(|error| refuse::revision(&error))?;
        if terms.epoch_seconds < self.shortest_epoch() {
            return Err(wrong("The contract's epochs are too short for this auditor."));
        }
        if revision.end.plus_seconds(terms.grace_seconds) <= self.parts.clock.now() {
            return Err(refuse::refuse(RefusalCode::UnknownContract, "The contract is over."));
        }
        Ok(())
    }

    /// Follows a contract of this auditor's own.
    pub(super) async fn follow_own(
        &self,
        terms: SignedTerms,
        revision: SignedRevision,
        shards: &[ShardEntry],
    ) -> Result<(), AuditorError> {
        let _one_at_a_time = self.lock(terms.terms.id()).await;
        self.parts.store.auditor().follow(&self.followed(terms, revision), shards, self.bounds).await
    }

    async fn begin(&self, told: Told) -> Result<(), Refusal> {
        let given = told.shards.filter(|given| asking::fits(given, &told.revision.revision));
        let followed = self.followed(told.terms, told.revision);
        let shards = match asking::following(None, &followed.revision.revision).or(given) {
            Some(shards) => shards,
            None => self.shards_of(&followed).await?,
        };
        self.parts.store.auditor().follow(&followed, &shards, self.bounds).await.map_err(refusal)
    }

    /// A contract as the books have it when it is new.
    fn followed(&self, terms: SignedTerms, revision: SignedRevision) -> Followed {
        let state = State::new(&terms.terms, self.parts.clock.now());
        let until = revision.revision.end.plus_seconds(terms.terms.grace_seconds);
        let contract = terms.terms.id();
        let mut followed = Followed { contract, terms, revision, keys: Vec::new(), state, due: None, until };
        followed.due = followed.state.due(&subject(&followed));
        followed
    }

    /// The list is asked of the farmer only if there is room for it.
    async fn shards_of(&self, followed: &Followed) -> Result<Vec<ShardEntry>, Refusal> {
        let owner = followed.terms.terms.owner;
        let (_, listed) = self.parts.store.auditor().figures(Some(owner)).await.map_err(refusal)?;
        if listed.saturating_add(followed.revision.revision.shards) > self.bounds.shards_per_owner {
            return Err(refusal(hayloft_store::auditor::AuditorError::OwnersShare));
        }
        let shards = self.asking(followed).shards(&followed.revision.revision).await;
        shards.map_err(|error| refused(CatchUp::Net(error)))
    }

    /// The owner whose certificate names the very device at the other end of the connection.
    pub(super) fn owner_of(&self, inbound: &Inbound) -> Result<OwnerId, Refusal> {
        let certificate = inbound.envelope.certificate.as_ref().ok_or_else(|| refuse::not_allowed(None))?;
        let owner = certificate.verify(&self.parts.network, &inbound.from, self.parts.clock.now());
        owner.map_err(|error| refuse::not_allowed(Some(error)))
    }
}

fn refused(error: CatchUp) -> Refusal {
    match error {
        CatchUp::Books(error) => refusal(error),
        CatchUp::Net(error) => {
            tracing::debug!(%error, "a contract's shards could not be had from its farmer");
            let sentence = "The farmer does not give the contract's shards just now: say it again later.";
            refuse::refuse(RefusalCode::Busy, sentence)
        }
    }
}
