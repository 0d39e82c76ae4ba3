//! The owner's side: files and segments as sealed records, contracts with farmers, shards in flight, shards to remove.

use std::sync::Arc;

use hayloft_core::{
    ContractId, DeviceId, FileId, SegmentId, ShardId, Timestamp,
    contract::{ShardEntry, SignedRevision, SignedTerms},
};

use crate::{
    DatabaseError,
    files::{Removal, Save, Segment, StoredFile},
    open::Inner,
};

/// Why the owner's tables refuse or fail.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// A file of that name is there.
    #[error("a file of this name is stored already")]
    NameTaken {
        /// Keyed hash of the name.
        name_key: [u8; 32],
    },
    /// No such file.
    #[error("no file of this name is stored")]
    UnknownFile,
    /// No such segment.
    #[error("no such segment is placed")]
    UnknownSegment,
    /// No such contract.
    #[error("no such contract is kept")]
    UnknownContract,
    /// The revision is not the next one.
    #[error("revision {found} does not follow the newest, {newest:?}")]
    NotNext {
        /// The number given.
        found: u64,
        /// The newest number here; none before the first.
        newest: Option<u64>,
    },
    /// The segment still serves files or a job.
    #[error("the segment is still in use")]
    SegmentInUse,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A contract as its owner keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerContract {
    /// Its id.
    pub id: ContractId,
    /// Its terms, signed by both.
    pub terms: SignedTerms,
    /// The newest revision; none before the first.
    pub revision: Option<SignedRevision>,
    /// All shards after it, in order of id.
    pub shards: Vec<ShardEntry>,
}

/// A shard in flight: written down before its upload, so that a crash leaves nothing unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placing {
    /// The sealing.
    pub shard: ShardId,
    /// The farmer it goes to.
    pub farmer: DeviceId,
    /// Under which contract.
    pub contract: ContractId,
    /// The segment it belongs to.
    pub segment: SegmentId,
    /// The job that sends it.
    pub job: Option<u32>,
}

/// The owner's part of the store. Cheap to clone.
#[derive(Clone)]
pub struct Owner {
    pub(crate) inner: Arc<Inner>,
}

impl Owner {
    /// Saves segments and files in one transaction; nothing is saved when it fails. Segments that replaced files used
    /// stay until they are removed: see [`Owner::dead_segments`].
    pub async fn save(&self, save: &Save) -> Result<(), OwnerError> { todo!() }
    /// The file of that name.
    pub async fn file(&self, name_key: &[u8; 32]) -> Result<Option<StoredFile>, OwnerError> { todo!() }
    /// All files.
    pub async fn files(&self) -> Result<Vec<StoredFile>, OwnerError> { todo!() }
    /// Files with items in that segment.
    pub async fn files_in(&self, segment: SegmentId) -> Result<Vec<FileId>, OwnerError> { todo!() }
    /// Removes files in one transaction; their segments stay until [`Owner::remove_segments`].
    pub async fn remove_files(&self, name_keys: &[[u8; 32]]) -> Result<(), OwnerError> { todo!() }
    /// Writes a changed content record (renewal) with its columns.
    pub async fn update_file(&self, name_key: &[u8; 32], content: &[u8], keep_until: Timestamp, renew: bool) -> Result<(), OwnerError> { todo!() }
    /// The segment.
    pub async fn segment(&self, segment: SegmentId) -> Result<Option<Segment>, OwnerError> { todo!() }
    /// All placed segments.
    pub async fn segments(&self) -> Result<Vec<Segment>, OwnerError> { todo!() }
    /// Segments of a job, in the order they were saved.
    pub async fn job_segments(&self, job: u32) -> Result<Vec<Segment>, OwnerError> { todo!() }
    /// Segments that serve no file and no job.
    pub async fn dead_segments(&self) -> Result<Vec<Segment>, OwnerError> { todo!() }
    /// Segments that serve files but at least half of whose bytes are dead.
    pub async fn half_dead_segments(&self) -> Result<Vec<Segment>, OwnerError> { todo!() }
    /// Replaces a segment's placement record.
    pub async fn update_placement(&self, segment: SegmentId, placement: &[u8], placed: &[ShardId]) -> Result<(), OwnerError> { todo!() }
    /// Ends a job's hold on its segments and drops its notes: those that serve no file are dead from now on.
    pub async fn end_job_segments(&self, job: u32) -> Result<(), OwnerError> { todo!() }
    /// Forgets dead segments and writes down their shards for removal, in one transaction.
    pub async fn remove_segments(&self, segments: &[SegmentId], removals: &[Removal]) -> Result<(), OwnerError> { todo!() }
    /// Keeps a contract. The same again is no error.
    pub async fn insert_contract(&self, id: ContractId, terms: &SignedTerms) -> Result<(), OwnerError> { todo!() }
    /// The contract.
    pub async fn contract(&self, id: ContractId) -> Result<Option<OwnerContract>, OwnerError> { todo!() }
    /// All contracts, or those with one farmer, newest first.
    pub async fn contracts(&self, farmer: Option<DeviceId>) -> Result<Vec<OwnerContract>, OwnerError> { todo!() }
    /// Keeps a revision that both signed, and the contract's shards after it.
    pub async fn save_revision(&self, revision: &SignedRevision) -> Result<(), OwnerError> { todo!() }
    /// Replaces all that is known of a contract by what its farmer proved (a rebase): revision and shards.
    pub async fn rebase(&self, revision: &SignedRevision, shards: &[ShardEntry]) -> Result<(), OwnerError> { todo!() }
    /// Forgets contracts that are over.
    pub async fn remove_contract(&self, id: ContractId) -> Result<(), OwnerError> { todo!() }
    /// Writes down shards about to be sent.
    pub async fn add_placing(&self, placing: &[Placing]) -> Result<(), OwnerError> { todo!() }
    /// Clears shards no longer in flight.
    pub async fn clear_placing(&self, shards: &[ShardId]) -> Result<(), OwnerError> { todo!() }
    /// Shards in flight, or left over by a crash.
    pub async fn placing(&self) -> Result<Vec<Placing>, OwnerError> { todo!() }
    /// Writes down shards to remove and clears them among the placing, in one transaction.
    pub async fn add_removals(&self, removals: &[Removal]) -> Result<(), OwnerError> { todo!() }
    /// Shards to remove, of all farmers, in order of farmer and contract.
    pub async fn removals(&self) -> Result<Vec<Removal>, OwnerError> { todo!() }
    /// Clears removals that are done.
    pub async fn clear_removals(&self, shards: &[ShardId]) -> Result<(), OwnerError> { todo!() }
}
