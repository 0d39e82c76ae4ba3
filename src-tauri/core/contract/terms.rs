//! Terms: their id, their signatures, and what a farmer checks before it signs.

use super::{SignedTerms, Terms};
use crate::{
    Amount, ContractId, DeviceId, NetworkName, Signature, Timestamp, codec,
    keys::{BadSignature, DeviceKey, OwnerKey},
};

const VERSION: u8 = 1;
const BY_OWNER: &str = "contract terms by owner";
const BY_FARMER: &str = "contract terms by farmer";

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The shortest grace after a contract's end.
pub const MIN_GRACE_SECONDS: u64 = 30 * DAY_SECONDS;
/// The longest grace that a farmer signs.
pub const MAX_GRACE_SECONDS: u64 = 366 * DAY_SECONDS;
/// How far a contract's start may lie from the farmer's clock when it signs.
pub const START_TOLERANCE_SECONDS: u64 = 60 * 60;

/// The shortest epoch that is usual: each is an audit.
pub const MIN_EPOCH_SECONDS: u32 = 60;
const MAX_EPOCH_SECONDS: u32 = 31 * DAY_SECONDS as u32;
const WHOLE_PPM: u32 = 1_000_000;

/// What a farmer would sign now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermsOffered {
    /// The network it farms on.
    pub network: NetworkName,
    /// The farmer itself.
    pub farmer: DeviceId,
    /// The least it takes per TB-month.
    pub storage_price: Amount,
    /// The least it takes per TB served.
    pub egress_price: Amount,
    /// The shortest epoch it takes: [`MIN_EPOCH_SECONDS`], but for tests.
    pub shortest_epoch_seconds: u32,
}

/// Why terms are not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// They are for another network.
    #[error("the terms are for another network")]
    WrongNetwork,
    /// They name another farmer.
    #[error("the terms name another farmer")]
    WrongFarmer,
    /// They begin too far from now.
    #[error("the terms begin too far from now: one of the two clocks is wrong")]
    StartTooFar,
    /// An epoch is too short or too long.
    #[error("an epoch lasts between a minute and 31 days")]
    BadEpoch,
    /// More than all audits would have to pass.
    #[error("the share of audits that must pass is more than the whole")]
    BadAuditShare,
    /// The grace after the end is too short or too long.
    #[error("the grace after the end lasts between 30 and 366 days")]
    BadGrace,
    /// Less is paid than the farmer asks.
    #[error("the farmer asks for {asked}, the terms say {offered}")]
    PriceTooLow {
        /// What the farmer asks.
        asked: Amount,
        /// What the terms say.
        offered: Amount,
    },
    /// Nothing is paid, yet there is an escrow to settle.
    #[error("a contract without a price has no escrow")]
    NothingToSettle,
    /// The auditor is the farmer itself.
    #[error("a farmer does not audit itself")]
    AuditsItself,
    /// The owner did not sign them.
    #[error("the owner's signature under the terms does not fit")]
    BadOwnerSignature,
    /// The farmer did not sign them.
    #[error("the farmer's signature under the terms does not fit")]
    BadFarmerSignature,
}

impl Terms {
    /// The contract's id: BLAKE3 of the terms' encoding.
    pub fn id(&self) -> ContractId {
        ContractId(*blake3::hash(&codec::encode(VERSION, self)).as_bytes())
    }

    /// The owner's signature.
    pub fn sign_as_owner(&self, key: &OwnerKey) -> Signature {
        key.sign(BY_OWNER, &self.network, VERSION, self)
    }

    /// The farmer's signature.
    pub fn sign_as_farmer(&self, key: &DeviceKey) -> Signature {
        key.sign(BY_FARMER, &self.network, VERSION, self)
    }

    /// Whether the owner named here signed.
    ///
    /// # Errors
    /// [`TermsError::BadOwnerSignature`].
    pub fn verify_owner(&self, signature: &Signature) -> Result<(), TermsError> {
        let signed = self.owner.verify(BY_OWNER, &self.network, VERSION, self, signature);
        signed.map_err(|BadSignature| TermsError::BadOwnerSignature)
    }

    /// Whether the farmer named here signed.
    ///
    /// # Errors
    /// [`TermsError::BadFarmerSignature`].
    pub fn verify_farmer(&self, signature: &Signature) -> Result<(), TermsError> {
        let signed = self.farmer.verify(BY_FARMER, &self.network, VERSION, self, signature);
        signed.map_err(|BadSignature| TermsError::BadFarmerSignature)
    }
}

impl SignedTerms {
    /// Whether both sides signed.
    ///
    /// # Errors
    /// [`TermsError`] names the side that did not.
    pub fn verify(&self) -> Result<(), TermsError> {
        self.terms.verify_owner(&self.owner)?;
        self.terms.verify_farmer(&self.farmer)
    }
}

/// Whether a farmer may sign these terms: all but the owner's signature, see [`Terms::verify_owner`].
///
/// An escrow is not demanded of a contract with a price: whether one is there and funded only the ledger can tell.
///
/// # Errors
/// The first [`TermsError`] found.
pub fn check_terms(terms: &Terms, offered: &TermsOffered, now: Timestamp) -> Result<(), TermsError> {
    let free = terms.storage_price == Amount(0) && terms.egress_price == Amount(0);
    if terms.network != offered.network {
        return Err(TermsError::WrongNetwork);
    }
    if terms.farmer != offered.farmer {
        return Err(TermsError::WrongFarmer);
    }
    if terms.start.0.abs_diff(now.0) > START_TOLERANCE_SECONDS {
        return Err(TermsError::StartTooFar);
    }
    if !(offered.shortest_epoch_seconds.max(1)..=MAX_EPOCH_SECONDS).contains(&terms.epoch_seconds) {
        return Err(TermsError::BadEpoch);
    }
    if terms.audit_share_ppm > WHOLE_PPM {
        return Err(TermsError::BadAuditShare);
    }
    if !(MIN_GRACE_SECONDS..=MAX_GRACE_SECONDS).contains(&terms.grace_seconds) {
        return Err(TermsError::BadGrace);
    }
    if free && terms.escrow.is_some() {
        return Err(TermsError::NothingToSettle);
    }
    if terms.auditor == Some(terms.farmer) {
        return Err(TermsError::AuditsItself);
    }
    at_least(terms.storage_price, offered.storage_price)?;
    at_least(terms.egress_price, offered.egress_price)
}

fn at_least(offered: Amount, asked: Amount) -> Result<(), TermsError> {
    if offered < asked { Err(TermsError::PriceTooLow { asked, offered }) } else { Ok(()) }
}
