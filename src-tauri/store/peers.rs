//! Peers worth dialling again, and what was seen of farmers.

use std::sync::Arc;

use hayloft_core::{DeviceId, Timestamp};

use crate::{DatabaseError, open::Inner};

/// How many peers are remembered; the longest unseen are forgotten first.
pub const PEERS: u32 = 1_000;
/// How many marks are kept of one farmer; the oldest are forgotten first.
pub const MARKS_PER_FARMER: u32 = 100;

/// A peer worth dialling again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The device.
    pub device: DeviceId,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Whether it was seen to farm.
    pub farmer: bool,
    /// When it was last seen.
    pub seen: Timestamp,
}

/// Something seen of a farmer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The farmer.
    pub farmer: DeviceId,
    /// The caller's word, such as `blamed`.
    pub kind: String,
    /// Why, as a sentence.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// The peers' part of the store. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    pub(crate) inner: Arc<Inner>,
}

impl Peers {
    /// Remembers peers, or sees them again.
    pub async fn remember(&self, peers: &[Peer]) -> Result<(), DatabaseError> { todo!() }
    /// All remembered peers, last seen first.
    pub async fn list(&self) -> Result<Vec<Peer>, DatabaseError> { todo!() }
    /// Forgets a peer.
    pub async fn forget(&self, device: DeviceId) -> Result<(), DatabaseError> { todo!() }
    /// Marks a farmer.
    pub async fn mark(&self, mark: &Mark) -> Result<(), DatabaseError> { todo!() }
    /// Marks of a kind at or after a time, oldest first.
    pub async fn marks(&self, kind: &str, since: Timestamp) -> Result<Vec<Mark>, DatabaseError> { todo!() }
}
