//! What the parts of this module do together; each file is one theme.

mod bad_files;
mod round_trip;
mod rules;
mod vectors;

use std::{convert::Infallible, ops::Range, sync::Arc};

use rand::{TryCryptoRng, TryRng};

use super::*;
use crate::{
    FileId,
    manifest::{Item, SecretKey},
};

/// Random bytes that depend on the seed alone, whatever the version of any library: BLAKE3's output stream.
pub(crate) struct FixedRng(blake3::OutputReader);

impl FixedRng {
    pub(crate) fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }
}

impl TryRng for FixedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}

/// Bytes that look like nothing, different for each seed.
pub(crate) fn plain(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    FixedRng::new(&format!("plain {seed}")).0.fill(&mut bytes);
    bytes
}

/// Packs files whole, each pushed in pieces of `piece` bytes.
fn pack(target: usize, files: &[Vec<u8>], piece: usize, rng: &mut FixedRng) -> Vec<SealedSegment> {
    let mut packer = Packer::new(target, rng).unwrap();
    let mut segments = Vec::new();
    for (number, file) in files.iter().enumerate() {
        segments.extend(packer.begin(file_id(number), file.len() as u64).unwrap());
        for bytes in file.chunks(piece) {
            segments.extend(packer.push(bytes).unwrap());
        }
        packer.end().unwrap();
    }
    segments.extend(packer.flush().unwrap());
    segments
}

fn file_id(number: usize) -> FileId {
    FileId([number as u8; 32])
}

/// A segment as farmers hold it.
struct Placed {
    layout: Layout,
    outer: SecretKey,
    shards: Vec<(crate::ShardId, Vec<u8>)>,
}

fn place(segment: &Arc<CodedSegment>, rng: &mut FixedRng) -> Placed {
    let outer = SecretKey::random(rng);
    let shards = (0..segment.coding().n()).map(|column| {
        let sealer = ShardSealer::new(segment.clone(), column, &outer, rng);
        let mut bytes = Vec::new();
        (0..segment.layout().stripes()).for_each(|cell| sealer.seal_cell(cell, &mut bytes));
        (sealer.id(), bytes)
    });
    Placed { layout: *segment.layout(), shards: shards.collect(), outer }
}

impl Placed {
    /// Reads a column's part in these stripes, the bytes coming in pieces.
    fn read(&self, column: u8, stripes: Range<u32>, piece: usize) -> Result<Vec<u8>, ShardError> {
        let (id, shard) = &self.shards[usize::from(column)];
        let mut reader = ShardOpener::new(&self.outer, id, self.layout).read(stripes.clone());
        let cells = self.layout.cells_range(stripes);
        for bytes in shard[cells.start as usize..cells.end as usize].chunks(piece) {
            reader.push(bytes)?;
        }
        reader.finish()
    }

    /// The segment's bytes in these stripes, from the columns given.
    fn decode(&self, coder: &Coder, columns: &[u8], stripes: Range<u32>, piece: usize) -> Vec<u8> {
        let mut columns: Vec<_> = columns
            .iter()
            .map(|&column| (column, self.read(column, stripes.clone(), piece).unwrap()))
            .collect();
        coder.decode(&self.layout, stripes, &mut columns).unwrap()
    }
}
