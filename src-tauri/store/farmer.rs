//! The farmer's side: contracts, reservations, and the shards under them.
//!
//! A shard is *incoming* while its bytes arrive, *arrived* once it is whole and synced, and *kept* once a revision
//! includes it. Incoming and arrived shards live inside their contract's reservation, kept ones count as used:
//! used + reserved never passes the quota. A kept shard's row is deleted before its file.

use std::sync::Arc;

use bytes::Bytes;
use hayloft_core::{
    ContractId, OwnerId, ShardId, Timestamp,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};

pub use crate::{
    quota::{Figures, Limits, Wish},
    shards::{ShardReader, ShardWriter},
};
use crate::{DatabaseError, open::Inner};

/// How long a reservation holds without bytes.
pub const RESERVATION_SECONDS: u64 = 600;
/// How long a contract that has never been revised is remembered.
pub const UNREVISED_SECONDS: u64 = 24 * 3600;
/// The most one call to [`Farmer::read_shard`] returns.
pub const READ_BYTES: u64 = 4 << 20;

/// Why the farmer's store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum FarmerError {
    /// No such contract.
    #[error("this farmer has no such contract")]
    UnknownContract,
    /// No such shard under that contract.
    #[error("this farmer has no such shard")]
    UnknownShard,
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
    /// This owner has reserved as much as one owner may.
    #[error("this owner has reserved as much as one owner may at once")]
    OwnerCap,
    /// This subnet has reserved as much as one subnet may.
    #[error("this subnet has reserved as much as one subnet may at once")]
    SubnetCap,
    /// Nothing, or too little, is reserved.
    #[error("{wanted} bytes were to come, but {reserved} are reserved")]
    NotReserved {
        /// Bytes that were to come.
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
    /// A shard that the revision removes is not kept under the contract.
    #[error("shard {0} is not kept under this contract")]
    NotKept(ShardId),
    /// Shards are in the old folder: it cannot be changed.
    #[error("the folder holds shards under contract; it can be changed only while it is empty")]
    FolderInUse,
    /// A file could not be read or written.
    #[error("cannot use the farmer's folder: {0}")]
    Io(#[from] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A contract as its farmer keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// Its terms, signed by both.
    pub terms: SignedTerms,
    /// The newest revision; none before the first.
    pub revision: Option<SignedRevision>,
    /// Shards kept.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What [`Farmer::expire`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Bytes of reservations that ended.
    pub reserved_bytes: u64,
    /// Contracts that ended with their grace, and their bytes.
    pub contracts: Vec<(ContractId, u64)>,
}

/// The farmer's part of the store. Cheap to clone.
#[derive(Clone)]
pub struct Farmer {
    pub(crate) inner: Arc<Inner>,
}

impl Farmer {
    /// Keeps a contract. The same contract again is no error.
    pub async fn insert_contract(&self, id: ContractId, terms: &SignedTerms) -> Result<(), FarmerError> { todo!() }
    /// The contract with its newest revision.
    pub async fn contract(&self, id: ContractId) -> Result<Option<Contract>, FarmerError> { todo!() }
    /// All contracts, in order of id.
    pub async fn contracts(&self) -> Result<Vec<Contract>, FarmerError> { todo!() }
    /// How many contracts this owner has here.
    pub async fn contracts_of(&self, owner: OwnerId) -> Result<u64, FarmerError> { todo!() }
    /// Kept shards with greater ids than `after`, in order of id, at most `limit`, and whether more follow.
    pub async fn shards(&self, contract: ContractId, after: Option<ShardId>, limit: u32) -> Result<(Vec<ShardEntry>, bool), FarmerError> { todo!() }
    /// All kept shards of a contract, in order of id.
    pub async fn entries(&self, contract: ContractId) -> Result<Vec<ShardEntry>, FarmerError> { todo!() }
    /// Holds space for shards about to come, on top of what the contract has reserved; answers until when.
    pub async fn reserve(&self, wish: &Wish, limits: &Limits, now: Timestamp) -> Result<Timestamp, FarmerError> { todo!() }
    /// Lets the contract's reservations hold on because bytes flow; answers until when.
    pub async fn extend(&self, contract: ContractId, now: Timestamp) -> Result<Timestamp, FarmerError> { todo!() }
    /// Gives the contract's reservations back and deletes the shards that came under them.
    pub async fn release(&self, contract: ContractId) -> Result<(), FarmerError> { todo!() }
    /// Takes a shard out of the reserved space; the writer goes on where an earlier transfer stopped. A shard that has
    /// wholly arrived gives a writer that has all its bytes.
    pub async fn begin_shard(&self, contract: ContractId, shard: ShardId, bytes: u64) -> Result<ShardWriter, FarmerError> { todo!() }
    /// Applies a revision that both signed, in one transaction: added shards are kept, removed ones deleted.
    pub async fn commit_revision(&self, revision: &SignedRevision) -> Result<(), FarmerError> { todo!() }
    /// Opens a shard for reading.
    pub async fn open_shard(&self, contract: ContractId, shard: ShardId) -> Result<ShardReader, FarmerError> { todo!() }
    /// Reads a range of a shard, at most [`READ_BYTES`].
    pub async fn read_shard(&self, contract: ContractId, shard: ShardId, offset: u64, bytes: u64) -> Result<Bytes, FarmerError> { todo!() }
    /// Deletes what is over: reservations with their shards, and contracts past their end and grace.
    pub async fn expire(&self, now: Timestamp) -> Result<Expired, FarmerError> { todo!() }
    /// Exact figures of the farmer's disk.
    pub async fn figures(&self, limits: &Limits) -> Result<Figures, FarmerError> { todo!() }
    /// Keeps shards in another folder from now on; refused while there are any.
    pub async fn move_to(&self, folder: &std::path::Path) -> Result<(), FarmerError> { todo!() }
    /// The folder that holds the shards.
    pub fn folder(&self) -> std::path::PathBuf { todo!() }
}
