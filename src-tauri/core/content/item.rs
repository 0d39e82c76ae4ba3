//! Items: a file's part in one segment, sealed chunk by chunk. A chunk that was moved, dropped or cut off is refused.

use std::ops::Range;

use super::{CHUNK, VERSION, cipher::Stream, layout};
use crate::{SegmentId, manifest::Item};

/// Why sealed bytes are not what the item says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// Cut off, or with something behind.
    #[error("{found} sealed bytes instead of {expected}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes that these chunks have.
        expected: usize,
    },
    /// A chunk that was changed or moved, or sealed under another key or for another item.
    #[error("chunk {chunk} is not what was sealed")]
    Chunk {
        /// Its index.
        chunk: u32,
    },
    /// The item has no such chunk.
    #[error("there is no chunk {chunk}")]
    NoSuchChunk {
        /// Its index.
        chunk: u32,
    },
}

/// Opens an item's chunks, in any order.
pub struct ItemOpener {
    item: Item,
    stream: Stream,
}

impl ItemOpener {
    /// Makes the item's key ready.
    pub fn new(item: &Item) -> Self {
        Self { stream: stream(item), item: item.clone() }
    }

    /// Which of the segment's bytes are needed for these plain bytes of the item: those of whole chunks.
    pub fn needs(&self, plain: Range<u64>) -> Range<u64> {
        self.item.chunks_range(self.item.chunks_of(plain))
    }

    /// Opens one chunk in place and returns its plain bytes.
    ///
    /// # Errors
    /// [`ItemError`] if it is not that very chunk, whole and unchanged.
    pub fn open_chunk<'a>(&self, chunk: u32, sealed: &'a mut [u8]) -> Result<&'a [u8], ItemError> {
        if chunk >= self.item.chunks() {
            return Err(ItemError::NoSuchChunk { chunk });
        }
        let expected = layout::sealed_len(self.item.chunk_len(chunk) as u64) as usize;
        if sealed.len() != expected {
            return Err(ItemError::Length { found: sealed.len(), expected });
        }
        match self.stream.open(chunk, self.is_last(chunk), sealed) {
            Ok(plain) => Ok(&sealed[..plain]),
            Err(_) => Err(ItemError::Chunk { chunk }),
        }
    }

    /// Opens in place and appends the item's plain bytes `plain` to `out`; `sealed` are the segment's bytes that
    /// [`ItemOpener::needs`] names.
    ///
    /// # Errors
    /// [`ItemError`]; `out` then holds only bytes that are right.
    pub fn open_range(
        &self,
        plain: Range<u64>,
        sealed: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ItemError> {
        let needs = self.needs(plain.clone());
        let expected = (needs.end - needs.start) as usize;
        if sealed.len() != expected {
            return Err(ItemError::Length { found: sealed.len(), expected });
        }
        let mut rest = sealed;
        for chunk in self.item.chunks_of(plain.clone()) {
            let len = layout::sealed_len(self.item.chunk_len(chunk) as u64) as usize;
            let (head, tail) = rest.split_at_mut(len);
            let opened = self.open_chunk(chunk, head)?;
            let begin = u64::from(chunk) * CHUNK as u64;
            let within = |at: u64| (at.saturating_sub(begin) as usize).min(opened.len());
            out.extend_from_slice(&opened[within(plain.start)..within(plain.end)]);
            rest = tail;
        }
        Ok(())
    }

    fn is_last(&self, chunk: u32) -> bool {
        chunk + 1 == self.item.chunks()
    }
}

/// A part of an item as its sealed bytes come in: opened chunk by chunk, in place where a chunk comes whole.
pub struct ItemReader {
    opener: ItemOpener,
    plain: Range<u64>,
    next: u32,
    end: u32,
    /// The beginning of a chunk whose rest has not come yet.
    begun: Vec<u8>,
}

impl ItemReader {
    /// Begins to read these plain bytes of the item.
    pub fn new(item: &Item, plain: Range<u64>) -> Self {
        let chunks = item.chunks_of(plain.clone());
        let opener = ItemOpener::new(item);
        Self { opener, plain, next: chunks.start, end: chunks.end, begun: Vec::new() }
    }

    /// Takes the next of the bytes that [`ItemOpener::needs`] names, in pieces of any size, and gives the wanted plain
    /// bytes of each chunk that they complete.
    ///
    /// # Errors
    /// [`ItemError`] at the first wrong chunk, or what `take` says.
    pub fn push<E: From<ItemError>>(
        &mut self,
        mut sealed: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.next < self.end && !sealed.is_empty() {
            let len = layout::sealed_len(self.opener.item.chunk_len(self.next) as u64) as usize;
            let missing = (len - self.begun.len()).min(sealed.len());
            let (head, rest) = sealed.split_at_mut(missing);
            sealed = rest;
            if missing == len {
                self.open(head, take)?;
                continue;
            }
            self.begun.extend_from_slice(head);
            if self.begun.len() == len {
                let mut chunk = std::mem::take(&mut self.begun);
                self.open(&mut chunk, take)?;
                chunk.clear();
                self.begun = chunk;
            }
        }
        Ok(())
    }

    fn open<E: From<ItemError>>(
        &mut self,
        sealed: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let opened = self.opener.open_chunk(self.next, sealed)?;
        let begin = u64::from(self.next) * CHUNK as u64;
        let within = |at: u64| (at.saturating_sub(begin) as usize).min(opened.len());
        self.next += 1;
        take(&opened[within(self.plain.start)..within(self.plain.end)])
    }
}

/// The one-time key of an item, bound to its id and segment.
pub(super) fn stream(item: &Item) -> Stream {
    let SegmentId(segment) = item.segment;
    Stream::new(&item.key, [&[VERSION], item.id.as_slice(), &segment].concat())
}
