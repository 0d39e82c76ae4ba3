//! An owner's files and segments, as sealed records. A file is listed only once all its segments are placed.

use hayloft_core::{ContractId, DeviceId, FileId, SegmentId, ShardId, Timestamp};

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Keyed hash of its name.
    pub name_key: [u8; 32],
    /// Its id.
    pub file: FileId,
    /// The sealed content record.
    pub content: Vec<u8>,
    /// Plain bytes.
    pub bytes: u64,
    /// When it was stored.
    pub stored: Timestamp,
    /// Until when it is kept.
    pub keep_until: Timestamp,
    /// Whether it is renewed by itself.
    pub renew: bool,
    /// Its segments in the file's order, with the sealed bytes of its items in each.
    pub segments: Vec<FileSegment>,
}

/// A file's part in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Sealed bytes of the file's items in it.
    pub live_bytes: u64,
}

/// A placed segment to save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegment {
    /// The segment.
    pub segment: SegmentId,
    /// The sealed placement record.
    pub placement: Vec<u8>,
    /// Its sealed bytes.
    pub sealed_bytes: u64,
    /// Bytes of all its shards on farmers' disks.
    pub stored_bytes: u64,
    /// Sealed notes by which its job goes on after a restart (which items of which files); dropped with the job.
    pub notes: Vec<u8>,
}

/// A placed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The segment.
    pub segment: SegmentId,
    /// The sealed placement record.
    pub placement: Vec<u8>,
    /// Its sealed bytes.
    pub sealed_bytes: u64,
    /// Of those, bytes that stored files use.
    pub live_bytes: u64,
    /// Bytes of all its shards on farmers' disks.
    pub stored_bytes: u64,
    /// The unfinished job that it belongs to.
    pub job: Option<u32>,
    /// The job's sealed notes.
    pub notes: Vec<u8>,
}

/// What is saved at once, in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Save {
    /// The job that made the segments, to which they belong until it ends.
    pub job: Option<u32>,
    /// Segments placed.
    pub segments: Vec<NewSegment>,
    /// Files all of whose segments are placed, by this save or earlier ones.
    pub files: Vec<StoredFile>,
    /// Whether files of the same name are replaced.
    pub replace: bool,
    /// Shards no longer in flight: their rows among the placing are cleared.
    pub placed: Vec<ShardId>,
}

/// A shard that its farmer is to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removal {
    /// Which farmer.
    pub farmer: DeviceId,
    /// Under which contract.
    pub contract: ContractId,
    /// The sealing.
    pub shard: ShardId,
}
