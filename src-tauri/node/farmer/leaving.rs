//! Leaving gracefully: nothing new is taken, the record says until when this farmer stays, and what is kept is served until
//! its owners have moved it.
//!
//! Invariant: leaving deletes nothing: owners remove their shards, or contracts end. Deliberately absent: what owners do about
//! it.

use std::collections::BTreeSet;

use hayloft_core::Timestamp;
use hayloft_store::farmer::Contract;

use super::{Farmer, Shared};
use crate::{
    errors,
    model::{ApiError, LeavingStatus},
};

impl Farmer {
    /// Whether there is anything to leave.
    ///
    /// # Errors
    /// [`ApiError`] if this node offers no space and keeps nothing.
    pub(crate) async fn check_leave(&self) -> Result<(), ApiError> {
        let contracts = self.shared.parts.store.farmer().contracts().await.map_err(errors::farm)?;
        if self.settings().enabled || contracts.iter().any(|contract| contract.shards > 0) {
            return Ok(());
        }
        Err(ApiError::bad_request(
            "This computer offers no space and keeps nothing for others: there is nothing to leave.",
        ))
    }

    /// Stays until then and leaves; or stays.
    pub(crate) async fn leave(&self, leaves: Option<Timestamp>) {
        self.shared.leaves.send_replace(leaves);
        self.apply().await;
        self.shared.changed();
    }
}

impl Shared {
    pub(super) fn leaves(&self) -> Option<Timestamp> {
        *self.leaves.borrow()
    }
}

/// How far a farmer has left that stays until then.
pub(super) fn status(until: Timestamp, now: Timestamp, contracts: &[Contract]) -> LeavingStatus {
    let kept = || contracts.iter().filter(|contract| contract.shards > 0);
    let owners = kept().map(|contract| contract.terms.terms.owner).collect::<BTreeSet<_>>().len() as u64;
    let sentence = match owners {
        0 => "All that was kept here has been moved: this computer need not stay.".to_owned(),
        _ if now >= until => "The time to move what is left is over: this computer need not stay.".to_owned(),
        1 => "1 owner has not yet moved all it keeps here.".to_owned(),
        owners => format!("{owners} owners have not yet moved all they keep here."),
    };
    LeavingStatus {
        until: until.0,
        owners,
        shards: kept().map(|contract| contract.shards).sum(),
        bytes: kept().map(|contract| contract.bytes).sum(),
        sentence,
    }
}
