//! From file to shards and back, as pure functions over bytes.
//!
//! ```text
//! file ──► item ──► chunk ──► segment ──► stripe ──► shard ──► cell
//!          Packer             SealedSegment  CodedSegment  ShardSealer
//!          ItemReader         Coder::decode_each           ShardOpener, ColumnReader
//! ```
//!
//! Format 1. A *chunk* is up to [`CHUNK`] plain bytes under AES-256-GCM, its tag behind it, with the item's random
//! key; nonce = 7 zero bytes ‖ u32 BE index ‖ 1 for the item's last chunk, else 0 (STREAM, Hoang et al. 2015);
//! associated data = version ‖ item id ‖ segment id. A *segment* is sealed items one behind the other. *Stripe* j
//! holds k *units* of the segment: unit i is its bytes from (j·k + i)·[`UNIT`]; the last stripe has the shorter units
//! ceil(rest / k), padded with zeros. n − k parity units follow by Reed–Solomon over GF(2⁸), polynomial 0x11d, the
//! systematic form of the Vandermonde matrix (Backblaze's). Column i is unit i of all stripes. A *cell* is one unit of
//! a column, sealed like a chunk under HKDF-SHA256(outer key, "hayloft/1/shard" ‖ shard id); associated data =
//! version ‖ shard id. The version is the one of the manifest record that names the item or shard.
//!
//! Invariant: no key and nonce ever seal two plaintexts, no shard id is ever used twice. The types see to it: an item's
//! key is drawn when the item begins and leaves the packer only with its sealed bytes; a [`ShardSealer`] draws its own
//! id and seals one of the immutable [`Columns`] of a segment. Both are never written to disk, so whatever starts again
//! starts under new keys and ids.
//!
//! Deliberately absent: I/O, farmers, names.

mod cipher;
mod coding;
mod columns;
mod item;
mod layout;
mod packer;
mod shard;
#[cfg(test)]
pub(crate) mod tests;

pub use coding::{CodedSegment, Coder, Coding, CodingError, Parities};
pub use columns::{Columns, SomeColumns};
pub use item::{ItemError, ItemOpener, ItemReader};
pub use layout::{Layout, LayoutError};
pub use packer::{PackError, Packer, SealedSegment};
pub use shard::{ColumnReader, ShardError, ShardOpener, ShardSealer, check_root};

/// Plain bytes of a chunk; an item's last may be shorter.
pub const CHUNK: usize = 64 * 1024;
/// Bytes that sealing adds to a chunk or unit.
pub const TAG: usize = 16;
/// Bytes of a unit; those of a segment's last stripe may be shorter.
pub const UNIT: usize = 64 * 1024;
/// Most sealed bytes of a segment.
pub const MAX_SEGMENT: usize = 64 * 1024 * 1024;
/// Sealed bytes at which a node fills its segments: what breaks off has little to send again.
pub const TARGET_SEGMENT: usize = 16 * 1024 * 1024;
/// The same while they go quickly: a segment costs each farmer the same few requests and syncs, however large it is. Two of
/// them, coded, fit in memory.
pub const TARGET_SEGMENT_QUICK: usize = 24 * 1024 * 1024;

/// The format that this release writes and the only one it reads.
pub(crate) const VERSION: u8 = 1;
