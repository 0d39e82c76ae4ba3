//! Shard files: one per shard in hash-prefix folders, described by a header of their own so that the index can be
//! rebuilt from them.

use bytes::Bytes;

use crate::FarmerError;

/// Receives one shard.
pub struct ShardWriter {}

impl ShardWriter {
    /// Bytes that are here already: send from this offset on.
    pub fn have(&self) -> u64 { todo!() }
    /// Bytes of the whole shard.
    pub fn bytes(&self) -> u64 { todo!() }
    /// Appends.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), FarmerError> { todo!() }
    /// Ends an unfinished transfer so that a later one goes on from here.
    pub async fn pause(self) -> Result<(), FarmerError> { todo!() }
    /// Syncs the whole shard to disk and answers BLAKE3 of its sealed bytes.
    pub async fn finish(self) -> Result<[u8; 32], FarmerError> { todo!() }
}

/// Reads one shard.
pub struct ShardReader {}

impl ShardReader {
    /// Bytes of the whole shard.
    pub fn bytes(&self) -> u64 { todo!() }
    /// Reads a range, at most [`crate::farmer::READ_BYTES`].
    pub async fn read(&mut self, offset: u64, bytes: u64) -> Result<Bytes, FarmerError> { todo!() }
}
