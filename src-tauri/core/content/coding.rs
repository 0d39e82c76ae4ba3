//! Any k of n columns bring a segment back: Reed–Solomon over stripes.
//!
//! Without parity (n = k) and for plain copies (k = 1) there is no matrix at all; reading all k data columns costs a
//! copy. Codes detect no wrong bytes: cells and column roots do.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use reed_solomon_erasure::galois_8::ReedSolomon;

use super::{Layout, LayoutError, SomeColumns};

/// Why columns cannot be coded or decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// Not 1 ≤ k ≤ n.
    #[error("{k} of {n} is no coding: it takes 1 ≤ k ≤ n")]
    Impossible {
        /// Columns needed.
        k: u8,
        /// Columns made.
        n: u8,
    },
    /// The segment cannot be so.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Fewer than k different columns.
    #[error("{have} columns are fewer than the {k} needed")]
    TooFew {
        /// Columns given.
        have: usize,
        /// Columns needed.
        k: u8,
    },
    /// A column that the code does not have, or the same one twice.
    #[error("column {column} does not belong here")]
    Column {
        /// Its number.
        column: u8,
    },
    /// A column with more or fewer bytes than the stripes asked for.
    #[error("column {column} has {found} bytes instead of {expected}")]
    ColumnLength {
        /// Its number.
        column: u8,
        /// Bytes given.
        found: usize,
        /// Bytes of these stripes.
        expected: usize,
    },
    /// The layout is that of another k.
    #[error("the segment is laid out for another number of data columns")]
    OtherLayout,
}

/// k of n: any `k` of the `n` columns suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Coding {
    k: u8,
    n: u8,
}

impl Coding {
    /// `k` of `n`.
    ///
    /// # Errors
    /// [`CodingError::Impossible`] unless 1 ≤ k ≤ n.
    pub fn new(k: u8, n: u8) -> Result<Self, CodingError> {
        if k >= 1 && k <= n { Ok(Self { k, n }) } else { Err(CodingError::Impossible { k, n }) }
    }

    /// Columns needed.
    pub fn k(&self) -> u8 {
        self.k
    }

    /// Columns made.
    pub fn n(&self) -> u8 {
        self.n
    }

    /// Columns that may be lost.
    pub fn spare(&self) -> u8 {
        self.n - self.k
    }

    /// How many times a segment's bytes its shards take, without the tags.
    pub fn price_factor(&self) -> f64 {
        f64::from(self.n) / f64::from(self.k)
    }
}

/// A coding made ready: holds its matrices, so make it once and share it.
pub struct Coder {
    coding: Coding,
    matrix: Option<ReedSolomon>,
}

impl Coder {
    /// Makes the matrices; for large k this takes milliseconds.
    pub fn new(coding: Coding) -> Self {
        let matrix = (coding.k > 1 && coding.n > coding.k).then(|| {
            ReedSolomon::new(coding.k.into(), coding.spare().into())
                .expect("1 < k < n ≤ 255 is what the code supports")
        });
        Self { coding, matrix }
    }

    /// What it codes.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Codes a segment's sealed bytes; keeps them without a copy, and the parity columns beside them.
    ///
    /// # Errors
    /// [`CodingError::Layout`] if no segment has that many bytes.
    pub fn encode(&self, sealed: Vec<u8>) -> Result<CodedSegment, CodingError> {
        self.encode_with(&Parities::default(), sealed)
    }

    /// The same, with the memory of a segment coded with the same `parities` that is no longer needed.
    ///
    /// # Errors
    /// As [`Coder::encode`].
    pub fn encode_with(&self, parities: &Parities, sealed: Vec<u8>) -> Result<CodedSegment, CodingError> {
        let layout = Layout::new(sealed.len() as u64, self.coding.k)?;
        let mut data = sealed;
        data.resize(layout.padded_len(), 0);
        let bytes =
            self.matrix.as_ref().map_or(0, |_| layout.column_len() * usize::from(self.coding.spare()));
        let parity = parities.take(bytes);
        let mut coded = CodedSegment { coding: self.coding, layout, data, parity, roots: Vec::new() };
        if let Some(matrix) = &self.matrix {
            for stripe in 0..layout.stripes() {
                coded.fill_parity(matrix, stripe);
            }
        }
        coded.roots = (0..self.coding.n).map(|column| coded.compute_root(column)).collect();
        Ok(coded)
    }

    /// The segment's bytes in these stripes, without padding, from k of its columns; each entry holds a column's
    /// number and its bytes in these stripes. Columns beyond k are left unused.
    ///
    /// The entries' bytes stay as they are.
    ///
    /// # Errors
    /// [`CodingError`] for too few columns, or ones that do not belong; nothing is decoded then.
    pub fn decode<C: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        layout: &Layout,
        stripes: Range<u32>,
        columns: &mut [(u8, C)],
    ) -> Result<Vec<u8>, CodingError> {
        let held = layout.stripes_range(stripes.clone());
        let mut out = Vec::with_capacity((held.end - held.start) as usize);
        let decoded = self.decode_each(layout, stripes, columns, |stripe| {
            out.extend_from_slice(stripe);
            Ok(())
        });
        decoded.map(|()| out)
    }

    /// The same, one stripe after the other, so that a stripe is used while it is still in the processor's cache.
    ///
    /// # Errors
    /// As [`Coder::decode`], before `take` is called; or what `take` says.
    pub fn decode_each<C: AsRef<[u8]> + AsMut<[u8]>, E: From<CodingError>>(
        &self,
        layout: &Layout,
        stripes: Range<u32>,
        columns: &mut [(u8, C)],
        mut take: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let stripes = stripes.start..stripes.end.min(layout.stripes());
        self.check(layout, &stripes, columns)?;
        let mut data = vec![0; layout.unit_len(stripes.start) * usize::from(self.coding.k)];
        let mut at = 0;
        for stripe in stripes {
            let unit = layout.unit_len(stripe);
            let data = &mut data[..unit * usize::from(self.coding.k)];
            self.decode_stripe(columns, at..at + unit, data);
            at += unit;
            let held = layout.stripes_range(stripe..stripe + 1);
            take(&mut data[..(held.end - held.start) as usize])?;
        }
        Ok(())
    }

    fn check<C: AsRef<[u8]>>(
        &self,
        layout: &Layout,
        stripes: &Range<u32>,
        columns: &[(u8, C)],
    ) -> Result<(), CodingError> {
        if layout.k() != self.coding.k {
            return Err(CodingError::OtherLayout);
        }
        let expected = stripes.clone().map(|stripe| layout.unit_len(stripe)).sum();
        let mut seen = [false; 256];
        for (column, bytes) in columns {
            let (column, found) = (*column, bytes.as_ref().len());
            if column >= self.coding.n || std::mem::replace(&mut seen[usize::from(column)], true) {
                return Err(CodingError::Column { column });
            }
            if found != expected {
                return Err(CodingError::ColumnLength { column, found, expected });
            }
        }
        let (have, k) = (columns.len(), self.coding.k);
        if have < k.into() { Err(CodingError::TooFew { have, k }) } else { Ok(()) }
    }

    /// Fills `out`, the k data units of one stripe, from the columns' bytes `at`.
    fn decode_stripe<C: AsRef<[u8]> + AsMut<[u8]>>(
        &self,
        columns: &mut [(u8, C)],
        at: Range<usize>,
        out: &mut [u8],
    ) {
        let k = usize::from(self.coding.k);
        let Some(matrix) = &self.matrix else {
            for (column, bytes) in columns.iter().take(k) {
                let unit = if k == 1 { 0 } else { usize::from(*column) };
                out[unit * at.len()..][..at.len()].copy_from_slice(&bytes.as_ref()[at.clone()]);
            }
            return;
        };
        let mut slots: Vec<(&mut [u8], bool)> =
            out.chunks_exact_mut(at.len()).map(|unit| (unit, false)).collect();
        slots.resize_with(self.coding.n.into(), || (&mut [], false));
        let mut present = 0;
        for (column, bytes) in columns.iter().filter(|(column, _)| usize::from(*column) < k) {
            let slot = &mut slots[usize::from(*column)];
            slot.0.copy_from_slice(&bytes.as_ref()[at.clone()]);
            slot.1 = true;
            present += 1;
        }
        if present == k {
            return;
        }
        let parity = columns.iter_mut().filter(|(column, _)| usize::from(*column) >= k);
        for (column, bytes) in parity.take(k - present) {
            slots[usize::from(*column)] = (&mut bytes.as_mut()[at.clone()], true);
        }
        matrix.reconstruct_data(&mut slots).expect("k different columns of equal length were counted before");
    }
}

/// Memory for parity that segments coded one after the other hand on: pages that are fresh each time cost a fifth of the
/// coding. It holds as much as was in use at once, until the last of its clones and segments is dropped.
#[derive(Debug, Clone, Default)]
pub struct Parities(Arc<Mutex<Vec<Vec<u8>>>>);

impl Parities {
    /// So many bytes, of any content.
    fn take(&self, bytes: usize) -> Parity {
        let fitting = self.unused().pop().filter(|unused| unused.capacity() >= bytes);
        let bytes = match fitting {
            Some(mut unused) => {
                unused.resize(bytes, 0);
                unused
            }
            // Pages that the system gives are zero already.
            None => vec![0; bytes],
        };
        Parity { bytes, back: self.clone() }
    }

    fn unused(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parity of one segment, whose memory goes back.
struct Parity {
    bytes: Vec<u8>,
    back: Parities,
}

impl Drop for Parity {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() > 0 {
            self.back.unused().push(bytes);
        }
    }
}

/// A sealed segment with its parity: all n columns, and nothing that could change them.
pub struct CodedSegment {
    coding: Coding,
    layout: Layout,
    data: Vec<u8>,
    parity: Parity,
    roots: Vec<[u8; 32]>,
}

impl CodedSegment {
    /// How it is coded.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// How it is laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The segment's sealed bytes, without padding.
    pub fn sealed(&self) -> &[u8] {
        &self.data[..self.layout.bytes() as usize]
    }

    /// The same, without a copy; the parity is gone.
    pub fn into_sealed(self) -> Vec<u8> {
        let Self { mut data, layout, .. } = self;
        data.truncate(layout.bytes() as usize);
        data
    }

    /// BLAKE3 of each of the n columns: what the owner signs.
    pub fn roots(&self) -> &[[u8; 32]] {
        &self.roots
    }

    /// One unit of a column, in place.
    ///
    /// # Panics
    /// If the segment has no such column or stripe.
    pub fn unit(&self, column: u8, stripe: u32) -> &[u8] {
        assert!(column < self.coding.n && stripe < self.layout.stripes(), "no such column or stripe");
        if self.coding.k == 1 {
            return &self.data[self.layout.data_range(0, stripe)];
        }
        match column.checked_sub(self.coding.k) {
            None => &self.data[self.layout.data_range(column, stripe)],
            Some(parity) => {
                let column = usize::from(parity) * self.layout.column_len();
                &self.parity.bytes[column..][self.layout.unit_range(stripe)]
            }
        }
    }

    /// A whole column: what a lost shard held, computed again from the segment.
    pub fn column(&self, column: u8) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.layout.column_len());
        (0..self.layout.stripes()).for_each(|stripe| bytes.extend_from_slice(self.unit(column, stripe)));
        bytes
    }

    /// Copies of some columns, without the rest of the segment.
    ///
    /// # Panics
    /// If the segment has no such column.
    pub fn only(&self, columns: &[u8]) -> SomeColumns {
        let columns = columns.iter().map(|&column| (column, self.column(column)));
        SomeColumns::new(self.layout, columns.collect())
    }

    fn compute_root(&self, column: u8) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        (0..self.layout.stripes()).for_each(|stripe| {
            hasher.update(self.unit(column, stripe));
        });
        *hasher.finalize().as_bytes()
    }

    /// Works in pieces small enough that all n of them stay in the processor's cache.
    fn fill_parity(&mut self, matrix: &ReedSolomon, stripe: u32) {
        const PIECE: usize = 4096;
        let unit = self.layout.unit_range(stripe);
        let first = self.layout.data_range(0, stripe).start;
        for begin in (0..unit.len()).step_by(PIECE) {
            let len = PIECE.min(unit.len() - begin);
            let data: Vec<&[u8]> = (0..usize::from(self.coding.k))
                .map(|column| &self.data[first + column * unit.len() + begin..][..len])
                .collect();
            let mut parity: Vec<&mut [u8]> = self
                .parity
                .bytes
                .chunks_exact_mut(self.layout.column_len())
                .map(|column| &mut column[unit.start + begin..][..len])
                .collect();
            matrix.encode_sep(&data, &mut parity).expect("k data and n − k parity pieces of one length");
        }
    }
}
