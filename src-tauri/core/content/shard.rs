//! Shards: one column, sealed once more cell by cell for one farmer. The first wrong cell names who sent it.

use std::{ops::Range, sync::Arc};

use hkdf::Hkdf;
use rand::CryptoRng;
use sha2::Sha256;

use super::{Columns, Layout, TAG, VERSION, cipher::Stream};
use crate::{
    ShardId,
    manifest::{SecretKey, random},
};

/// Why a shard's bytes are not what its owner sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// A cell that was changed or moved, or is of another shard.
    #[error("cell {cell} is not what was sealed")]
    Cell {
        /// Its index.
        cell: u32,
    },
    /// A cell of the wrong length.
    #[error("cell {cell} has {found} bytes instead of {expected}")]
    CellLength {
        /// Its index.
        cell: u32,
        /// Bytes given.
        found: usize,
        /// Bytes it has.
        expected: usize,
    },
    /// The shard has no such cell.
    #[error("there is no cell {cell}")]
    NoSuchCell {
        /// Its index.
        cell: u32,
    },
    /// More bytes than the cells asked for have.
    #[error("more bytes than the {expected} asked for")]
    TooLong {
        /// Bytes asked for.
        expected: u64,
    },
    /// The bytes end before the cells asked for do.
    #[error("the bytes end within cell {cell}")]
    Truncated {
        /// The first cell that is not whole.
        cell: u32,
    },
    /// The column's bytes do not match the root that the owner signed.
    #[error("the column does not match its root")]
    Root,
}

/// Seals one column for one farmer under an id of its own. The cells can be sealed in any order and again (to go on
/// after a break): the segment cannot change, so each comes out the same.
pub struct ShardSealer {
    columns: Arc<dyn Columns>,
    column: u8,
    id: ShardId,
    stream: Stream,
}

impl ShardSealer {
    /// Draws the shard's id. Another farmer or another try takes a new sealer.
    ///
    /// # Panics
    /// If the column is not among them.
    pub fn new(
        columns: Arc<dyn Columns>,
        column: u8,
        outer_key: &SecretKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        assert!(columns.has(column), "no such column");
        let id = ShardId(random(rng));
        Self { columns, column, id, stream: stream(outer_key, &id) }
    }

    /// The id drawn.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The column it seals.
    pub fn column(&self) -> u8 {
        self.column
    }

    /// The segment's layout: how many cells there are, and their lengths.
    pub fn layout(&self) -> &Layout {
        self.columns.layout()
    }

    /// Appends one sealed cell to `out`.
    ///
    /// # Panics
    /// If the shard has no such cell.
    pub fn seal_cell(&self, cell: u32, out: &mut Vec<u8>) {
        let unit = self.columns.unit(self.column, cell);
        out.reserve(unit.len() + TAG);
        let start = out.len();
        out.extend_from_slice(unit);
        self.stream.seal_tail(cell, self.layout().is_last(cell), out, start);
    }
}

/// Opens a shard's cells, in any order.
pub struct ShardOpener {
    layout: Layout,
    stream: Stream,
}

impl ShardOpener {
    /// Derives the shard's key.
    pub fn new(outer_key: &SecretKey, id: &ShardId, layout: Layout) -> Self {
        Self { layout, stream: stream(outer_key, id) }
    }

    /// Opens one cell in place and returns the unit.
    ///
    /// # Errors
    /// [`ShardError`] if it is not that very cell, whole and unchanged.
    pub fn open_cell<'a>(&self, cell: u32, sealed: &'a mut [u8]) -> Result<&'a [u8], ShardError> {
        if cell >= self.layout.stripes() {
            return Err(ShardError::NoSuchCell { cell });
        }
        let expected = self.layout.unit_len(cell) + TAG;
        if sealed.len() != expected {
            return Err(ShardError::CellLength { cell, found: sealed.len(), expected });
        }
        match self.stream.open(cell, self.layout.is_last(cell), sealed) {
            Ok(unit) => Ok(&sealed[..unit]),
            Err(_) => Err(ShardError::Cell { cell }),
        }
    }

    /// Reads the cells of these stripes from bytes that come in pieces of any size.
    pub fn read(self, stripes: Range<u32>) -> ColumnReader {
        let stripes = stripes.start..stripes.end.min(self.layout.stripes());
        let asked = self.layout.cells_range(stripes.clone());
        let expected = asked.end - asked.start;
        ColumnReader {
            opener: self,
            next: stripes.start,
            end: stripes.end,
            expected,
            begun: 0,
            column: Vec::new(),
        }
    }
}

/// A column as it comes in from a farmer: opened cell by cell, in place.
pub struct ColumnReader {
    opener: ShardOpener,
    next: u32,
    end: u32,
    expected: u64,
    begun: usize,
    column: Vec<u8>,
}

impl ColumnReader {
    /// Whether all cells are there and right.
    pub fn is_complete(&self) -> bool {
        self.next >= self.end
    }

    /// Units opened so far.
    pub fn opened(&self) -> u32 {
        self.next
    }

    /// Takes the next bytes of the shard, and opens every cell they complete.
    ///
    /// # Errors
    /// [`ShardError`] at the first wrong cell, or bytes behind the last: whoever sent them is to blame.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), ShardError> {
        if self.column.capacity() == 0 {
            self.column.reserve_exact(self.expected as usize);
        }
        while !bytes.is_empty() {
            if self.is_complete() {
                return Err(ShardError::TooLong { expected: self.expected });
            }
            let cell = self.opener.layout.unit_len(self.next) + TAG;
            let missing = cell - (self.column.len() - self.begun);
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.column.extend_from_slice(taken);
            bytes = rest;
            if taken.len() == missing {
                let unit = self.opener.open_cell(self.next, &mut self.column[self.begun..])?.len();
                self.begun += unit;
                self.column.truncate(self.begun);
                self.next += 1;
            }
        }
        Ok(())
    }

    /// The column's bytes in these stripes.
    ///
    /// # Errors
    /// [`ShardError::Truncated`] if cells are missing.
    pub fn finish(self) -> Result<Vec<u8>, ShardError> {
        if self.is_complete() { Ok(self.column) } else { Err(ShardError::Truncated { cell: self.next }) }
    }
}

/// Whether a whole column is the one that the owner signed.
///
/// # Errors
/// [`ShardError::Root`] if not.
pub fn check_root(column: &[u8], root: &[u8; 32]) -> Result<(), ShardError> {
    if blake3::hash(column).as_bytes() == root { Ok(()) } else { Err(ShardError::Root) }
}

fn stream(outer_key: &SecretKey, ShardId(id): &ShardId) -> Stream {
    let mut key = SecretKey([0; 32]);
    Hkdf::<Sha256>::new(None, &outer_key.0)
        .expand_multi_info(&[b"hayloft/1/shard", id], &mut key.0)
        .expect("32 bytes are within HKDF's limit");
    Stream::new(&key, [&[VERSION], id.as_slice()].concat())
}
