//! Small disks for tests: a tmpfs in a mount namespace of its own, which only the process on it sees. It can be filled,
//! emptied and made read-only from outside, and is gone with its process.
//!
//! Where a namespace cannot be made the process on it does not start, and so the test fails and says so.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::bed::NodeProcess;

/// What a file that fills a disk is called.
const BALLAST: &str = "ballast";
/// Makes the disk and becomes the process on it. `$0` is the folder, `$1` its size, `$2` a folder whose files it holds from
/// the start, `$3` how it is found, the rest the command.
const ON_A_DISK: &str = r#"
set -e
mount -t tmpfs -o "size=$1,mode=700" tmpfs "$0"
if [ -n "$2" ]; then cp -a "$2/." "$0"; fi
case "$3" in
full) cat /dev/zero 2>/dev/null >"$0/ballast" || true ;;
read-only) mount -o remount,ro "$0" ;;
esac
shift 3
exec "$@"
"#;

/// A disk of some bytes, to be seen as `folder` by one process.
#[derive(Debug, Clone)]
pub struct SmallDisk {
    folder: PathBuf,
    bytes: u64,
    holds: Option<PathBuf>,
    found: &'static str,
}

impl SmallDisk {
    /// A disk of `bytes` in place of `folder`, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), bytes, holds: None, found: "" })
    }

    /// The same, on which a copy of what is in `content` is found.
    pub fn holding(self, content: &Path) -> Self {
        Self { holds: Some(content.to_owned()), ..self }
    }

    /// The same, with no byte free when its process starts.
    pub fn found_full(self) -> Self {
        Self { found: "full", ..self }
    }

    /// The same, read-only when its process starts.
    pub fn found_read_only(self) -> Self {
        Self { found: "read-only", ..self }
    }

    /// The folder as its process names it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `command` as a process that sees the disk. The process keeps its id through all of this.
    pub(crate) fn under(&self, command: &Command) -> Command {
        let mut on_disk = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            on_disk.args(["--user", "--map-root-user"]);
        }
        on_disk.args(["--mount", "--propagation", "private", "sh", "-c", ON_A_DISK]);
        on_disk.arg(&self.folder).arg(self.bytes.to_string());
        on_disk.arg(self.holds.as_deref().unwrap_or(Path::new(""))).arg(self.found);
        on_disk.arg(command.get_program()).args(command.get_args());
        on_disk
    }

    /// A folder of the disk as anybody may name it while `node` runs on it.
    pub fn seen_from_outside(&self, node: &NodeProcess) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", node.pid()));
        root.join(self.folder.strip_prefix("/").unwrap_or(&self.folder))
    }

    /// Fills the disk to its last byte.
    ///
    /// # Errors
    /// If it cannot be written for another reason than want of room.
    pub fn fill(&self, node: &NodeProcess) -> Result<()> {
        let path = self.seen_from_outside(node).join(BALLAST);
        let mut ballast = OpenOptions::new().create(true).append(true).open(path)?;
        for size in [1 << 16, 1] {
            while write_some(&mut ballast, size)? {}
        }
        Ok(())
    }

    /// Gives back what [`SmallDisk::fill`] or [`SmallDisk::found_full`] took.
    ///
    /// # Errors
    /// If the disk was not filled.
    pub fn empty(&self, node: &NodeProcess) -> Result<()> {
        Ok(std::fs::remove_file(self.seen_from_outside(node).join(BALLAST))?)
    }

    /// Lets nobody write to it any more.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn make_read_only(&self, node: &NodeProcess) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &node.pid().to_string(), "--mount"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        let done = command.args(["mount", "-o", "remount,ro"]).arg(&self.folder).status();
        ensure!(done.context("nsenter is needed")?.success(), "the disk could not be made read-only");
        Ok(())
    }
}

fn write_some(file: &mut File, bytes: usize) -> Result<bool> {
    match file.write(&vec![0; bytes]) {
        Ok(written) => Ok(written > 0),
        Err(full) if full.kind() == io::ErrorKind::StorageFull => Ok(false),
        Err(error) => Err(error.into()),
    }
}
