//! What front ends see of repairs, and of a farmer that leaves.

use serde::{Deserialize, Serialize};
use specta::Type;

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct RepairReport {
    /// The file; none if it was about everything that was due.
    pub name: Option<String>,
    /// Segments that were repaired.
    pub segments: u32,
    /// Shards that lie elsewhere now.
    pub shards: u32,
    /// Bytes of those segments.
    pub bytes: u64,
    /// Shards that no farmer could be found for.
    pub left_shards: u32,
    /// How long it took.
    pub seconds: f64,
}

/// How far a farmer has left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct LeavingStatus {
    /// Until when it serves what its owners have not moved.
    pub until: u64,
    /// Owners whose shards are still here.
    pub owners: u64,
    /// Shards still here.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How it stands, as a sentence.
    pub sentence: String,
}
