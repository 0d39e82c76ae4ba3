//! What devices say about themselves, signed: a farmer's offer, an auditor's record, and an owner's certificate for a device.
//!
//! Verifying checks everything: network, who signs, times against one's own clock, lengths, and the signature by the
//! strict rules. Vectors: `tests/vectors/record.json`.

mod auditor;

use serde::{Deserialize, Serialize};

pub use self::auditor::{AuditorRecord, SignedAuditorRecord};

use crate::{
    Amount, DeviceId, NetworkName, OwnerId, Signature, Timestamp,
    keys::{BadSignature, DeviceKey, OwnerKey},
};

const VERSION: u8 = 1;
const FARMER_RECORD: &str = "farmer record";
const DEVICE_CERTIFICATE: &str = "device certificate";

/// Bytes of an announced operator's name.
pub const MAX_OPERATOR_BYTES: usize = 64;
/// How long a farmer's record counts at most.
pub const MAX_RECORD_SECONDS: u64 = 60 * 60;
/// How long a device's certificate counts at most.
pub const MAX_CERTIFICATE_SECONDS: u64 = 400 * 24 * 60 * 60;
/// How far ahead of one's own clock a signer's may be.
pub const CLOCK_TOLERANCE_SECONDS: u64 = 10 * 60;

/// Why a signed record does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// For another network.
    #[error("it is for another network")]
    WrongNetwork,
    /// About another device than the one that showed it.
    #[error("it names another device")]
    WrongDevice,
    /// Signed by a clock that runs ahead.
    #[error("it begins in the future: one of the two clocks is wrong")]
    NotYet,
    /// No longer valid.
    #[error("it has expired")]
    Expired,
    /// Valid for longer than is allowed, or for no time at all.
    #[error("it claims to hold for too long or for no time at all")]
    BadSpan,
    /// The operator's name is empty or too long.
    #[error("the operator's name is empty or longer than {MAX_OPERATOR_BYTES} bytes")]
    BadOperator,
    /// The country is not two capital letters.
    #[error("the country is not two capital letters")]
    BadCountry,
    /// Not signed by whom it names.
    #[error("the signature does not fit")]
    BadSignature,
}

impl From<BadSignature> for RecordError {
    fn from(BadSignature: BadSignature) -> Self {
        Self::BadSignature
    }
}

/// A farmer's offer, freshly signed whenever somebody asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarmerRecord {
    /// The network the offer is for.
    pub network: NetworkName,
    /// Who offers.
    pub device: DeviceId,
    /// The newest farmer protocol it speaks.
    pub protocol: u16,
    /// Whether it takes new data now: not paused, within its hours, disk and quota not full.
    pub accepting: bool,
    /// Bytes it would still take.
    pub free_bytes: u64,
    /// Stroops per TB (10¹² bytes) and month (30 days) kept; 0 is allowed.
    pub storage_price: Amount,
    /// Stroops per TB (10¹² bytes) served; 0 is allowed.
    pub egress_price: Amount,
    /// Announced operator: farmers of one operator are one failure group. At most 64 bytes.
    pub operator: Option<String>,
    /// Announced country, ISO 3166-1 alpha-2: it may merge groups, never split them.
    pub country: Option<[u8; 2]>,
    /// Until when it stays, if it leaves: whoever keeps shards with it moves them.
    pub leaves: Option<Timestamp>,
    /// When it was signed.
    pub at: Timestamp,
    /// When it stops counting.
    pub expires: Timestamp,
}

/// A [`FarmerRecord`] with its farmer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedFarmerRecord {
    /// What is signed.
    pub record: FarmerRecord,
    /// By the record's device.
    pub signature: Signature,
}

/// An owner's word that a device acts for it, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCertificate {
    /// The network it holds on.
    pub network: NetworkName,
    /// Who certifies.
    pub owner: OwnerId,
    /// The device that may act for the owner.
    pub device: DeviceId,
    /// Valid from.
    pub from: Timestamp,
    /// Valid until.
    pub until: Timestamp,
    /// By the owner, over all of the above.
    pub signature: Signature,
}

impl FarmerRecord {
    /// The record signed by its farmer.
    pub fn sign(self, key: &DeviceKey) -> SignedFarmerRecord {
        let signature = key.sign(FARMER_RECORD, &self.network, VERSION, &self);
        SignedFarmerRecord { record: self, signature }
    }
}

impl SignedFarmerRecord {
    /// The record, if it counts at `now` on `network` as the word of `device`, the peer that showed it.
    ///
    /// # Errors
    /// The first [`RecordError`] found.
    pub fn verify(
        &self,
        network: &NetworkName,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<&FarmerRecord, RecordError> {
        let record = &self.record;
        let FarmerRecord { operator, at, expires, .. } = record;
        let shown =
            Shown { network: &record.network, device: &record.device, operator, at: *at, expires: *expires };
        shown.check(network, device, now)?;
        if record.country.is_some_and(|country| !country.iter().all(u8::is_ascii_uppercase)) {
            return Err(RecordError::BadCountry);
        }
        record.device.verify(FARMER_RECORD, network, VERSION, record, &self.signature)?;
        Ok(record)
    }
}

/// What every record has that a device shows of itself.
struct Shown<'a> {
    network: &'a NetworkName,
    device: &'a DeviceId,
    operator: &'a Option<String>,
    at: Timestamp,
    expires: Timestamp,
}

impl Shown<'_> {
    /// All but the signature.
    fn check(&self, network: &NetworkName, device: &DeviceId, now: Timestamp) -> Result<(), RecordError> {
        if self.network != network {
            return Err(RecordError::WrongNetwork);
        }
        if self.device != device {
            return Err(RecordError::WrongDevice);
        }
        check_span(self.at, self.expires, MAX_RECORD_SECONDS, now)?;
        if self.operator.as_ref().is_some_and(|name| !(1..=MAX_OPERATOR_BYTES).contains(&name.len())) {
            return Err(RecordError::BadOperator);
        }
        Ok(())
    }
}

impl DeviceCertificate {
    /// The owner's word that `device` acts for it from `from` on for `seconds`, at most
    /// [`MAX_CERTIFICATE_SECONDS`].
    pub fn issue(
        key: &OwnerKey,
        network: &NetworkName,
        device: DeviceId,
        from: Timestamp,
        seconds: u64,
    ) -> Self {
        let until = from.plus_seconds(seconds.min(MAX_CERTIFICATE_SECONDS));
        let (network, owner) = (network.clone(), key.id());
        let signature = key.sign(DEVICE_CERTIFICATE, &network, VERSION, &(owner, device, from, until));
        Self { network, owner, device, from, until, signature }
    }

    /// The owner, if this certificate lets `device` act for it at `now` on `network`.
    ///
    /// # Errors
    /// The first [`RecordError`] found.
    pub fn verify(
        &self,
        network: &NetworkName,
        device: &DeviceId,
        now: Timestamp,
    ) -> Result<OwnerId, RecordError> {
        if self.network != *network {
            return Err(RecordError::WrongNetwork);
        }
        if self.device != *device {
            return Err(RecordError::WrongDevice);
        }
        check_span(self.from, self.until, MAX_CERTIFICATE_SECONDS, now)?;
        let signed = (self.owner, self.device, self.from, self.until);
        self.owner.verify(DEVICE_CERTIFICATE, network, VERSION, &signed, &self.signature)?;
        Ok(self.owner)
    }
}

fn check_span(from: Timestamp, until: Timestamp, limit: u64, now: Timestamp) -> Result<(), RecordError> {
    if until <= from || until.seconds_since(from) > limit {
        return Err(RecordError::BadSpan);
    }
    if from.seconds_since(now) > CLOCK_TOLERANCE_SECONDS {
        return Err(RecordError::NotYet);
    }
    if now >= until {
        return Err(RecordError::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
