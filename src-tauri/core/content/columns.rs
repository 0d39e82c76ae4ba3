//! What shards are sealed from: columns of one segment, all of them as coded or some that are to lie elsewhere.
//!
//! Invariant: [`SomeColumns`] are the columns that the owner signed. They come only from a coded segment, or from
//! [`crate::manifest::PlacementRecord::columns`], which checks each.

use std::collections::BTreeMap;

use super::{CodedSegment, Layout};

/// Columns of one segment that never change.
pub trait Columns: Send + Sync {
    /// How the segment is laid out.
    fn layout(&self) -> &Layout;

    /// Whether this column is among them.
    fn has(&self, column: u8) -> bool;

    /// One unit of a column, in place.
    ///
    /// # Panics
    /// If the column is not among them, or the segment has no such stripe.
    fn unit(&self, column: u8, stripe: u32) -> &[u8];
}

impl Columns for CodedSegment {
    fn layout(&self) -> &Layout {
        self.layout()
    }

    fn has(&self, column: u8) -> bool {
        column < self.coding().n()
    }

    fn unit(&self, column: u8, stripe: u32) -> &[u8] {
        self.unit(column, stripe)
    }
}

/// Some whole columns of a segment.
pub struct SomeColumns {
    layout: Layout,
    columns: BTreeMap<u8, Vec<u8>>,
}

impl SomeColumns {
    pub(crate) fn new(layout: Layout, columns: BTreeMap<u8, Vec<u8>>) -> Self {
        Self { layout, columns }
    }
}

impl Columns for SomeColumns {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn has(&self, column: u8) -> bool {
        self.columns.contains_key(&column)
    }

    fn unit(&self, column: u8, stripe: u32) -> &[u8] {
        let bytes = self.columns.get(&column).expect("whoever asks has asked whether it is here");
        &bytes[self.layout.unit_range(stripe)]
    }
}
