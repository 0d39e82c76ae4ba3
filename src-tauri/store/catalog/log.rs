//! The catalog's file: batches appended one after the other, each naming the one before.
//!
//! `catalog.log` is `magic with version (8) ‖ the home's marker (16)` and then batches `length u32 LE ‖ payload ‖ check`,
//! payload = `version ‖ postcard(Batch)`, check = BLAKE3(the check before ‖ length ‖ payload), first 16. A batch that ends
//! early or does not check is the end of the log: what follows it was never acknowledged, or is lost.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use hayloft_core::codec;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::{
    disk::Disk,
    home::{UNFINISHED, private_options},
};

const MAGIC: [u8; 8] = *b"HAYCATL\x01";
pub(super) const VERSION: u8 = 1;
const HEADER_BYTES: u64 = 24;
const CHECK_BYTES: usize = 16;
/// Longest payload read; a save of a hundred thousand files stays below it.
const PAYLOAD_BYTES: u32 = 512 << 20;

type Check = [u8; CHECK_BYTES];

/// The end of a log: how far the rows of a database follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Number of the last batch.
    pub(crate) number: u64,
    /// Its check.
    pub(crate) check: Check,
    /// The file's length with it.
    pub(crate) len: u64,
    /// The file's length when it was last written anew.
    pub(crate) base: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(super) number: u64,
    pub(crate) entries: Vec<Entry>,
}

/// An open log. What is behind its head is not part of it.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
    disk: Disk,
    pub(crate) head: Head,
    /// The file may not be what it seems: it is written anew from the database before anything else is.
    pub(crate) stale: bool,
}

pub(super) fn start(marker: &[u8; 16]) -> (Vec<u8>, Check) {
    let bytes = [&MAGIC[..], marker].concat();
    let check = check_of(&[0; CHECK_BYTES], &bytes);
    (bytes, check)
}

pub(super) fn check_of(before: &Check, bytes: &[u8]) -> Check {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(bytes);
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

impl Log {
    /// A log of which nothing is known yet: the first change writes it.
    pub(crate) fn unwritten(path: PathBuf, disk: Disk) -> Self {
        Self::lost(path, disk, Head { number: 0, check: [0; CHECK_BYTES], len: 0, base: 0 })
    }

    /// A log whose file is gone or not to be trusted, behind a head that rows know: the first change writes it anew, with
    /// greater numbers, because by those a start tells which of rows and log is newer.
    pub(crate) fn lost(path: PathBuf, disk: Disk, head: Head) -> Self {
        Self { path, file: None, disk, head, stale: true }
    }

    /// Opens the file for appending behind `head`; what follows is cut off.
    pub(crate) fn open(path: PathBuf, disk: Disk, head: Head) -> io::Result<Self> {
        let file = private_options().open(&path)?;
        if file.metadata()?.len() > head.len {
            disk.cut(&file, head.len)?;
            disk.sync(&file)?;
        }
        Ok(Self { path, file: Some(file), disk, head, stale: false })
    }

    /// Whether the file was deleted or moved away since it was opened.
    pub(crate) fn is_gone(&self) -> bool {
        self.file.is_some() && !self.path.try_exists().unwrap_or(true)
    }

    /// A batch as it is appended, and the head after it.
    pub(crate) fn frame(head: &Head, entries: Vec<Entry>) -> io::Result<(Vec<u8>, Head)> {
        let number = head.number + 1;
        let payload = codec::encode(VERSION, &Batch { number, entries });
        let len = u32::try_from(payload.len()).ok().filter(|len| *len <= PAYLOAD_BYTES);
        let len = len.ok_or(io::ErrorKind::FileTooLarge)?;
        let mut framed = len.to_le_bytes().to_vec();
        framed.extend_from_slice(&payload);
        let check = check_of(&head.check, &framed);
        framed.extend_from_slice(&check);
        let len = head.len + framed.len() as u64;
        Ok((framed, Head { number, check, len, base: head.base }))
    }

    /// Appends behind the head, which stays where it is until the rows are committed. A failure leaves the log as it was,
    /// or stale. A log that does not end at its head is left as it is: somebody else writes to it.
    pub(crate) fn append(&mut self, framed: &[u8], durable: bool) -> io::Result<()> {
        let Self { file: Some(file), disk, head, stale, .. } = self else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if file.metadata()?.len() != head.len {
            return Err(io::Error::other(
                "another program has written to catalog.log; end all nodes of this home, and start one again",
            ));
        }
        file.seek(SeekFrom::Start(head.len))?;
        if let Err(error) = disk.write(file, framed) {
            *stale = disk.cut(file, head.len).is_err();
            return Err(error);
        }
        if durable && let Err(error) = disk.sync(file) {
            // What was not synced may be lost although it can still be read: nothing of it is trusted any more.
            // The cut spares a crash right now the batch that its caller is told has failed.
            (_, *stale) = (disk.cut(file, head.len), true);
            return Err(error);
        }
        Ok(())
    }

    /// Takes back what was appended behind the head, because its rows were not committed.
    pub(crate) fn cut_back(&mut self) {
        let cut = self.file.as_ref().map(|file| {
            self.disk.cut(file, self.head.len)?;
            self.disk.sync(file)
        });
        self.stale |= !matches!(cut, Some(Ok(())));
    }
}

/// A log being written anew beside the old one.
pub(crate) struct Anew {
    temp: tempfile::NamedTempFile,
    disk: Disk,
    head: Head,
}

impl Anew {
    /// Begins a log for this home whose batches have greater numbers than `number`.
    pub(crate) fn begin(path: &Path, disk: Disk, marker: &[u8; 16], number: u64) -> io::Result<Self> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut temp = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        let (bytes, check) = start(marker);
        disk.write(temp.as_file_mut(), &bytes)?;
        Ok(Self { temp, disk, head: Head { number, check, len: HEADER_BYTES, base: 0 } })
    }

    pub(crate) fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let (framed, head) = Log::frame(&self.head, entries)?;
        self.disk.write(self.temp.as_file_mut(), &framed)?;
        self.head = head;
        Ok(())
    }

    /// Syncs it; it is not in the old one's place yet.
    pub(crate) fn sync(mut self) -> io::Result<Self> {
        self.disk.sync(self.temp.as_file())?;
        self.head.base = self.head.len;
        Ok(self)
    }

    /// The end of what it holds.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Puts it in the old one's place.
    pub(crate) fn take_place(self, path: PathBuf) -> io::Result<Log> {
        let Self { temp, disk, head } = self;
        let file = disk.persist(temp, &path)?;
        Ok(Log { path, file: Some(file), disk, head, stale: false })
    }
}

impl Log {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }
}

/// Whether the file ends exactly at `head`.
pub(crate) fn ends_at(path: &Path, head: &Head) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    if file.metadata()?.len() != head.len || head.len < HEADER_BYTES + CHECK_BYTES as u64 {
        return Ok(false);
    }
    let mut check = Check::default();
    file.seek(SeekFrom::End(-(CHECK_BYTES as i64)))?;
    file.read_exact(&mut check)?;
    Ok(check == head.check)
}

/// Reads a log from its beginning.
#[derive(Debug)]
pub(crate) struct Reading<R = BufReader<File>> {
    file: R,
    left: u64,
    /// The end of what was read so far.
    pub(crate) head: Head,
}

impl Reading {
    /// None if there is no log, or it is not this home's.
    pub(crate) fn begin(path: &Path, marker: &[u8; 16]) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let len = file.metadata()?.len();
        Self::of(BufReader::with_capacity(1 << 20, file), len, marker)
    }
}

impl<R: Read> Reading<R> {
    /// A log of so many bytes; none if it is not this home's.
    pub(crate) fn of(mut file: R, len: u64, marker: &[u8; 16]) -> io::Result<Option<Self>> {
        let (expected, check) = start(marker);
        let mut header = [0; HEADER_BYTES as usize];
        if len < HEADER_BYTES {
            return Ok(None);
        }
        file.read_exact(&mut header)?;
        if header[..] != expected[..] {
            return Ok(None);
        }
        let head = Head { number: 0, check, len: HEADER_BYTES, base: HEADER_BYTES };
        Ok(Some(Self { file, left: len - HEADER_BYTES, head }))
    }

    /// The next batch; none at the end, or where the log is torn or damaged.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<Entry>>> {
        let mut len = [0; 4];
        let least = (len.len() + CHECK_BYTES) as u64;
        if self.left < least {
            return Ok(None);
        }
        self.file.read_exact(&mut len)?;
        let payload = u64::from(u32::from_le_bytes(len));
        if payload > u64::from(PAYLOAD_BYTES) || payload > self.left - least {
            return Ok(None);
        }
        let mut framed = len.to_vec();
        framed.resize(len.len() + payload as usize, 0);
        self.file.read_exact(&mut framed[len.len()..])?;
        let mut check = Check::default();
        self.file.read_exact(&mut check)?;
        if check != check_of(&self.head.check, &framed) {
            return Ok(None);
        }
        let Ok(batch) = codec::decode::<Batch>(VERSION, &framed[len.len()..], PAYLOAD_BYTES as usize) else {
            return Ok(None);
        };
        self.left -= least + payload;
        self.head.number = batch.number;
        (self.head.check, self.head.len) = (check, self.head.len + least + payload);
        Ok(Some(batch.entries))
    }

    /// Whether everything was read.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0
    }

    /// What is behind the end of what was read.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.left
    }
}

/// The home that a log says it belongs to; none if there is no log.
pub(crate) fn marker(path: &Path) -> io::Result<Option<[u8; 16]>> {
    let mut header = [0; HEADER_BYTES as usize];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => Ok(header[..8].eq(&MAGIC).then(|| header[8..].try_into().expect("24 bytes less 8 are 16"))),
        Err(none) if matches!(none.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether there is more than a beginning, which may be damaged.
pub(crate) fn has_entries(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(found?.len() > HEADER_BYTES),
    }
}

/// Puts a damaged log aside under a name that says so.
pub(crate) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = |number: u32| path.with_file_name(format!("catalog.log.broken-{number}"));
    let mut number = 1;
    while aside(number).try_exists()? {
        number += 1;
    }
    fs::rename(path, aside(number))?;
    Ok(aside(number))
}
