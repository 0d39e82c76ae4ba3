//! How a sealed shard divides into blocks and sectors.
//!
//! ```text
//! shard  = block 0 ‖ block 1 ‖ …                 the last one may be shorter
//! block  = sector 0 ‖ … ‖ sector s−1             31 bytes each, little-endian integers below 2^248
//! ```
//! What is missing at the end of a shard counts as zeros. That is no ambiguity: a shard's length is in the root that
//! both sides of its contract sign.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Tag;

/// Bytes of a sector: as many whole bytes as fit under the group's order.
pub const SECTOR_BYTES: usize = 31;

/// A number of sectors per block that the format does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block has {} to {} sectors, not {found}", Sectors::MIN.0, Sectors::MAX.0)]
pub struct BadSectors {
    found: u16,
}

/// Sectors per block, the scheme's s: between 16 and 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Sectors(u16);

impl Sectors {
    /// Where tagging, proving and reading cost least together: blocks of 63,488 bytes.
    pub const DEFAULT: Self = Self(2048);
    /// The fewest, for tests.
    pub const MIN: Self = Self(16);
    /// The most.
    pub const MAX: Self = Self(4096);

    /// The count.
    pub fn count(self) -> usize {
        self.0.into()
    }

    /// Bytes of a whole block.
    pub fn block_bytes(self) -> usize {
        self.count() * SECTOR_BYTES
    }

    /// Blocks of a shard of that many bytes.
    pub fn blocks(self, shard_bytes: u64) -> u64 {
        shard_bytes.div_ceil(self.block_bytes() as u64)
    }

    /// Bytes of the tags of a shard of that many bytes: one for each block.
    pub fn tag_bytes(self, shard_bytes: u64) -> u64 {
        self.blocks(shard_bytes).saturating_mul(Tag::BYTES as u64)
    }

    /// Where a block lies in a shard of that many bytes; empty behind its end.
    pub fn block_range(self, shard_bytes: u64, index: u64) -> Range<u64> {
        let begin = index.saturating_mul(self.block_bytes() as u64).min(shard_bytes);
        begin..begin.saturating_add(self.block_bytes() as u64).min(shard_bytes)
    }
}

impl TryFrom<u16> for Sectors {
    type Error = BadSectors;

    fn try_from(found: u16) -> Result<Self, BadSectors> {
        if (Self::MIN.0..=Self::MAX.0).contains(&found) { Ok(Self(found)) } else { Err(BadSectors { found }) }
    }
}

impl From<Sectors> for u16 {
    fn from(sectors: Sectors) -> u16 {
        sectors.0
    }
}

/// A block's sectors as little-endian limbs, in order; those that are all missing are left out.
pub(super) fn sectors(block: &[u8]) -> impl Iterator<Item = [u64; 4]> {
    let whole = block.chunks_exact(SECTOR_BYTES);
    let rest = whole.remainder();
    let mut padded = [0; SECTOR_BYTES];
    padded[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then(|| limbs(&padded));
    whole.map(|sector| limbs(sector.try_into().expect("chunks are exact"))).chain(last)
}

fn limbs(sector: &[u8; SECTOR_BYTES]) -> [u64; 4] {
    let limb = |at: usize| u64::from_le_bytes(sector[at..at + 8].try_into().expect("eight bytes"));
    [limb(0), limb(8), limb(16), limb(SECTOR_BYTES - 8) >> 8]
}
