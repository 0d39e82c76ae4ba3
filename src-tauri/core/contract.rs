//! Contracts: one per owner and farmer. Fixed [`Terms`], and numbered [`Revision`]s that both sign, each naming its
//! predecessor's hash. A farmer signs one revision per number; two are proof of fraud ([`Equivocation`]).
//!
//! ```text
//! owner                                     farmer
//! terms, signed            ── Agree ──►     check_terms, signs
//! propose(state, change)   ── Revise ──►    countersign: checks all against its own state, signs
//! apply_signed             ◄── signature ── keeps the new state before it answers
//! ```
//! Signatures: [`crate::codec::signing_bytes`] under one label per kind of value and signer. Hashes: BLAKE3 of
//! [`crate::codec::encode`]. Vectors: `tests/vectors/contract.json`. Deliberately absent: quota, which only the
//! farmer's disk knows, and payment.

mod fraud;
mod revision;
mod root;
mod space;
mod state;
mod terms;

use serde::{Deserialize, Serialize};

pub use fraud::{Equivocation, NotFraud};
pub use revision::{
    CLOCK_TOLERANCE_SECONDS, Change, MAX_CHANGES_PER_REVISION, MAX_SHARD_BYTES, MAX_TERM_SECONDS,
    RevisionError, apply, apply_signed, check_owner, countersign, countersign_same_shards, propose,
};
pub use root::shard_root;
pub use space::{MAX_SHARDS, quota_bytes};
pub use state::{Phase, State, UNUSED_SECONDS, ends_soon};
pub use terms::{
    MAX_GRACE_SECONDS, MIN_EPOCH_SECONDS, MIN_GRACE_SECONDS, START_TOLERANCE_SECONDS, TermsError,
    TermsOffered, check_terms,
};

use crate::{
    Amount, ContractId, DeviceId, NetworkName, OwnerId, RevisionHash, ShardId, Signature, Timestamp,
};

/// What never changes over a contract's life. Its id is BLAKE3 of its encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The network it holds on.
    pub network: NetworkName,
    /// Whose shards are kept.
    pub owner: OwnerId,
    /// Who keeps them.
    pub farmer: DeviceId,
    /// When it begins.
    pub start: Timestamp,
    /// Span over which verdicts are counted and settled.
    pub epoch_seconds: u32,
    /// Stroops per TB-month kept.
    pub storage_price: Amount,
    /// Stroops per TB served.
    pub egress_price: Amount,
    /// Share of audits that must pass, in millionths.
    pub audit_share_ppm: u32,
    /// The auditor that both sides agree to be judged by, at any price; where there is one, its verdicts alone settle.
    pub auditor: Option<DeviceId>,
    /// The Stellar account of the escrow; none while the price is 0.
    pub escrow: Option<[u8; 32]>,
    /// How long the farmer keeps the shards after the end, at least 30 days.
    pub grace_seconds: u64,
    /// Random, so that two contracts with equal terms differ.
    pub nonce: [u8; 32],
}

/// [`Terms`] signed by both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTerms {
    /// What is signed.
    pub terms: Terms,
    /// The owner's signature.
    pub owner: Signature,
    /// The farmer's signature.
    pub farmer: Signature,
}

/// One shard as a contract knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// The sealing.
    pub id: ShardId,
    /// Sealed bytes on the farmer's disk.
    pub bytes: u64,
    /// The audit key that its tags were made with; none while shards are untagged.
    pub tag_key: Option<[u8; 32]>,
}

/// A numbered change of a contract, with the state after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The contract it changes.
    pub contract: ContractId,
    /// 0 for the first, then one more each time.
    pub number: u64,
    /// Hash of the revision before; zeros for number 0.
    pub previous: RevisionHash,
    /// Bytes the owner may keep at the farmer after it.
    pub capacity_bytes: u64,
    /// When the contract ends after it.
    pub end: Timestamp,
    /// Shards that come, in ascending order of id.
    pub added: Vec<ShardEntry>,
    /// Shards that go, in ascending order.
    pub removed: Vec<ShardId>,
    /// Count of shards after it.
    pub shards: u64,
    /// Sum of their bytes after it.
    pub bytes: u64,
    /// Merkle-sum root over all shards (id, length, tag key) after it.
    pub root: [u8; 32],
    /// When it was proposed.
    pub at: Timestamp,
}

/// A [`Revision`] signed by both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRevision {
    /// What is signed.
    pub revision: Revision,
    /// The owner's signature.
    pub owner: Signature,
    /// The farmer's signature.
    pub farmer: Signature,
}

#[cfg(test)]
mod tests;
