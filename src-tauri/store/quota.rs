//! Reservations and the figures they are checked against.

use hayloft_core::{ContractId, OwnerId};

/// What a farmer offers, as limits of one reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes offered in all: used + reserved never passes this.
    pub quota_bytes: u64,
    /// Bytes that one owner may have reserved at once.
    pub owner_bytes: u64,
    /// Bytes that one subnet may have reserved at once.
    pub subnet_bytes: u64,
}

/// A wish to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Under which contract.
    pub contract: ContractId,
    /// Whose contract.
    pub owner: OwnerId,
    /// Where the wish came from.
    pub subnet: String,
    /// Bytes, on top of what is reserved already.
    pub bytes: u64,
}

/// Exact figures of the farmer's disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Shards under contract.
    pub used_bytes: u64,
    /// Promised to uploads under way.
    pub reserved_bytes: u64,
    /// What new data may take, by quota and by the disk's free space.
    pub free_bytes: u64,
    /// On disk beyond the shards themselves: database, journals, file headers.
    pub overhead_bytes: u64,
    /// Free on the disk that holds the folder.
    pub disk_free_bytes: u64,
    /// What must stay free on it.
    pub guard_bytes: u64,
}
