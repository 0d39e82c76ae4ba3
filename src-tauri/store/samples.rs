//! Contracts for tests.

use hayloft_core::{
    Amount, ContractId, DeviceId, OwnerId, RevisionHash, ShardId, Signature, Timestamp,
    audit::TagKeyId,
    contract::{Revision, ShardEntry, SignedRevision, SignedTerms, Terms},
};

/// When every sample contract ends.
pub(crate) const END: Timestamp = Timestamp(10_000);
/// How long its shards are kept after that.
pub(crate) const GRACE_SECONDS: u64 = 1_000;

pub(crate) fn contract_id(seed: u8) -> ContractId {
    ContractId([seed; 32])
}

pub(crate) fn owner_id(seed: u8) -> OwnerId {
    OwnerId([seed; 32])
}

pub(crate) fn tag_key(seed: u8) -> TagKeyId {
    [seed; 32]
}

pub(crate) fn shard_id(seed: u32) -> ShardId {
    ShardId(*blake3::hash(&seed.to_le_bytes()).as_bytes())
}

pub(crate) fn entry(seed: u32, bytes: u64) -> ShardEntry {
    ShardEntry { id: shard_id(seed), bytes, tag_key: None }
}

pub(crate) fn terms(seed: u8) -> SignedTerms {
    let terms = Terms {
        network: "test".parse().unwrap(),
        owner: owner_id(seed),
        farmer: DeviceId([9; 32]),
        start: Timestamp(1_000),
        epoch_seconds: 86_400,
        storage_price: Amount(0),
        egress_price: Amount(0),
        audit_share_ppm: 0,
        auditor: None,
        escrow: None,
        grace_seconds: GRACE_SECONDS,
        nonce: [seed; 32],
    };
    SignedTerms { terms, owner: Signature([1; 64]), farmer: Signature([2; 64]) }
}

pub(crate) fn revision(
    contract: u8,
    number: u64,
    added: Vec<ShardEntry>,
    removed: Vec<ShardId>,
) -> SignedRevision {
    let revision = Revision {
        contract: contract_id(contract),
        number,
        previous: RevisionHash([0; 32]),
        capacity_bytes: 1 << 40,
        end: END,
        shards: added.len() as u64,
        bytes: added.iter().map(|entry| entry.bytes).sum(),
        added,
        removed,
        root: [0; 32],
        at: Timestamp(1_000),
    };
    SignedRevision { revision, owner: Signature([1; 64]), farmer: Signature([2; 64]) }
}
