//! Packs files into sealed segments as they are read. Small files share a segment; a large one is cut into items.
//!
//! Invariant: every item's key is drawn here, seals that item once, and is handed out only with the sealed bytes. An
//! interrupted packer is dropped; the next one draws new keys.

use rand::CryptoRng;

use super::{
    CHUNK, MAX_SEGMENT, TAG, TARGET_SEGMENT_QUICK,
    cipher::Stream,
    item::stream,
    layout::{most_plain, sealed_len},
};
use crate::{
    FileId, SegmentId,
    manifest::{Item, SecretKey, random},
};

/// Calls out of order, or a target that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// A file was begun before the last one ended.
    #[error("the file before has not ended")]
    StillOpen,
    /// Bytes came, or an end, without a file.
    #[error("no file has begun")]
    NotBegun,
    /// The target is too small for a chunk or above [`MAX_SEGMENT`].
    #[error("a segment is filled to 65,552 to 67,108,864 bytes, not {target}")]
    Target {
        /// What was asked for.
        target: usize,
    },
}

/// A full segment, sealed, with the items it holds.
#[derive(Debug)]
pub struct SealedSegment {
    /// Random.
    pub id: SegmentId,
    /// Sealed items, one behind the other.
    pub bytes: Vec<u8>,
    /// Each item with its file, in the order of their offsets.
    pub items: Vec<(FileId, Item)>,
}

/// Packs files, one after the other, into segments of about `target` sealed bytes.
pub struct Packer<R> {
    target: usize,
    next_target: usize,
    rng: R,
    segment: SealedSegment,
    file: Option<FileId>,
    open: Option<OpenItem>,
}

/// The item that grows at the segment's end; its newest chunk stands there unsealed.
struct OpenItem {
    item: Item,
    stream: Stream,
    most: usize,
    chunk: u32,
    chunk_start: usize,
}

impl<R: CryptoRng> Packer<R> {
    /// A packer that fills segments up to `target` sealed bytes, drawing ids and keys from `rng`.
    ///
    /// # Errors
    /// [`PackError::Target`] unless one chunk fits and [`MAX_SEGMENT`] is kept.
    pub fn new(target: usize, mut rng: R) -> Result<Self, PackError> {
        let target = checked(target)?;
        let segment = empty_segment(&mut rng);
        Ok(Self { target, next_target: target, rng, segment, file: None, open: None })
    }

    /// From the next segment on, fills them up to another target.
    ///
    /// # Errors
    /// [`PackError::Target`], as [`Packer::new`].
    pub fn retarget(&mut self, target: usize) -> Result<(), PackError> {
        self.next_target = checked(target)?;
        Ok(())
    }

    /// Begins a file; `len_hint` is its length as far as known. A small file that does not fit in what is left of the
    /// segment comes whole into the next one: then the full one is returned.
    ///
    /// # Errors
    /// [`PackError::StillOpen`] before the last one's [`Packer::end`] or [`Packer::abandon`].
    pub fn begin(&mut self, file: FileId, len_hint: u64) -> Result<Option<SealedSegment>, PackError> {
        if self.file.is_some() {
            return Err(PackError::StillOpen);
        }
        self.file = Some(file);
        let sealed = sealed_len(len_hint);
        let small = sealed <= (self.target / 4) as u64;
        let full = self.room() <= TAG || (small && sealed > self.room() as u64);
        let done = if full { self.take() } else { None };
        if self.segment.bytes.capacity() == 0 {
            self.segment.bytes.reserve_exact(self.target.min(usize::try_from(sealed).unwrap_or(self.target)));
        }
        self.open_item();
        Ok(done)
    }

    /// Takes the file's next bytes; returns the segments they fill.
    ///
    /// # Errors
    /// [`PackError::NotBegun`] without a file.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<SealedSegment>, PackError> {
        let file = self.file.ok_or(PackError::NotBegun)?;
        let mut done = Vec::new();
        while !bytes.is_empty() {
            let open = self.open.as_mut().ok_or(PackError::NotBegun)?;
            let room = open.most - open.item.bytes as usize;
            if room == 0 {
                self.close_item(file);
                done.extend(self.take());
                self.segment.bytes.reserve_exact(self.target);
                self.open_item();
                continue;
            }
            let taken = open.push(&mut self.segment.bytes, &bytes[..room.min(bytes.len())]);
            bytes = &bytes[taken..];
        }
        Ok(done)
    }

    /// Plain bytes that the growing item still takes: after so many the next [`Packer::push`] begins another one.
    pub fn room_in_item(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.most - open.item.bytes as usize)
    }

    /// Ends the file. Its last item may stay in the segment that is still filling: [`Packer::flush`] brings it out.
    ///
    /// # Errors
    /// [`PackError::NotBegun`] without a file.
    pub fn end(&mut self) -> Result<(), PackError> {
        let file = self.file.take().ok_or(PackError::NotBegun)?;
        self.close_item(file);
        Ok(())
    }

    /// Forgets the file that is open, e.g. because it cannot be read on: its part in the segment that is still filling
    /// is taken out. Segments returned before keep theirs, as dead bytes.
    pub fn abandon(&mut self) {
        self.file = None;
        if let Some(open) = self.open.take() {
            self.segment.bytes.truncate(open.item.offset as usize);
        }
    }

    /// Brings out the segment that is still filling, if it holds anything.
    ///
    /// # Errors
    /// [`PackError::StillOpen`] while a file is open.
    pub fn flush(&mut self) -> Result<Option<SealedSegment>, PackError> {
        if self.file.is_some() { Err(PackError::StillOpen) } else { Ok(self.take()) }
    }

    fn room(&self) -> usize {
        self.target - self.segment.bytes.len()
    }

    fn take(&mut self) -> Option<SealedSegment> {
        if self.segment.items.is_empty() {
            return None;
        }
        self.target = self.next_target;
        let next = empty_segment(&mut self.rng);
        Some(std::mem::replace(&mut self.segment, next))
    }

    fn open_item(&mut self) {
        let offset = self.segment.bytes.len();
        let item = Item {
            id: random(&mut self.rng),
            segment: self.segment.id,
            offset: offset as u64,
            bytes: 0,
            key: SecretKey::random(&mut self.rng),
        };
        let most = most_plain(self.target - offset).expect("begin and push leave room for a tag and a byte");
        self.open = Some(OpenItem { stream: stream(&item), item, most, chunk: 0, chunk_start: offset });
    }

    fn close_item(&mut self, file: FileId) {
        if let Some(open) = self.open.take() {
            open.stream.seal_tail(open.chunk, true, &mut self.segment.bytes, open.chunk_start);
            self.segment.items.push((file, open.item));
        }
    }
}

impl OpenItem {
    /// Takes bytes up to the end of a chunk and returns how many. A full chunk is sealed only when more bytes come:
    /// until then it may be the last.
    fn push(&mut self, segment: &mut Vec<u8>, bytes: &[u8]) -> usize {
        if segment.len() - self.chunk_start == CHUNK {
            self.stream.seal_tail(self.chunk, false, segment, self.chunk_start);
            self.chunk += 1;
            self.chunk_start = segment.len();
        }
        let taken = bytes.len().min(CHUNK - (segment.len() - self.chunk_start));
        segment.extend_from_slice(&bytes[..taken]);
        self.item.bytes += taken as u64;
        taken
    }
}

fn checked(target: usize) -> Result<usize, PackError> {
    if (CHUNK + TAG..=MAX_SEGMENT).contains(&target) { Ok(target) } else { Err(PackError::Target { target }) }
}

/// Its buffer never grows by moving, nor when it is padded: what is not filled takes no memory.
fn empty_segment(rng: &mut impl CryptoRng) -> SealedSegment {
    let bytes = Vec::with_capacity(TARGET_SEGMENT_QUICK + CHUNK);
    SealedSegment { id: SegmentId(random(rng)), bytes, items: Vec::new() }
}
