//! Free space of a disk, and how much of it must stay.

use std::{io, path::Path, sync::Arc};

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

type Ask = dyn Fn(&Path) -> io::Result<Space> + Send + Sync;

/// How free space is learned: from the system, or in tests from the test.
#[derive(Clone)]
pub(crate) struct Probe(Arc<Ask>);

impl Probe {
    #[cfg(test)]
    pub(crate) fn fixed(space: Arc<std::sync::Mutex<Space>>) -> Self {
        Self(Arc::new(move |_| Ok(*space.lock().expect("no test panics while holding it"))))
    }

    pub(crate) fn space(&self, folder: &Path) -> io::Result<Space> {
        (self.0)(folder)
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self(Arc::new(|folder| {
            let stats = fs4::statvfs(folder)?;
            Ok(Space { free_bytes: stats.available_space(), total_bytes: stats.total_space() })
        }))
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// Free bytes of the disk that holds a folder.
///
/// # Errors
/// Whatever the system says.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}
