//! Reading files and packing them into sealed segments, on a thread of its own, while earlier segments are on their way.
//!
//! Each file is read once, hashed and sealed as it is read. What an earlier run of the job has placed already is only
//! hashed, and must be what it was. A file that is not the same at its end as at its beginning is reported and never
//! stored; one that changed so lately that its times could hide another change is read once more and compared.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, Read as _, Seek as _},
    sync::Arc,
    time::SystemTime,
};

use hayloft_core::{
    FileId,
    content::{CHUNK, Packer, SealedSegment, TARGET_SEGMENT},
    manifest::Item,
};
use tokio::sync::mpsc;

use super::{
    OwnerError,
    room::{Place, Room},
    scan::{self, Source, Stamp},
};

/// Bytes read at once.
const READ: usize = 1024 * 1024;

/// A file to read.
#[derive(Debug, Clone)]
pub(crate) struct ToRead {
    pub(crate) source: Source,
    pub(crate) file: FileId,
    /// Parts placed by an earlier run, by where they begin in the file.
    pub(crate) placed: BTreeMap<u64, Placed>,
}

/// A part of a file that is placed already.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) item: Item,
    /// BLAKE3 of the file from its beginning to the end of this part.
    pub(crate) prefix: [u8; 32],
}

/// A file's part in a segment just sealed.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Index of the file among those to read.
    pub(crate) index: usize,
    /// Where the part begins in the file.
    pub(crate) offset: u64,
    pub(crate) item: Item,
    /// BLAKE3 of the file from its beginning to the end of this part.
    pub(crate) prefix: [u8; 32],
}

/// What the reader says, in this order for each file: its segments, then its end.
pub(crate) enum Reading {
    /// A segment is full. Its place is given back once nothing of it is in memory any more.
    Segment(SealedSegment, Vec<Part>, Place),
    /// A file was read to its end, unchanged; some of its parts may come in a later segment.
    Read { index: usize, hash: [u8; 32] },
    /// A file could not be read, or changed meanwhile: it must not be stored.
    Failed { index: usize, error: OwnerError },
}

/// Nobody listens any more.
struct Deaf;

/// Reads all files in order; ends early when nobody listens any more. A segment is begun only when there is a place for it.
pub(crate) fn read_all(files: &[ToRead], room: &Arc<Room>, to: &mpsc::Sender<Reading>) {
    let packer = Packer::new(TARGET_SEGMENT, rand::rng()).expect("the target is within the limits");
    let Some(place) = futures::executor::block_on(room.place()) else { return };
    let mut reader = Reader { packer, runs: VecDeque::new(), room, place: Some(place), to };
    let _ = reader.read_all(files);
}

/// A stretch of a file given to the packer: its items come out in order.
struct Run {
    index: usize,
    next: u64,
    end: Option<u64>,
    begun: bool,
    /// The file's hash up to the end of each item that has not come out yet.
    prefixes: VecDeque<[u8; 32]>,
}

struct Reader<'a, R> {
    packer: Packer<R>,
    runs: VecDeque<Run>,
    room: &'a Arc<Room>,
    /// The place of the segment that is being filled.
    place: Option<Place>,
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
        let mut open = scan::open(&file.source.path).map_err(failed)?;
        let is_fresh = file.source.stamp.is_fresh(SystemTime::now());
        self.check_unchanged(&open, &file.source)?;
        let hash = self.read_through(index, file, &mut open)?;
        if is_fresh {
            open.rewind().map_err(failed)?;
            let again = hash_open(&mut open, &mut vec![0; READ]).map_err(failed)?;
            check(again == hash, &file.source)?;
        }
        self.check_unchanged(&open, &file.source)?;
        Ok(hash)
    }

    fn read_through(&mut self, index: usize, file: &ToRead, open: &mut File) -> Result<[u8; 32], Stop> {
        let failed = |cause: io::Error| Stop::File(unreadable(&file.source, cause));
        let total = file.source.stamp.bytes;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; READ.min(usize::try_from(total).unwrap_or(READ)).max(1)];
        let mut at = 0;
        if total == 0 && file.placed.is_empty() {
            self.begin(index, file, 0)?;
            self.end(0, &hasher);
        }
        while at < total {
            let placed = file.placed.get(&at);
            let until = match placed {
                Some(placed) => at + placed.item.bytes,
                None => file.placed.range(at..).next().map_or(total, |(next, _)| *next),
            };
            if placed.is_none() {
                self.begin(index, file, at)?;
            }
            while at < until {
                let want = buffer.len().min(usize::try_from(until - at).unwrap_or(usize::MAX));
                let got = open.read(&mut buffer[..want]).map_err(failed)?;
                check(got > 0, &file.source)?;
                match placed {
                    Some(_) => {
                        hasher.update(&buffer[..got]);
                    }
                    None => self.pack(&buffer[..got], &mut hasher)?,
                }
                at += got as u64;
            }
            match placed {
                Some(placed) => check(*hasher.finalize().as_bytes() == placed.prefix, &file.source)?,
                None => self.end(at, &hasher),
            }
        }
        let more = open.read(&mut buffer[..1]).map_err(failed)?;
        check(more == 0, &file.source)?;
        Ok(*hasher.finalize().as_bytes())
    }

    /// Hashes and packs bytes, and notes the hash at each item's end.
    fn pack(&mut self, mut bytes: &[u8], hasher: &mut blake3::Hasher) -> Result<(), Deaf> {
        while !bytes.is_empty() {
            let mut room = self.packer.room_in_item();
            if room == 0 {
                self.end_item(hasher);
                // The next item takes at least a chunk, wherever it begins.
                room = CHUNK;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            hasher.update(now);
            for segment in self.packer.push(now).expect("a file is open") {
                self.emit(segment)?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_item(&mut self, hasher: &blake3::Hasher) {
        if let Some(run) = self.runs.back_mut() {
            run.prefixes.push_back(*hasher.finalize().as_bytes());
        }
    }

    fn check_unchanged(&self, open: &File, source: &Source) -> Result<(), Stop> {
        let metadata = open.metadata().map_err(|cause| Stop::File(unreadable(source, cause)))?;
        check(Stamp::of(&metadata) == source.stamp, source)
    }

    fn begin(&mut self, index: usize, file: &ToRead, at: u64) -> Result<(), Deaf> {
        let left = file.source.stamp.bytes - at;
        let full = self.packer.begin(file.file, left).expect("no file is open");
        if let Some(segment) = full {
            self.emit(segment)?;
        }
        self.runs.push_back(Run { index, next: at, end: None, begun: false, prefixes: VecDeque::new() });
        Ok(())
    }

    fn end(&mut self, at: u64, hasher: &blake3::Hasher) {
        self.end_item(hasher);
        self.packer.end().expect("a file is open");
        if let Some(run) = self.runs.back_mut() {
            run.end = Some(at);
        }
    }

    /// Hands a segment out and waits until there is a place for the next one.
    fn emit(&mut self, segment: SealedSegment) -> Result<(), Deaf> {
        let parts = segment.items.iter().map(|(_, item)| self.part(item)).collect();
        let place = self.place.take().expect("each segment that is begun has a place");
        self.say(Reading::Segment(segment, parts, place))?;
        let next = futures::executor::block_on(async {
            tokio::select! {
                place = self.room.place() => place,
                () = self.to.closed() => None,
            }
        });
        self.place = Some(next.ok_or(Deaf)?);
        self.packer.retarget(self.room.target()).expect("both targets are within the limits");
        Ok(())
    }

    fn part(&mut self, item: &Item) -> Part {
        while self.runs.front().is_some_and(|run| run.begun && run.end == Some(run.next)) {
            self.runs.pop_front();
        }
        let run = self.runs.front_mut().expect("each item belongs to a stretch that was begun");
        let prefix = run.prefixes.pop_front().expect("each item's end was noted before it came out");
        let part = Part { index: run.index, offset: run.next, item: item.clone(), prefix };
        run.begun = true;
        run.next += item.bytes;
        part
    }

    fn say(&self, said: Reading) -> Result<(), Deaf> {
        self.to.blocking_send(said).map_err(|_| Deaf)
    }
}

fn check(unchanged: bool, source: &Source) -> Result<(), Stop> {
    if unchanged { Ok(()) } else { Err(Stop::File(OwnerError::Changed(source.path.clone()))) }
}

fn unreadable(source: &Source, cause: io::Error) -> OwnerError {
    OwnerError::Unreadable { path: source.path.clone(), cause }
}

/// BLAKE3 of a file on this disk.
///
/// # Errors
/// [`OwnerError`] if it cannot be read.
pub(crate) fn hash_file(source: &Source) -> Result<[u8; 32], OwnerError> {
    let opened = scan::open(&source.path);
    let hash = opened.and_then(|mut open| hash_open(&mut open, &mut vec![0; READ]));
    hash.map_err(|cause| unreadable(source, cause))
}

fn hash_open(open: &mut File, buffer: &mut [u8]) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    loop {
        match open.read(buffer)? {
            0 => return Ok(*hasher.finalize().as_bytes()),
            got => hasher.update(&buffer[..got]),
        };
    }
}

/// The file's hashes from its beginning to each of `ends`, which ascend; as many as there are before its end.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn prefixes(source: &Source, ends: &[u64]) -> io::Result<Vec<[u8; 32]>> {
    let mut open = scan::open(&source.path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ];
    let (mut at, mut prefixes) = (0, Vec::with_capacity(ends.len()));
    for &end in ends {
        while at < end {
            let want = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            match open.read(&mut buffer[..want])? {
                0 => return Ok(prefixes),
                got => hasher.update(&buffer[..got]),
            };
            at = hasher.count();
        }
        prefixes.push(*hasher.finalize().as_bytes());
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use hayloft_core::content::{ItemOpener, TARGET_SEGMENT_QUICK};

    use super::*;

    const MIB: usize = 1 << 20;

    fn to_read(folder: &Path, name: &str, bytes: &[u8]) -> ToRead {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        let stamp = Stamp::of(&std::fs::metadata(&path).expect("it is there"));
        let mut id = [0; 32];
        id[..name.len()].copy_from_slice(name.as_bytes());
        ToRead {
            source: Source { path, name: name.into(), stamp },
            file: FileId(id),
            placed: BTreeMap::new(),
        }
    }

    fn noise(seed: u8, bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
        noise
    }

    #[derive(Default)]
    struct Told {
        segments: Vec<(SealedSegment, Vec<Part>)>,
        read: Vec<(usize, [u8; 32])>,
        failed: Vec<usize>,
    }

    fn read(files: &[ToRead]) -> Told {
        let (to, mut from) = mpsc::channel(1);
        let files = files.to_vec();
        let reading = std::thread::spawn(move || read_all(&files, &Room::new(usize::MAX >> 4), &to));
        let mut told = Told::default();
        while let Some(said) = from.blocking_recv() {
            match said {
                Reading::Segment(segment, parts, _) => told.segments.push((segment, parts)),
                Reading::Read { index, hash } => told.read.push((index, hash)),
                Reading::Failed { index, .. } => told.failed.push(index),
            }
        }
        reading.join().expect("the reader ends");
        told
    }

    impl Told {
        /// The parts of a file by where they begin, with the segment that holds each.
        fn parts(&self, index: usize) -> BTreeMap<u64, (&Part, &SealedSegment)> {
            let all = self
                .segments
                .iter()
                .flat_map(|(segment, parts)| parts.iter().map(move |part| (part, segment)));
            all.filter(|(part, _)| part.index == index)
                .map(|(part, segment)| (part.offset, (part, segment)))
                .collect()
        }

        /// A file put together from its parts, which must follow each other.
        fn content(&self, index: usize) -> Vec<u8> {
            let mut content = Vec::new();
            for (offset, (part, segment)) in self.parts(index) {
                assert_eq!(offset, content.len() as u64, "a gap or an overlap");
                let opener = ItemOpener::new(&part.item);
                let sealed = opener.needs(0..part.item.bytes);
                let mut sealed = segment.bytes[sealed.start as usize..sealed.end as usize].to_vec();
                opener.open_range(0..part.item.bytes, &mut sealed, &mut content).expect("it opens");
            }
            content
        }
    }

    #[test]
    fn every_file_is_packed_whole_whatever_its_size() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let contents = [
            noise(1, 5),
            Vec::new(),
            noise(2, 18 * MIB + 1),
            noise(3, TARGET_SEGMENT),
            Vec::new(),
            noise(4, 70_000),
        ];
        let named = contents.iter().zip(["a", "b", "c", "d", "e", "f"]);
        let files: Vec<ToRead> = named.map(|(bytes, name)| to_read(folder.path(), name, bytes)).collect();
        let told = read(&files);
        assert_eq!(told.read.len(), contents.len());
        for (index, bytes) in contents.iter().enumerate() {
            assert!(told.content(index) == *bytes, "file {index} was packed wrong");
            assert_eq!(told.read[index], (index, *blake3::hash(bytes).as_bytes()));
            assert!(!told.parts(index).is_empty(), "even an empty file has an item");
        }
    }

    #[test]
    fn a_segment_is_begun_only_when_there_is_a_place_for_it_and_is_larger_while_they_go_quickly() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let files = [to_read(folder.path(), "film", &noise(6, 4 * TARGET_SEGMENT_QUICK))];
        let (to, mut from) = mpsc::channel(1);
        let room = Room::new(1);
        let reading = std::thread::spawn({
            let room = room.clone();
            move || read_all(&files, &room, &to)
        });
        let mut lengths = Vec::new();
        while let Some(said) = from.blocking_recv() {
            if let Reading::Segment(segment, _, place) = said {
                assert!(room.is_full(), "its place is here");
                lengths.push(segment.bytes.len());
                room.took(Duration::from_secs(if lengths.len() < 3 { 1 } else { 100 }));
                drop(place);
            }
        }
        reading.join().expect("the reader ends");
        // A segment is open already when the one before it comes out.
        let (usual, large) = (TARGET_SEGMENT, TARGET_SEGMENT_QUICK);
        assert_eq!(lengths[..5], [usual, usual, large, large, usual]);
    }

    #[test]
    fn what_was_placed_before_is_hashed_and_not_packed_again() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let bytes = noise(5, 40 * MIB);
        let mut file = to_read(folder.path(), "film", &bytes);
        let first = read(std::slice::from_ref(&file));
        let parts = first.parts(0);
        assert_eq!(parts.len(), 3);
        // The first and the last part got through; the one between did not.
        let placed = parts.iter().filter(|(offset, _)| **offset == 0 || **offset > 20 << 20);
        let placed = placed
            .map(|(offset, (part, _))| (*offset, Placed { item: part.item.clone(), prefix: part.prefix }));
        file.placed = placed.collect();
        let second = read(&[file.clone()]);
        let missing = second.parts(0);
        assert!(missing.keys().all(|offset| !file.placed.contains_key(offset)));
        let sent: u64 = missing.values().map(|(part, _)| part.item.bytes).sum();
        let kept: u64 = file.placed.values().map(|placed| placed.item.bytes).sum();
        assert_eq!(sent + kept, bytes.len() as u64);
        assert_eq!(second.read, [(0, *blake3::hash(&bytes).as_bytes())]);

        let ends: Vec<u64> = parts.iter().map(|(offset, (part, _))| offset + part.item.bytes).collect();
        let hashes: Vec<[u8; 32]> = parts.values().map(|(part, _)| part.prefix).collect();
        assert_eq!(prefixes(&file.source, &ends).expect("it can be read"), hashes);

        // One byte of a placed part is another, although the stamp says that nothing changed.
        let mut changed = bytes;
        changed[0] ^= 1;
        let again = to_read(folder.path(), "film", &changed);
        file.source.stamp = again.source.stamp;
        assert_eq!(read(&[file]).failed, [0], "parts of two contents are never mixed");
    }

    #[test]
    fn a_file_that_changed_is_not_stored_and_its_neighbours_are() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let files = [("a", 1), ("b", 2), ("c", 3)]
            .map(|(name, seed)| to_read(folder.path(), name, &noise(seed, 1000)));
        std::fs::write(&files[1].source.path, b"shorter").expect("a file can be written");
        let told = read(&files);
        assert_eq!(told.failed, [1]);
        assert_eq!(told.read.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
        assert!(told.content(0) == noise(1, 1000) && told.content(2) == noise(3, 1000));
        assert!(told.parts(1).is_empty());
        std::fs::remove_file(&files[0].source.path).expect("it was there");
        assert_eq!(read(&files).failed, [0, 1], "one that vanished neither");
    }
}
