//! How much memory a process has and had, and how much it wrote, by the kernel's own books.

use anyhow::{Context, Result};

/// What a process holds in memory.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Bytes now.
    pub now_bytes: u64,
    /// The most bytes since the start, or since [`Memory::forget_peak`].
    pub peak_bytes: u64,
}

impl Memory {
    /// The memory of a process.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
            anyhow::Ok(kib * 1024)
        };
        Ok(Self { now_bytes: field("VmRSS:")?, peak_bytes: field("VmHWM:")? })
    }

    /// Lets the peak of a process begin anew from what it holds now; answers that.
    ///
    /// # Errors
    /// If there is no such process, or it is somebody else's.
    pub fn forget_peak(pid: u32) -> Result<Self> {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        Self::of(pid)
    }
}

/// Bytes that a process has written to files since its start.
///
/// # Errors
/// If there is no such process, or it is somebody else's.
pub fn bytes_written(pid: u32) -> Result<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar:")).context("no such field")?;
    Ok(line.trim().parse()?)
}
