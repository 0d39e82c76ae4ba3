//! Why the farmer's store refuses or fails.

use hayloft_core::ShardId;

use crate::DatabaseError;

/// Why the farmer's store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum FarmerError {
    /// No such contract.
    #[error("this farmer has no such contract")]
    UnknownContract,
    /// No such shard under that contract.
    #[error("this farmer has no such shard")]
    UnknownShard,
    /// The shard was kept, and this disk lost it.
    #[error("this farmer's disk lost that shard")]
    ShardLost,
    /// The quota is used up.
    #[error("the offered space is used up: {free_bytes} bytes are left")]
    QuotaFull {
        /// Bytes left of the quota.
        free_bytes: u64,
    },
    /// The disk has to keep some free space.
    #[error("the disk is nearly full: {free_bytes} bytes are free, and {guard_bytes} must stay free")]
    DiskFull {
        /// Bytes free on the disk.
        free_bytes: u64,
        /// Bytes that must stay free.
        guard_bytes: u64,
    },
    /// The disk has no room for what was to be written.
    #[error("the disk is full")]
    NoRoom,
    /// This owner has reserved as much as one owner may.
    #[error("this owner has reserved as much as one owner may at once")]
    OwnerCap,
    /// This subnet has reserved as much as one subnet may.
    #[error("this subnet has reserved as much as one subnet may at once")]
    SubnetCap,
    /// Nothing, or too little, is reserved.
    #[error("{wanted} bytes of the quota were to be taken, but {reserved} are reserved")]
    NotReserved {
        /// What was to come, as a quota counts it.
        wanted: u64,
        /// Bytes still reserved and not taken by other shards.
        reserved: u64,
    },
    /// That shard is being written by another transfer right now.
    #[error("this shard is being received already")]
    ShardBusy,
    /// A shard of that id is here already, with another length or under another contract.
    #[error("another shard with this id is here")]
    ShardTaken,
    /// More bytes came than were announced.
    #[error("the shard is longer than its announced {bytes} bytes")]
    TooLong {
        /// Announced bytes.
        bytes: u64,
    },
    /// The transfer ended early.
    #[error("the shard ended after {have} of {bytes} bytes")]
    TooShort {
        /// Bytes that came.
        have: u64,
        /// Announced bytes.
        bytes: u64,
    },
    /// The range does not lie within the shard.
    #[error("the shard has no such bytes")]
    OutOfRange,
    /// The revision is not the next one.
    #[error("revision {found} does not follow the newest, {newest:?}")]
    NotNext {
        /// The number offered.
        found: u64,
        /// The newest number here; none before the first.
        newest: Option<u64>,
    },
    /// A shard that the revision adds has not arrived with that length.
    #[error("shard {0} has not arrived in that length")]
    NotArrived(ShardId),
    /// A shard that the revision adds has other tags than it says, or nobody has checked them.
    #[error("shard {0} has other tags than the revision says")]
    OtherTags(ShardId),
    /// The owner has as many audit keys here as one owner may.
    #[error("one owner may not have that many audit keys here")]
    TooManyKeys,
    /// A shard that the revision removes is not kept under the contract.
    #[error("shard {0} is not kept under this contract")]
    NotKept(ShardId),
    /// Shards are in the old folder: it cannot be changed.
    #[error("the folder holds pieces under contract; it can be changed only while it is empty")]
    FolderInUse,
    /// The folder is another node's.
    #[error("the folder holds the pieces of another node; choose another one")]
    FolderTaken,
    /// A file could not be read or written.
    #[error("the folder for others' data cannot be used: {}", crate::disk::plain(.0))]
    Io(#[source] std::io::Error),
    /// The database failed.
    #[error("{0}")]
    Database(#[source] DatabaseError),
}

impl From<std::io::Error> for FarmerError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::NoRoom,
            _ => Self::Io(error),
        }
    }
}

impl From<DatabaseError> for FarmerError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DiskFull => Self::NoRoom,
            error => Self::Database(error),
        }
    }
}
