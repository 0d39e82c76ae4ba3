//! Shard files: one per shard in hash-prefix folders, `ab/abcd…` whole and `ab/abcd….part` while it arrives.
//!
//! A file begins with a header of its own, so that the index can be rebuilt from the files: magic with version (8) ‖
//! shard (32) ‖ contract (32) ‖ sealed bytes, bytes of tags as u32 LE (4 + 4) ‖ BLAKE3 of both (32) ‖ BLAKE3 of all
//! before, first 16. Then come the sealed bytes and, behind them, the tags, as they arrived. The header is written last,
//! before the sync, and a file gets its final name after the sync.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use hayloft_core::{ContractId, ShardId, Timestamp, audit::TagKeyId};

use crate::{
    FarmerError, Guard,
    disk::Disk,
    farmer::{Farmer, READ_BYTES},
};

/// Bytes before a shard's own.
pub(crate) const HEADER_BYTES: u64 = 128;
const MAGIC: [u8; 8] = *b"HAYSHRD\x01";
/// How much is gathered before the disk is asked to write.
const BUFFER_BYTES: usize = 256 << 10;
/// What a chunk counts for at least: crumbs take more memory than they have bytes.
const LEAST_PER_CHUNK: usize = 1 << 10;
const COPY_BYTES: usize = 256 << 10;

/// What a shard file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) shard: ShardId,
    pub(crate) contract: ContractId,
    pub(crate) bytes: u32,
    pub(crate) tag_bytes: u32,
    pub(crate) hash: [u8; 32],
}

impl Header {
    /// Bytes that follow the header: the shard's own and its tags'.
    pub(crate) fn payload(&self) -> u64 {
        u64::from(self.bytes) + u64::from(self.tag_bytes)
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = [0; HEADER_BYTES as usize];
        out[..8].copy_from_slice(&MAGIC);
        out[8..40].copy_from_slice(self.shard.as_bytes());
        out[40..72].copy_from_slice(self.contract.as_bytes());
        out[72..76].copy_from_slice(&self.bytes.to_le_bytes());
        out[76..80].copy_from_slice(&self.tag_bytes.to_le_bytes());
        out[80..112].copy_from_slice(&self.hash);
        let check = blake3::hash(&out[..112]);
        out[112..].copy_from_slice(&check.as_bytes()[..16]);
        out
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Option<Self> {
        let check = blake3::hash(&bytes[..112]);
        let sound = bytes[..8] == MAGIC && bytes[112..] == check.as_bytes()[..16];
        sound.then_some(())?;
        Some(Self {
            shard: ShardId(bytes[8..40].try_into().ok()?),
            contract: ContractId(bytes[40..72].try_into().ok()?),
            bytes: u32::from_le_bytes(bytes[72..76].try_into().ok()?),
            tag_bytes: u32::from_le_bytes(bytes[76..80].try_into().ok()?),
            hash: bytes[80..112].try_into().ok()?,
        })
    }

    /// Reads a file's header; none if it has no sound one.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_BYTES as usize];
        match File::open(path)?.read_exact(&mut bytes) {
            Ok(()) => Ok(Self::decode(&bytes)),
            Err(short) if short.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The farmer's folder and the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
}

impl Folder {
    pub(crate) fn shard(&self, id: ShardId) -> PathBuf {
        let name = id.to_string();
        self.root.join(&name[..2]).join(name)
    }

    pub(crate) fn part(&self, id: ShardId) -> PathBuf {
        self.shard(id).with_extension("part")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.root.join("contracts")
    }

    pub(crate) fn journal(&self, id: ContractId) -> PathBuf {
        self.journals().join(id.to_string())
    }

    /// The folder of owners' audit keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn key(&self, key: &TagKeyId) -> PathBuf {
        self.keys().join(data_encoding::HEXLOWER.encode(key))
    }

    /// The file that ties the folder to a home's database.
    pub(crate) fn marker(&self) -> PathBuf {
        self.root.join("hayloft-farm")
    }

    /// Deletes a shard's files; files already gone are no error.
    pub(crate) fn delete(&self, id: ShardId) -> io::Result<()> {
        delete(&self.part(id))?;
        delete(&self.shard(id))
    }
}

/// Deletes a file; a file already gone is no error.
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Shards that a transfer is writing right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveSet(Arc<Mutex<HashSet<ShardId>>>);

/// One shard's place in the set, given up when dropped.
#[derive(Debug)]
pub(crate) struct Active {
    set: ActiveSet,
    id: ShardId,
}

impl ActiveSet {
    pub(crate) fn enter(&self, id: ShardId) -> Option<Active> {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        entered.then(|| Active { set: self.clone(), id })
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.set.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// An open `.part` file with the hash of what is in it.
#[derive(Debug)]
pub(crate) struct Part {
    file: File,
    hasher: blake3::Hasher,
    written: u64,
    header: Header,
    folder: Folder,
    disk: Disk,
    guard: Guard,
    _active: Active,
}

impl Part {
    /// Opens or makes the file and hashes what earlier transfers left in it.
    pub(crate) fn open(
        folder: Folder,
        header: Header,
        disk: Disk,
        guard: Guard,
        active: Active,
    ) -> io::Result<Self> {
        let path = folder.part(header.shard);
        if let Some(prefix) = path.parent().filter(|prefix| !prefix.is_dir()) {
            fs::create_dir_all(prefix)?;
            crate::home::sync_folder(&folder.root)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        crash_point!(PartCreated);
        let len = file.metadata()?.len();
        if len < HEADER_BYTES || len - HEADER_BYTES > header.payload() {
            file.set_len(HEADER_BYTES)?;
        }
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        let mut hasher = blake3::Hasher::new();
        let mut written = 0;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => {
                    hasher.update(&buffer[..count]);
                    written += count as u64;
                }
            }
        }
        Ok(Self { file, hasher, written, header, folder, disk, guard, _active: active })
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), FarmerError> {
        let space = self.disk.space(&self.folder.root)?;
        let guard_bytes = space.guarded(self.guard);
        if space.free_bytes.saturating_sub(chunk.len() as u64) < guard_bytes {
            return Err(FarmerError::DiskFull { free_bytes: space.free_bytes, guard_bytes });
        }
        if let Err(error) = self.disk.write(&mut self.file, chunk) {
            self.disk.cut(&self.file, HEADER_BYTES + self.written)?;
            self.file.seek(SeekFrom::End(0))?;
            return Err(error.into());
        }
        crash_point!(PartWritten);
        self.hasher.update(chunk);
        self.written += chunk.len() as u64;
        Ok(())
    }

    /// Writes the header and syncs. After a failed sync the system may have dropped what was written although it can
    /// still be read, and would call the next sync good: so nothing of the file is used again.
    fn seal(&mut self) -> Result<[u8; 32], FarmerError> {
        self.header.hash = *self.hasher.finalize().as_bytes();
        self.file.seek(SeekFrom::Start(0))?;
        self.disk.write(&mut self.file, &self.header.encode())?;
        crash_point!(PartHeaderWritten);
        if let Err(error) = self.disk.sync(&self.file) {
            delete(&self.folder.part(self.header.shard))?;
            return Err(error.into());
        }
        crash_point!(PartSynced);
        Ok(self.header.hash)
    }

    /// Gives the file its final name.
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.disk.rename(&self.folder.part(self.header.shard), &self.folder.shard(self.header.shard))
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FarmerError> + Send + 'static,
) -> Result<T, FarmerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(FarmerError::Io(io::Error::other(ended))),
    }
}

/// Receives one shard. Dropped unfinished, it keeps what reached the disk for a later transfer.
#[derive(Debug)]
pub struct ShardWriter {
    farmer: Farmer,
    header: Header,
    have: u64,
    /// What has come and is not written yet.
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// None once the shard is whole, or when a write was interrupted.
    part: Option<Part>,
    whole: bool,
    until: Timestamp,
}

impl ShardWriter {
    pub(crate) fn new(farmer: Farmer, part: Part, until: Timestamp) -> Self {
        let (header, have) = (part.header, part.written);
        Self {
            farmer,
            header,
            have,
            gathered: Vec::new(),
            gathered_bytes: 0,
            part: Some(part),
            whole: false,
            until,
        }
    }

    pub(crate) fn whole(farmer: Farmer, header: Header) -> Self {
        let (have, until) = (header.payload(), Timestamp(u64::MAX));
        Self { farmer, header, have, gathered: Vec::new(), gathered_bytes: 0, part: None, whole: true, until }
    }

    /// The end of the space that the shard held when this transfer began.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Bytes that are here already: send from this offset on.
    pub fn have(&self) -> u64 {
        self.have
    }

    /// Bytes of the whole shard and its tags.
    pub fn bytes(&self) -> u64 {
        self.header.payload()
    }

    /// Appends.
    ///
    /// # Errors
    /// [`FarmerError::TooLong`], [`FarmerError::DiskFull`] or [`FarmerError::Io`].
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), FarmerError> {
        let have = self.have + chunk.len() as u64;
        if have > self.bytes() {
            return Err(FarmerError::TooLong { bytes: self.bytes() });
        }
        self.gathered_bytes += chunk.len().max(LEAST_PER_CHUNK);
        self.gathered.push(chunk);
        self.have = have;
        if self.gathered_bytes < BUFFER_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), FarmerError> {
        if self.gathered.is_empty() { Ok(()) } else { self.on_disk(|_| Ok(())).await }
    }

    /// Writes what was gathered and goes on with `then`, in one go on a thread that may block.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        then: impl FnOnce(&mut Part) -> Result<T, FarmerError> + Send + 'static,
    ) -> Result<T, FarmerError> {
        let mut part = self.part.take().ok_or_else(interrupted)?;
        let gathered = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let (part, result) = blocking(move || {
            let written = gathered.iter().try_for_each(|chunk| part.append(chunk));
            let result = written.and_then(|()| then(&mut part));
            Ok((part, result))
        })
        .await?;
        self.have = part.written;
        self.part = Some(part);
        result
    }

    /// Ends an unfinished transfer so that a later one goes on from here.
    ///
    /// # Errors
    /// [`FarmerError`] if the last bytes cannot be written; a later transfer then has fewer.
    pub async fn pause(mut self) -> Result<(), FarmerError> {
        self.flush().await
    }

    /// Syncs the whole shard to disk and answers BLAKE3 of its sealed bytes and its tags. It has arrived then.
    ///
    /// # Errors
    /// [`FarmerError::TooShort`], [`FarmerError::NotReserved`] if the reservation is over meanwhile, or whatever the disk
    /// or database says.
    pub async fn finish(mut self) -> Result<[u8; 32], FarmerError> {
        if self.whole {
            return Ok(self.header.hash);
        }
        if self.have < self.bytes() {
            self.flush().await?;
            return Err(FarmerError::TooShort { have: self.have, bytes: self.bytes() });
        }
        let hash = self.on_disk(Part::seal).await?;
        let part = self.part.take().ok_or_else(interrupted)?;
        self.farmer.arrive(part, Header { hash, ..self.header }).await?;
        Ok(hash)
    }
}

fn interrupted() -> FarmerError {
    FarmerError::Io(io::ErrorKind::Interrupted.into())
}

/// Reads one shard.
#[derive(Debug, Clone)]
pub struct ShardReader {
    file: Arc<Mutex<File>>,
    bytes: u64,
}

impl ShardReader {
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<Self, FarmerError> {
        match File::open(path) {
            Ok(file) => Ok(Self { file: Arc::new(Mutex::new(file)), bytes }),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Err(FarmerError::ShardLost),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of the whole shard.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a range, at most [`READ_BYTES`].
    ///
    /// # Errors
    /// [`FarmerError::OutOfRange`] or [`FarmerError::Io`].
    pub async fn read(&self, offset: u64, bytes: u64) -> Result<Bytes, FarmerError> {
        let end = offset.checked_add(bytes).ok_or(FarmerError::OutOfRange)?;
        if end > self.bytes || bytes > READ_BYTES {
            return Err(FarmerError::OutOfRange);
        }
        let len = usize::try_from(bytes).map_err(|_| FarmerError::OutOfRange)?;
        let file = self.file.clone();
        blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut out = vec![0; len];
            file.seek(SeekFrom::Start(HEADER_BYTES + offset))?;
            file.read_exact(&mut out)?;
            Ok(out.into())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{contract_id, shard_id};

    #[test]
    fn a_header_says_what_was_written_and_any_flipped_bit_is_noticed() {
        let header = Header {
            shard: shard_id(1),
            contract: contract_id(2),
            bytes: 1 << 31,
            tag_bytes: 96,
            hash: [3; 32],
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for at in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Header::decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn one_transfer_at_a_time_writes_a_shard() {
        let set = ActiveSet::default();
        let first = set.enter(shard_id(1)).unwrap();
        assert!(set.enter(shard_id(1)).is_none());
        drop(first);
        assert!(set.enter(shard_id(1)).is_some());
    }
}
