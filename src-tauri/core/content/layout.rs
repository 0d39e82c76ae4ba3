//! Where bytes lie: pure functions of a segment's sealed bytes and k, and of an item's plain bytes.

use std::ops::Range;

use super::{CHUNK, MAX_SEGMENT, TAG, UNIT};
use crate::manifest::Item;

/// Sizes that no segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Empty, or above [`MAX_SEGMENT`].
    #[error("a segment has 1 to {MAX_SEGMENT} bytes, not {bytes}")]
    SegmentBytes {
        /// What was asked for.
        bytes: u64,
    },
    /// k = 0.
    #[error("a segment needs at least one data column")]
    NoColumns,
}

/// How a segment divides into stripes, units and cells. Offsets and lengths are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    bytes: usize,
    k: usize,
}

impl Layout {
    /// The layout of a segment of `bytes` sealed bytes over `k` data columns.
    ///
    /// # Errors
    /// [`LayoutError`] if no segment can be so.
    pub fn new(bytes: u64, k: u8) -> Result<Self, LayoutError> {
        match usize::try_from(bytes) {
            _ if k == 0 => Err(LayoutError::NoColumns),
            Ok(bytes) if (1..=MAX_SEGMENT).contains(&bytes) => Ok(Self { bytes, k: k.into() }),
            _ => Err(LayoutError::SegmentBytes { bytes }),
        }
    }

    /// The segment's sealed bytes, before padding.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Data columns.
    pub fn k(&self) -> u8 {
        self.k as u8
    }

    /// Stripes, which is also the number of units in each column and of cells in each shard.
    pub fn stripes(&self) -> u32 {
        self.bytes.div_ceil(self.k * UNIT) as u32
    }

    /// Bytes of each unit of a stripe: [`UNIT`], in the last stripe perhaps fewer; 0 behind the last.
    pub fn unit_len(&self, stripe: u32) -> usize {
        let begin = stripe as usize * self.k * UNIT;
        self.bytes.saturating_sub(begin).div_ceil(self.k).min(UNIT)
    }

    /// Bytes of each column.
    pub fn column_len(&self) -> usize {
        let last = self.stripes() - 1;
        last as usize * UNIT + self.unit_len(last)
    }

    /// Bytes of each sealed shard, as a farmer keeps it.
    pub fn shard_len(&self) -> u64 {
        (self.column_len() + self.stripes() as usize * TAG) as u64
    }

    /// Whether this stripe is the segment's last.
    pub fn is_last(&self, stripe: u32) -> bool {
        stripe == self.stripes() - 1
    }

    /// Where a stripe's unit lies in its column.
    pub fn unit_range(&self, stripe: u32) -> Range<usize> {
        let begin = stripe as usize * UNIT;
        begin..begin + self.unit_len(stripe)
    }

    /// Where the cells of these stripes lie in the sealed shard: what to ask a farmer for.
    pub fn cells_range(&self, stripes: Range<u32>) -> Range<u64> {
        let end = |stripe: u32| (stripe as u64 * (UNIT + TAG) as u64).min(self.shard_len());
        end(stripes.start)..end(stripes.end).max(end(stripes.start))
    }

    /// Which of the segment's bytes these stripes hold, without the padding.
    pub fn stripes_range(&self, stripes: Range<u32>) -> Range<u64> {
        let end = |stripe: u32| (stripe as usize * self.k * UNIT).min(self.bytes) as u64;
        end(stripes.start)..end(stripes.end).max(end(stripes.start))
    }

    /// The stripes that hold these bytes of the segment; none for an empty range.
    pub fn stripes_of(&self, bytes: Range<u64>) -> Range<u32> {
        let end = bytes.end.min(self.bytes());
        if bytes.start >= end {
            return 0..0;
        }
        let width = (self.k * UNIT) as u64;
        (bytes.start / width) as u32..end.div_ceil(width) as u32
    }

    /// The very cells that hold these bytes of the segment, as (data column, stripe), in the segment's order.
    ///
    /// When each of them is read whole, nothing needs decoding: [`Layout::cell_bytes`] says which bytes each holds.
    pub fn cells_of(&self, bytes: Range<u64>) -> impl Iterator<Item = (u8, u32)> + use<> {
        let layout = *self;
        self.stripes_of(bytes.clone()).flat_map(move |stripe| {
            (0..layout.k as u8)
                .filter_map(move |column| Some((column, layout.cell_bytes(column, stripe)?)))
                .filter_map({
                    let bytes = bytes.clone();
                    move |(column, held)| {
                        (held.start < bytes.end && bytes.start < held.end).then_some((column, stripe))
                    }
                })
        })
    }

    /// Which of the segment's bytes a data column's cell holds; `None` if only padding or no such cell.
    pub fn cell_bytes(&self, column: u8, stripe: u32) -> Option<Range<u64>> {
        let (column, unit) = (column as usize, self.unit_len(stripe));
        let begin = stripe as usize * self.k * UNIT + column * unit;
        let end = (begin + unit).min(self.bytes);
        (column < self.k && begin < end).then_some(begin as u64..end as u64)
    }

    /// Bytes of the segment with the padding of its last stripe.
    pub(super) fn padded_len(&self) -> usize {
        self.column_len() * self.k
    }

    /// Where a data column's unit lies in the padded segment.
    pub(super) fn data_range(&self, column: u8, stripe: u32) -> Range<usize> {
        let unit = self.unit_len(stripe);
        let begin = stripe as usize * self.k * UNIT + column as usize * unit;
        begin..begin + unit
    }
}

/// Sealed bytes of an item with that many plain bytes.
pub(super) fn sealed_len(plain: u64) -> u64 {
    plain.saturating_add(chunk_count(plain).saturating_mul(TAG as u64))
}

/// Chunks of an item; an empty one has one empty chunk.
pub(super) fn chunk_count(plain: u64) -> u64 {
    plain.div_ceil(CHUNK as u64).max(1)
}

/// Most plain bytes of an item that is sealed within `room` bytes; `None` if not even the empty item fits.
pub(super) fn most_plain(room: usize) -> Option<usize> {
    let (whole, rest) = (room / (CHUNK + TAG), room % (CHUNK + TAG));
    if whole == 0 && rest < TAG { None } else { Some(whole * CHUNK + rest.saturating_sub(TAG)) }
}

impl Item {
    /// Its sealed bytes in the segment.
    pub fn sealed_bytes(&self) -> u64 {
        sealed_len(self.bytes)
    }

    /// Its chunks; an empty item has one empty chunk.
    pub fn chunks(&self) -> u32 {
        chunk_count(self.bytes).try_into().unwrap_or(u32::MAX)
    }

    /// The chunks that hold these plain bytes of the item; none for an empty range, except that an empty item's one
    /// chunk always counts, so that its presence is proved.
    pub fn chunks_of(&self, bytes: Range<u64>) -> Range<u32> {
        if self.bytes == 0 {
            return 0..1;
        }
        let end = bytes.end.min(self.bytes);
        if bytes.start >= end {
            return 0..0;
        }
        (bytes.start / CHUNK as u64) as u32..end.div_ceil(CHUNK as u64) as u32
    }

    /// Where these chunks lie in the segment.
    pub fn chunks_range(&self, chunks: Range<u32>) -> Range<u64> {
        let end = |chunk: u32| (u64::from(chunk) * (CHUNK + TAG) as u64).min(self.sealed_bytes());
        let (start, end) = (end(chunks.start), end(chunks.end));
        self.offset.saturating_add(start)..self.offset.saturating_add(end.max(start))
    }

    /// The plain bytes that a chunk holds.
    pub(super) fn chunk_len(&self, chunk: u32) -> usize {
        let begin = u64::from(chunk) * CHUNK as u64;
        self.bytes.saturating_sub(begin).min(CHUNK as u64) as usize
    }
}
