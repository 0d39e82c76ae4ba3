//! What a process has used, as `/proc` tells it: processor time hardly depends on what else the machine does.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

const TICKS_PER_SECOND: f64 = 100.0;

/// User and system seconds of a process so far, its ended children not counted.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("a strange /proc/PID/stat")?;
    let ticks = |at: usize| -> Result<f64> {
        Ok(fields.split_whitespace().nth(at).context("a short /proc/PID/stat")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// A figure of `/proc/PID/status` in MB, such as `VmRSS` or `VmHWM`.
pub(crate) fn memory_mb(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).context("no such figure")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no value")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Begins to count `VmHWM` anew.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// Processor seconds of several processes.
#[derive(Debug)]
pub(crate) struct Spent(BTreeMap<u32, f64>);

impl Spent {
    /// What they have used so far; processes that are gone are left out.
    pub(crate) fn so_far(pids: &[u32]) -> Self {
        Self(pids.iter().filter_map(|&pid| Some((pid, cpu_seconds(pid).ok()?))).collect())
    }

    /// What they used since, in all.
    pub(crate) fn since(&self) -> f64 {
        self.each_since().iter().sum()
    }

    /// What each used since.
    pub(crate) fn each_since(&self) -> Vec<f64> {
        let used = |(&pid, before): (&u32, &f64)| cpu_seconds(pid).map_or(0.0, |now| now - before);
        self.0.iter().map(used).collect()
    }
}

/// Bytes of all files under a folder.
pub(crate) fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
