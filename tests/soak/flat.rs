//! Whether memory, threads and open file handles stay flat: looked at often in every process that lives through the whole
//! run, and compared between its second quarter, when it has warmed up, and its last.
//!
//! The least of each quarter counts: a transfer is in memory for as long as it lasts, which may be most of a quarter while farmers
//! are away, and what leaks is there also when nothing is under way.

use std::io;

use serde::Serialize;

/// How much more the least may be in the last quarter: a share of it and so many, for what an allocator, a pool of threads
/// and a changing set of peers do by themselves. In KiB, threads and handles.
const ALLOWED: [(Kind, f64, u64); 3] =
    [(Kind::MemoryKib, 0.15, 12 * 1024), (Kind::Threads, 0.25, 8), (Kind::Handles, 0.25, 12)];
/// Fewer looks in a quarter say nothing.
const LEAST_LOOKS: usize = 5;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    MemoryKib,
    Threads,
    Handles,
}

/// One process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    memory_kib: u64,
    threads: u64,
    handles: u64,
}

impl Look {
    /// A process as the system shows it now.
    ///
    /// # Errors
    /// If there is no such process.
    pub(crate) fn at(pid: u32) -> io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let handles = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        Ok(Self { memory_kib: field("VmRSS:"), threads: field("Threads:"), handles })
    }

    fn get(&self, kind: Kind) -> u64 {
        match kind {
            Kind::MemoryKib => self.memory_kib,
            Kind::Threads => self.threads,
            Kind::Handles => self.handles,
        }
    }
}

/// One process over the whole run, looked at in equal steps.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) process: String,
    pub(crate) looks: Vec<Look>,
}

/// What came out for one process and kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Flatness {
    pub(crate) process: String,
    pub(crate) kind: Kind,
    /// The least of the second quarter.
    pub(crate) second: u64,
    /// The least of the last quarter.
    pub(crate) last: u64,
    /// The most that the last may be.
    pub(crate) allowed: u64,
}

impl Flatness {
    pub(crate) fn is_flat(&self) -> bool {
        self.last <= self.allowed
    }
}

impl Course {
    /// Compares the quarters; `None` if there were too few looks.
    pub(crate) fn flatness(&self) -> Option<[Flatness; 3]> {
        let quarter = self.looks.len() / 4;
        if quarter < LEAST_LOOKS {
            return None;
        }
        let (second, last) = (&self.looks[quarter..2 * quarter], &self.looks[self.looks.len() - quarter..]);
        Some(ALLOWED.map(|(kind, share, more)| {
            let (second, last) = (least(second, kind), least(last, kind));
            let allowed = second + (second as f64 * share) as u64 + more;
            Flatness { process: self.process.clone(), kind, second, last, allowed }
        }))
    }
}

fn least(looks: &[Look], kind: Kind) -> u64 {
    looks.iter().map(|look| look.get(kind)).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(memory_kib: impl Fn(u64) -> u64, handles: impl Fn(u64) -> u64) -> [Flatness; 3] {
        let look = |at| Look { memory_kib: memory_kib(at), threads: 10, handles: handles(at) };
        let course = Course { process: "a".into(), looks: (0..120).map(look).collect() };
        course.flatness().expect("looks enough")
    }

    fn flat(flatness: &[Flatness; 3]) -> [bool; 3] {
        flatness.each_ref().map(Flatness::is_flat)
    }

    #[test]
    fn peaks_are_flat_and_steady_growth_is_not() {
        let peaks = course(|at| 50_000 + (at % 3 / 2) * 200_000, |at| 30 + (at % 5 / 4) * 100);
        assert_eq!(flat(&peaks), [true; 3]);
        let long = |at: u64| if at < 95 || at.is_multiple_of(8) { 50_000 } else { 110_000 };
        let peaks = course(long, |_| 30);
        assert_eq!(flat(&peaks), [true; 3]);
        let memory = course(|at| 50_000 + at * 500, |_| 30);
        assert_eq!(flat(&memory), [false, true, true]);
        let handles = course(|_| 50_000, |at| 30 + at / 2);
        assert_eq!(flat(&handles), [true, true, false]);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let look = Look::at(std::process::id()).expect("it is there");
        assert!(look.memory_kib > 1000 && look.threads > 0 && look.handles > 2, "{look:?}");
    }
}
