//! Free space of a disk, how much of it must stay, and writes that must last.

#[cfg(test)]
use std::sync::Arc;
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
};

/// Free space that a disk keeps: the greater of a size and a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// At least so many bytes.
    pub bytes: u64,
    /// At least this share of the disk, in percent.
    pub percent: u8,
}

impl Default for Guard {
    fn default() -> Self {
        Self { bytes: 1 << 30, percent: 5 }
    }
}

/// Free and total bytes of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}

impl Space {
    /// What must stay free.
    pub(crate) fn guarded(self, guard: Guard) -> u64 {
        let share = u128::from(self.total_bytes) * u128::from(guard.percent) / 100;
        guard.bytes.max(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// What is done to files that must last.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Write,
    Sync,
    Cut,
    Rename,
}

/// How a test's disk fails.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Deeds done since the test looked.
    pub(crate) done: u64,
    /// The deed by number that fails, and whether all after it fail too, as on a disk that died.
    pub(crate) fails: Option<(u64, bool)>,
    /// The first deed that failed.
    pub(crate) failed: Option<Deed>,
    /// What was read of shards for audits: the shard, where, and how many bytes.
    pub(crate) reads: Vec<(hayloft_core::ShardId, u64, usize)>,
}

#[cfg(test)]
type Ask = dyn Fn(&Path) -> io::Result<Space> + Send + Sync;

/// A disk: asked for its space, and written to so that it lasts. The one in tests says and fails what it is told to; a
/// write of its that fails leaves half of the bytes.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    ask: Option<Arc<Ask>>,
    #[cfg(test)]
    pub(crate) faults: Arc<std::sync::Mutex<Faults>>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    #[cfg(test)]
    pub(crate) fn with_space(space: Arc<std::sync::Mutex<Space>>) -> Self {
        let ask = move |_: &Path| Ok(*space.lock().expect("no test panics while holding it"));
        Self { ask: Some(Arc::new(ask)), ..Self::default() }
    }

    pub(crate) fn space(&self, folder: &Path) -> io::Result<Space> {
        #[cfg(test)]
        if let Some(ask) = &self.ask {
            return ask(folder);
        }
        let stats = fs4::statvfs(folder)?;
        Ok(Space { free_bytes: stats.available_space(), total_bytes: stats.total_space() })
    }

    #[cfg(test)]
    fn fails(&self, deed: Deed) -> bool {
        let mut faults = self.faults.lock().expect("no test panics while holding it");
        let number = faults.done;
        faults.done += 1;
        let fails = faults.fails.is_some_and(|(first, dead)| number == first || (dead && number > first));
        if fails {
            faults.failed.get_or_insert(deed);
        }
        fails
    }

    /// Reads all of `out` from where the file stands, for an audit of this shard from `offset` on.
    pub(crate) fn read(
        &self,
        file: &mut File,
        shard: hayloft_core::ShardId,
        offset: u64,
        out: &mut [u8],
    ) -> io::Result<()> {
        #[cfg(test)]
        self.faults.lock().expect("no test panics while holding it").reads.push((shard, offset, out.len()));
        #[cfg(not(test))]
        let _ = (shard, offset);
        file.read_exact(out)
    }

    pub(crate) fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.fails(Deed::Write) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(bytes)
    }

    /// Makes what was written last. After a failure the system may have dropped it, however it reads.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if self.fails(Deed::Sync) {
            return Err(io::Error::other("the disk lost what was written"));
        }
        file.sync_all()
    }

    pub(crate) fn cut(&self, file: &File, len: u64) -> io::Result<()> {
        #[cfg(test)]
        if self.fails(Deed::Cut) {
            return Err(io::Error::other("the disk is gone"));
        }
        file.set_len(len)
    }

    /// Renames and makes it last.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        if self.fails(Deed::Rename) {
            return Err(io::Error::other("the disk is gone"));
        }
        std::fs::rename(from, to)?;
        crash_point!(PartRenamed);
        to.parent().map_or(Ok(()), crate::home::sync_folder)?;
        crash_point!(ShardFolderSynced);
        Ok(())
    }

    /// Gives a synced temp file its name and makes it last.
    pub(crate) fn persist(&self, temp: tempfile::NamedTempFile, path: &Path) -> io::Result<File> {
        #[cfg(test)]
        if self.fails(Deed::Rename) {
            return Err(io::Error::other("the disk is gone"));
        }
        let file = temp.persist(path).map_err(|failed| failed.error)?;
        path.parent().map_or(Ok(()), crate::home::sync_folder)?;
        Ok(file)
    }
}

/// Free bytes of the disk that holds a folder.
///
/// # Errors
/// Whatever the system says.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}

/// What the system says, in words for people.
pub fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::QuotaExceeded => "the share of the disk allowed to this user is used up".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".into(),
        io::ErrorKind::PermissionDenied => "Hayloft is not allowed to".into(),
        io::ErrorKind::NotFound => "it is not there".into(),
        io::ErrorKind::FileTooLarge => "the disk takes no file of that size".into(),
        _ => {
            let said = error.to_string();
            said.split(" (os error").next().unwrap_or(&said).to_owned()
        }
    }
}
