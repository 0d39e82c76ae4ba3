//! What others are told: verdicts and receipts to owner and farmer of a contract; a farmer's record, and this auditor's own,
//! to anybody.

use hayloft_core::{
    ContractId, DeviceId, ShardId,
    audit::Epoch,
    record::{AuditorRecord, SignedAuditorRecord},
};
use hayloft_net::{
    Inbound,
    limits::{SHARDS_PER_PAGE, VERDICTS_PER_PAGE},
    messages::{Answer, Refusal, RefusalCode},
};
use hayloft_store::auditor::AuditorError;

use super::{Shared, refusal};
use crate::farmer::refuse;

/// The protocol that this release speaks.
const PROTOCOL: u16 = 1;
/// How long a record counts: others ask again long before.
const RECORD_SECONDS: u64 = 600;

impl Shared {
    /// This auditor's record, freshly signed. It takes new contracts while there is room in its books.
    pub(super) async fn record(&self, operator: Option<String>) -> Result<SignedAuditorRecord, Refusal> {
        let (contracts, shards) = self.parts.store.auditor().figures(None).await.map_err(refusal)?;
        let now = self.parts.clock.now();
        let record = AuditorRecord {
            network: self.parts.network.clone(),
            device: self.parts.device.id(),
            protocol: PROTOCOL,
            accepting: contracts < self.bounds.contracts && shards < self.bounds.shards,
            shortest_epoch: self.shortest_epoch(),
            operator,
            at: now,
            expires: now.plus_seconds(RECORD_SECONDS),
        };
        Ok(record.sign(&self.parts.device))
    }

    /// Whether the asking device belongs to a followed contract's owner, or is its farmer.
    async fn admit(&self, inbound: &Inbound, contract: ContractId) -> Result<(), Refusal> {
        let followed = self.parts.store.auditor().followed(contract).await.map_err(refusal)?;
        let followed = followed.ok_or_else(|| refusal(AuditorError::NotFollowed))?;
        let terms = &followed.terms.terms;
        if inbound.from == terms.farmer || self.owner_of(inbound)? == terms.owner {
            return Ok(());
        }
        // Not "not allowed": who stores with whom is nobody else's business.
        Err(refusal(AuditorError::NotFollowed))
    }

    pub(super) async fn verdicts(
        &self,
        inbound: &Inbound,
        contract: ContractId,
        before: Option<Epoch>,
    ) -> Result<Answer, Refusal> {
        self.admit(inbound, contract).await?;
        let most = 1 + VERDICTS_PER_PAGE as u32;
        let judged = self.parts.store.auditor().verdicts(contract, before, most).await.map_err(refusal)?;
        let more = judged.len() > VERDICTS_PER_PAGE;
        let verdicts = judged.into_iter().take(VERDICTS_PER_PAGE).map(|one| (one.judgement, one.receipt));
        Ok(Answer::Verdicts { verdicts: verdicts.collect(), more })
    }

    pub(super) async fn receipt(
        &self,
        inbound: &Inbound,
        contract: ContractId,
        epoch: Epoch,
    ) -> Result<Answer, Refusal> {
        self.admit(inbound, contract).await?;
        let store = self.parts.store.auditor();
        let none =
            || refuse::refuse(RefusalCode::UnknownContract, "There is no receipt of that epoch any more.");
        let (number, receipt) = store.receipt(contract, epoch).await.map_err(refusal)?.ok_or_else(none)?;
        let (revision, _) = store.revision(contract, number).await.map_err(refusal)?.ok_or_else(none)?;
        Ok(Answer::Receipt { revision: Box::new(revision), receipt })
    }

    pub(super) async fn revision_shards(
        &self,
        inbound: &Inbound,
        contract: ContractId,
        number: u64,
        after: Option<ShardId>,
    ) -> Result<Answer, Refusal> {
        self.admit(inbound, contract).await?;
        let kept = self.parts.store.auditor().revision(contract, number).await.map_err(refusal)?;
        let (_, shards) = kept.ok_or_else(|| refusal(AuditorError::NotFollowed))?;
        let first = after.map_or(0, |after| shards.partition_point(|shard| shard.id <= after));
        let page: Vec<_> = shards[first..].iter().take(SHARDS_PER_PAGE).cloned().collect();
        let more = first + page.len() < shards.len();
        Ok(Answer::Shards { shards: page, more })
    }

    pub(super) async fn standing(&self, farmer: DeviceId) -> Result<Answer, Refusal> {
        let store = self.parts.store.auditor();
        let known = store.farmer(farmer).await.map_err(refusal)?;
        let (contracts, bytes) = store.kept_by(farmer).await.map_err(refusal)?;
        Ok(Answer::Standing(known.map(|known| Box::new(known.record.account(contracts, bytes)))))
    }
}
