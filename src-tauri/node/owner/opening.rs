//! Opening an item's chunks as its sealed bytes come in, off the async threads.

use std::{ops::Range, sync::Arc};

use hayloft_core::{
    content::{Coder, ItemError, ItemReader, Layout},
    manifest::Item,
};

use super::{OwnerError, output::PartFile};

/// Bytes of a segment, still sealed by their items.
pub(crate) enum Sealed {
    /// As they are.
    Whole(Vec<u8>),
    /// In columns, to be decoded.
    Coded(Columns),
}

/// Stripes of a segment in k of its columns, of which a range of the segment's bytes is wanted.
pub(crate) struct Columns {
    pub(crate) coder: Arc<Coder>,
    pub(crate) layout: Layout,
    pub(crate) stripes: Range<u32>,
    pub(crate) columns: Vec<(u8, Vec<u8>)>,
    pub(crate) wanted: Range<u64>,
}

impl Sealed {
    /// Gives the bytes in order, in pieces of any size; decodes on this thread.
    pub(crate) fn each(
        self,
        mut take: impl FnMut(&mut [u8]) -> Result<(), OwnerError>,
    ) -> Result<(), OwnerError> {
        let Columns { coder, layout, stripes, mut columns, wanted } = match self {
            Self::Whole(mut bytes) => return take(&mut bytes),
            Self::Coded(columns) => columns,
        };
        let mut at = layout.stripes_range(stripes.clone()).start;
        coder.decode_each(&layout, stripes, &mut columns, |stripe| {
            let end = at + stripe.len() as u64;
            let within = |bound: u64| (bound.clamp(at, end) - at) as usize;
            let (from, until) = (within(wanted.start), within(wanted.end));
            at = end;
            take(&mut stripe[from..until])
        })
    }
}

/// An item being read: opened chunk by chunk, whatever the pieces that its sealed bytes come in.
pub(crate) struct Opening {
    /// Index of the item in its file's record.
    pub(crate) index: usize,
    reader: ItemReader,
}

impl Opening {
    /// Begins to read these plain bytes of an item.
    pub(crate) fn new(index: usize, item: &Item, plain: Range<u64>) -> Self {
        Self { index, reader: ItemReader::new(item, plain) }
    }

    /// Takes the next sealed bytes, and gives the plain bytes of every chunk they complete.
    ///
    /// # Errors
    /// [`OwnerError::Damaged`] without the file's name: a chunk is not what was sealed; or what `take` says.
    pub(crate) fn push(
        &mut self,
        sealed: Sealed,
        mut take: impl FnMut(&[u8]) -> Result<(), OwnerError>,
    ) -> Result<(), OwnerError> {
        sealed.each(|bytes| self.reader.push(bytes, &mut take))
    }
}

impl From<ItemError> for OwnerError {
    fn from(error: ItemError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Opens and writes what has come, off the async threads. Gives back both, and how many plain bytes were written.
pub(crate) async fn open_and_write(
    mut opening: Opening,
    sealed: Sealed,
    mut file: PartFile,
    name: &str,
) -> Result<(Opening, PartFile, u64), OwnerError> {
    let name = name.to_owned();
    let work = move || {
        let mut written = 0;
        let opened = opening.push(sealed, |plain| {
            written += plain.len() as u64;
            file.write(plain)
        });
        opened.map_err(|error| match error {
            OwnerError::Damaged(_) => OwnerError::Damaged(name),
            other => other,
        })?;
        Ok((opening, file, written))
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| OwnerError::Stopped)?
}
