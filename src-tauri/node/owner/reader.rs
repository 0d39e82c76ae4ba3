//! Reading files and packing them into sealed segments, on a thread of its own, while earlier segments are on their way.
//!
//! Each file is read once, hashed and sealed as it is read. What an earlier run of the job has placed already is only
//! hashed. A file that is not the same at its end as at its beginning is reported and never stored.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, Read as _},
};

use hayloft_core::{
    FileId,
    content::{Packer, SealedSegment, TARGET_SEGMENT},
    manifest::Item,
};
use tokio::sync::mpsc;

use super::{
    OwnerError,
    scan::{Source, Stamp},
};

/// Bytes read at once.
const READ: usize = 1024 * 1024;

/// A file to read.
#[derive(Debug, Clone)]
pub(crate) struct ToRead {
    pub(crate) source: Source,
    pub(crate) file: FileId,
    /// Parts placed by an earlier run: where they begin in the file, and their items.
    pub(crate) placed: BTreeMap<u64, Item>,
}

/// A file's part in a segment just sealed.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Index of the file among those to read.
    pub(crate) index: usize,
    /// Where the part begins in the file.
    pub(crate) offset: u64,
    pub(crate) item: Item,
}

/// What the reader says, in this order for each file: its segments, then its end.
pub(crate) enum Reading {
    /// A segment is full.
    Segment(SealedSegment, Vec<Part>),
    /// A file was read to its end, unchanged; some of its parts may come in a later segment.
    Read { index: usize, hash: [u8; 32] },
    /// A file could not be read, or changed meanwhile: it must not be stored.
    Failed { index: usize, error: OwnerError },
}

/// Nobody listens any more.
struct Deaf;

/// Reads all files in order; ends early when nobody listens any more.
pub(crate) fn read_all(files: &[ToRead], to: &mpsc::Sender<Reading>) {
    let packer = Packer::new(TARGET_SEGMENT, rand::rng()).expect("the target is within the limits");
    let mut reader = Reader { packer, runs: VecDeque::new(), to };
    let _ = reader.read_all(files);
}

/// A stretch of a file given to the packer: its items come out in order.
struct Run {
    index: usize,
    next: u64,
    end: Option<u64>,
    begun: bool,
}

struct Reader<'a, R> {
    packer: Packer<R>,
    runs: VecDeque<Run>,
    to: &'a mpsc::Sender<Reading>,
}

enum Stop {
    Deaf,
    File(OwnerError),
}

impl From<Deaf> for Stop {
    fn from(_: Deaf) -> Self {
        Self::Deaf
    }
}

impl<R: rand::CryptoRng> Reader<'_, R> {
    fn read_all(&mut self, files: &[ToRead]) -> Result<(), Deaf> {
        for (index, file) in files.iter().enumerate() {
            let said = match self.read_file(index, file) {
                Ok(hash) => Reading::Read { index, hash },
                Err(Stop::Deaf) => return Err(Deaf),
                Err(Stop::File(error)) => {
                    self.packer.abandon();
                    if self.runs.back().is_some_and(|run| run.index == index && run.end.is_none()) {
                        self.runs.pop_back();
                    }
                    Reading::Failed { index, error }
                }
            };
            self.say(said)?;
        }
        let last = self.packer.flush().expect("no file is open");
        last.map_or(Ok(()), |segment| self.emit(segment))
    }

    fn read_file(&mut self, index: usize, file: &ToRead) -> Result<[u8; 32], Stop> {
        let failed = |cause: io::Error| Stop::File(unreadable(&file.source, cause));
        let mut open = File::open(&file.source.path).map_err(failed)?;
        self.check_unchanged(&open, &file.source)?;
        let total = file.source.stamp.bytes;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; READ.min(usize::try_from(total).unwrap_or(READ)).max(1)];
        let mut at = 0;
        if total == 0 && file.placed.is_empty() {
            self.begin(index, file, 0)?;
            self.end(0);
        }
        while at < total {
            let placed = file.placed.get(&at).map(|item| item.bytes);
            let until = match placed {
                Some(bytes) => at + bytes,
                None => file.placed.range(at..).next().map_or(total, |(next, _)| *next),
            };
            if placed.is_none() {
                self.begin(index, file, at)?;
            }
            while at < until {
                let want = buffer.len().min(usize::try_from(until - at).unwrap_or(usize::MAX));
                let got = open.read(&mut buffer[..want]).map_err(failed)?;
                if got == 0 {
                    return Err(Stop::File(OwnerError::Changed(file.source.path.clone())));
                }
                hasher.update(&buffer[..got]);
                if placed.is_none() {
                    for segment in self.packer.push(&buffer[..got]).expect("a file is open") {
                        self.emit(segment)?;
                    }
                }
                at += got as u64;
            }
            if placed.is_none() {
                self.end(at);
            }
        }
        let more = open.read(&mut buffer[..1]).map_err(failed)?;
        if more > 0 {
            return Err(Stop::File(OwnerError::Changed(file.source.path.clone())));
        }
        self.check_unchanged(&open, &file.source)?;
        Ok(*hasher.finalize().as_bytes())
    }

    fn check_unchanged(&self, open: &File, source: &Source) -> Result<(), Stop> {
        let metadata = open.metadata().map_err(|cause| Stop::File(unreadable(source, cause)))?;
        if Stamp::of(&metadata) == source.stamp {
            Ok(())
        } else {
            Err(Stop::File(OwnerError::Changed(source.path.clone())))
        }
    }

    fn begin(&mut self, index: usize, file: &ToRead, at: u64) -> Result<(), Deaf> {
        let left = file.source.stamp.bytes - at;
        let full = self.packer.begin(file.file, left).expect("no file is open");
        if let Some(segment) = full {
            self.emit(segment)?;
        }
        self.runs.push_back(Run { index, next: at, end: None, begun: false });
        Ok(())
    }

    fn end(&mut self, at: u64) {
        self.packer.end().expect("a file is open");
        if let Some(run) = self.runs.back_mut() {
            run.end = Some(at);
        }
    }

    fn emit(&mut self, segment: SealedSegment) -> Result<(), Deaf> {
        let parts = segment.items.iter().map(|(_, item)| self.part(item)).collect();
        self.say(Reading::Segment(segment, parts))
    }

    fn part(&mut self, item: &Item) -> Part {
        while self.runs.front().is_some_and(|run| run.begun && run.end == Some(run.next)) {
            self.runs.pop_front();
        }
        let run = self.runs.front_mut().expect("each item belongs to a stretch that was begun");
        let part = Part { index: run.index, offset: run.next, item: item.clone() };
        run.begun = true;
        run.next += item.bytes;
        part
    }

    fn say(&self, said: Reading) -> Result<(), Deaf> {
        self.to.blocking_send(said).map_err(|_| Deaf)
    }
}

fn unreadable(source: &Source, cause: io::Error) -> OwnerError {
    OwnerError::Unreadable { path: source.path.clone(), cause }
}

/// BLAKE3 of a file on this disk.
///
/// # Errors
/// [`OwnerError`] if it cannot be read.
pub(crate) fn hash_file(source: &Source) -> Result<[u8; 32], OwnerError> {
    let mut open = File::open(&source.path).map_err(|cause| unreadable(source, cause))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ];
    loop {
        match open.read(&mut buffer).map_err(|cause| unreadable(source, cause))? {
            0 => return Ok(*hasher.finalize().as_bytes()),
            got => hasher.update(&buffer[..got]),
        };
    }
}
