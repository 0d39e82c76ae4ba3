//! How a file is rebuilt. Two records: *content* (names, items and their keys; sealed under the content root) and
//! *placement* (one per segment; sealed under the repair root), so that a repairer can work without reading a name.
//! `seal.rs` says how they are sealed and signed.

mod seal;
#[cfg(test)]
mod tests;

use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use seal::{RECORD_LIMIT, RebuildError, RecordError, open_notes, seal_notes, sign_roots};

use crate::{ContractId, DeviceId, FileId, SegmentId, ShardId, Signature, Timestamp};

/// A 256-bit AES key; wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct SecretKey(pub(crate) [u8; 32]);

impl SecretKey {
    /// A new key, for one item or for one placement of a segment.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random(rng))
    }
}

/// `N` fresh random bytes.
pub(crate) fn random<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A file's part in one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Random; bound into each chunk's associated data.
    pub id: [u8; 16],
    /// The segment that holds it.
    pub segment: SegmentId,
    /// Where its sealed chunks begin in the segment's sealed bytes.
    pub offset: u64,
    /// Plain bytes.
    pub bytes: u64,
    /// Its own random key.
    pub key: SecretKey,
}

/// The content record of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRecord {
    /// The file.
    pub file: FileId,
    /// The name its owner gave it: Unicode, 1 to 1,024 bytes, parts divided by `/`.
    pub name: String,
    /// Plain bytes.
    pub bytes: u64,
    /// BLAKE3 of the plain bytes.
    pub hash: [u8; 32],
    /// When it was stored.
    pub stored: Timestamp,
    /// When its owner's wish to keep it ends.
    pub keep_until: Timestamp,
    /// Whether it is renewed by itself before that.
    pub renew: bool,
    /// Its parts, in the file's order.
    pub items: Vec<Item>,
}

/// Where one shard lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The column it holds, 0 to n − 1.
    pub column: u8,
    /// Its sealing.
    pub id: ShardId,
    /// Who keeps it.
    pub farmer: DeviceId,
    /// Under which contract.
    pub contract: ContractId,
}

/// The placement record of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// The segment.
    pub segment: SegmentId,
    /// Shards needed.
    pub k: u8,
    /// Shards made.
    pub n: u8,
    /// Sealed bytes, before padding.
    pub bytes: u64,
    /// From which, with a shard's id, each shard's key is derived.
    pub outer_key: SecretKey,
    /// BLAKE3 of each column before sealing, n of them.
    pub roots: Vec<[u8; 32]>,
    /// The owner's, over segment, k, n, bytes and roots.
    pub signature: Signature,
    /// Where the shards lie, one per column at most.
    pub shards: Vec<Shard>,
}
