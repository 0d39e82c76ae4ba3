//! Opening an item's chunks as its sealed bytes come in, off the async threads.

use std::ops::Range;

use hayloft_core::{content::ItemOpener, manifest::Item};

use super::{OwnerError, output::PartFile};

/// An item being read: opened chunk by chunk, whatever the pieces that its sealed bytes come in.
pub(crate) struct Opening {
    /// Index of the item in its file's record.
    pub(crate) index: usize,
    item: Item,
    opener: ItemOpener,
    plain: Range<u64>,
    next: u32,
    end: u32,
    buffer: Vec<u8>,
}

impl Opening {
    /// Begins to read these plain bytes of an item.
    pub(crate) fn new(index: usize, item: &Item, plain: Range<u64>) -> Self {
        let chunks = item.chunks_of(plain.clone());
        let (opener, item) = (ItemOpener::new(item), item.clone());
        Self { index, opener, item, plain, next: chunks.start, end: chunks.end, buffer: Vec::new() }
    }

    /// Takes the next sealed bytes, and gives the plain bytes of every chunk they complete.
    ///
    /// # Errors
    /// [`OwnerError::Damaged`] with an empty name: the chunk is not what was sealed.
    pub(crate) fn push(&mut self, sealed: Vec<u8>, out: &mut Vec<u8>) -> Result<(), OwnerError> {
        if self.buffer.is_empty() {
            self.buffer = sealed;
        } else {
            self.buffer.extend_from_slice(&sealed);
        }
        let mut used = 0;
        while self.next < self.end {
            let place = self.item.chunks_range(self.next..self.next + 1);
            let len = (place.end - place.start) as usize;
            let Some(chunk) = self.buffer.get_mut(used..used + len) else { break };
            let opened = self.opener.open_chunk(self.next, chunk);
            let opened = opened.map_err(|error| OwnerError::Damaged(error.to_string()))?;
            let begin = u64::from(self.next) * hayloft_core::content::CHUNK as u64;
            let within = |at: u64| (at.saturating_sub(begin) as usize).min(opened.len());
            out.extend_from_slice(&opened[within(self.plain.start)..within(self.plain.end)]);
            used += len;
            self.next += 1;
        }
        self.buffer.drain(..used);
        Ok(())
    }
}

/// Opens and writes what has come, off the async threads. Gives back both, and how many plain bytes were written.
pub(crate) async fn open_and_write(
    mut opening: Opening,
    sealed: Vec<u8>,
    mut file: PartFile,
    name: &str,
) -> Result<(Opening, PartFile, u64), OwnerError> {
    let name = name.to_owned();
    let work = move || {
        let mut plain = Vec::with_capacity(sealed.len());
        opening.push(sealed, &mut plain).map_err(|_| OwnerError::Damaged(name))?;
        file.write(&plain)?;
        Ok((opening, file, plain.len() as u64))
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| OwnerError::Stopped)?
}
