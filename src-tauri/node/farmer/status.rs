//! The farmer as its person sees it.

use hayloft_store::farmer::{Contract, Figures};

use super::{Farmer, contracts::ends, leaving, offer};
use crate::{
    errors,
    model::{ApiError, FarmContract, FarmSettings, FarmStatus},
};

impl Farmer {
    /// Settings, figures, contracts, and whether and why not new data is taken.
    ///
    /// # Errors
    /// [`ApiError`] if the store fails.
    pub(crate) async fn status(&self) -> Result<FarmStatus, ApiError> {
        let settings = self.settings();
        let store = self.shared.parts.store.farmer();
        let figures: Figures = store.figures(&offer::limits(&settings)).await.map_err(errors::farm)?;
        let now = self.shared.parts.clock.now();
        let leaves = self.shared.leaves();
        let reason = offer::accepting(&settings, leaves, &figures, now, &self.shared.zone).err();
        let contracts = store.contracts().await.map_err(errors::farm)?;
        Ok(FarmStatus {
            used_bytes: figures.used_bytes,
            reserved_bytes: figures.reserved_bytes,
            free_bytes: figures.free_bytes,
            overhead_bytes: figures.overhead_bytes,
            disk_free_bytes: figures.disk_free_bytes,
            accepting: reason.is_none(),
            reason: reason.map(|reason| reason.to_string()),
            leaving: leaves.map(|until| leaving::status(until, now, &contracts)),
            contracts: contracts.iter().filter(|contract| contract.shards > 0).map(shown).collect(),
            scrub: self.shared.scrub_status().await?,
            standings: self.shared.standings(),
            folder: store.folder(),
            settings,
        })
    }

    /// Whether the disk has room for what is to be offered, on top of what must stay free. The quota in force may stay
    /// as it is, however full the disk has become.
    ///
    /// # Errors
    /// [`ApiError`] with what could be offered at most.
    pub(crate) async fn check_room(&self, wanted: &FarmSettings) -> Result<(), ApiError> {
        let settings = self.settings();
        if wanted.folder != settings.folder
            || (settings.enabled && wanted.quota_bytes <= settings.quota_bytes)
        {
            return Ok(());
        }
        let figures =
            self.shared.parts.store.farmer().figures(&offer::limits(wanted)).await.map_err(errors::farm)?;
        let room =
            figures.disk_free_bytes.saturating_sub(figures.guard_bytes).saturating_add(figures.used_bytes);
        if wanted.quota_bytes <= room {
            return Ok(());
        }
        Err(ApiError::bad_request(format!(
            "The disk has no room for {}: at most {} can be offered, because {} must stay free.",
            errors::size(wanted.quota_bytes),
            errors::size(room),
            errors::size(figures.guard_bytes)
        )))
    }
}

fn shown(contract: &Contract) -> FarmContract {
    let (end, delete_after) = ends(contract);
    FarmContract {
        contract: contract.id.to_string(),
        owner: contract.terms.terms.owner.to_string(),
        shards: contract.shards,
        bytes: contract.bytes,
        capacity_bytes: contract.revision.as_ref().map_or(0, |newest| newest.revision.capacity_bytes),
        start: contract.terms.terms.start.0,
        end: end.0,
        delete_after: delete_after.0,
    }
}
