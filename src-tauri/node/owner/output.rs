//! The file that a get writes: a part file beside the output, renamed when it is whole and synced.
//!
//! A part file has a random name that its job has written down, is made only where nothing is, never through a link, and
//! is for its user alone, as the output is then, unless it replaces a file that others may read.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use tokio_util::task::TaskTracker;

use super::OwnerError;

/// Where a file goes.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) path: PathBuf,
    pub(crate) overwrite: bool,
}

impl Output {
    /// Whether a file may be written there now.
    ///
    /// # Errors
    /// [`OwnerError`] if something is in the way, or there is no such folder.
    pub(crate) fn check(&self) -> Result<(), OwnerError> {
        // A link is replaced, not followed; a device or a pipe would be gone.
        let there = std::fs::symlink_metadata(&self.path).ok();
        let replaceable = |there: std::fs::Metadata| there.is_file() || there.is_symlink();
        if self.path.is_dir() || !there.is_none_or(replaceable) {
            return Err(OwnerError::WrongOutput(self.path.clone()));
        }
        self.check_place()
    }

    /// Whether a folder may be made there now, or filled if it is there.
    ///
    /// # Errors
    /// [`OwnerError`] if something is in the way, or there is no such folder.
    pub(crate) fn check_for_folder(&self) -> Result<(), OwnerError> {
        let taken = std::fs::symlink_metadata(&self.path).is_ok();
        if taken && !(self.overwrite && self.path.is_dir()) {
            return Err(OwnerError::OutputTaken(self.path.clone()));
        }
        self.check_place()
    }

    fn check_place(&self) -> Result<(), OwnerError> {
        let folder = self.path.parent().filter(|folder| folder.is_dir());
        if folder.is_none() || self.path.file_name().is_none() {
            return Err(OwnerError::WrongOutput(self.path.clone()));
        }
        if !self.overwrite && std::fs::symlink_metadata(&self.path).is_ok() {
            return Err(OwnerError::OutputTaken(self.path.clone()));
        }
        Ok(())
    }
}

/// Who may read, write and run a file; not as whom it runs.
fn who_may(file: &std::fs::Metadata) -> std::fs::Permissions {
    let permissions = file.permissions();
    #[cfg(unix)]
    let permissions = {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::Permissions::from_mode(permissions.mode() & 0o777)
    };
    permissions
}

/// A file on its way to be an output, with the hash of what it holds.
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl PartFile {
    /// Opens a part file; with `resume`, what an earlier run has written is kept.
    ///
    /// # Errors
    /// [`OwnerError::Output`] if it cannot be written.
    pub(crate) async fn open(tasks: &TaskTracker, path: PathBuf, resume: bool) -> Result<Self, OwnerError> {
        blocking(tasks, move || {
            let failed = |cause| OwnerError::Output { path: path.clone(), cause };
            let mut file = open_own(&path, resume).map_err(failed)?;
            let mut hasher = blake3::Hasher::new();
            let bytes = hash_all(&mut file, &mut hasher).map_err(failed)?;
            crash_point!(PartOpened);
            Ok(Self { path, file, bytes, hasher })
        })
        .await
    }

    /// Bytes it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// BLAKE3 of them.
    pub(crate) fn hash(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// Appends; blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OwnerError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|cause| OwnerError::Output { path: self.path.clone(), cause })?;
        crash_point!(PartWritten);
        Ok(())
    }

    /// Syncs it and gives it its name.
    ///
    /// # Errors
    /// [`OwnerError::OutputTaken`] if something came to be there meanwhile.
    pub(crate) async fn finish(self, tasks: &TaskTracker, output: Output) -> Result<(), OwnerError> {
        blocking(tasks, move || {
            let mut part = self;
            let named = part.file.sync_all().and_then(|()| part.rename(&output));
            named.map_err(|cause| match cause.kind() {
                io::ErrorKind::AlreadyExists => OwnerError::OutputTaken(output.path.clone()),
                _ => OwnerError::Output { path: output.path.clone(), cause },
            })
        })
        .await
    }

    fn rename(&mut self, output: &Output) -> io::Result<()> {
        crash_point!(PartSynced);
        if output.overwrite {
            if let Some(replaced) =
                std::fs::symlink_metadata(&output.path).ok().filter(std::fs::Metadata::is_file)
            {
                self.file.set_permissions(who_may(&replaced))?;
            }
            std::fs::rename(&self.path, &output.path)?;
        } else {
            match std::fs::hard_link(&self.path, &output.path) {
                Ok(()) => {
                    crash_point!(OutputLinked);
                    std::fs::remove_file(&self.path)?;
                }
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {
                    // An earlier run may have come as far as this.
                    if !holds_now(&output.path, self.bytes, self.hash())? {
                        return Err(taken);
                    }
                    std::fs::remove_file(&self.path)?;
                }
                // Not every file system has hard links.
                Err(_) => std::fs::rename(&self.path, &output.path)?,
            }
        }
        crash_point!(OutputNamed);
        sync_folder(&output.path)
    }

    /// Syncs it; it keeps its name.
    pub(crate) async fn sync(self, tasks: &TaskTracker) -> Result<(), OwnerError> {
        blocking(tasks, move || {
            self.file.sync_all().map_err(|cause| OwnerError::Output { path: self.path.clone(), cause })
        })
        .await
    }

    /// Deletes it.
    pub(crate) async fn discard(self) {
        discard(self.path).await;
    }
}

/// Works on files among a job's tasks: who clears up behind the job waits for it, though the job itself is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl FnOnce() -> Result<T, OwnerError> + Send + 'static,
) -> Result<T, OwnerError> {
    tasks.spawn_blocking(work).await.map_err(|_| OwnerError::Stopped)?
}

/// Deletes a part file, or a folder of them, if it is there.
pub(crate) async fn discard(path: PathBuf) {
    let removed = if path.is_dir() {
        tokio::fs::remove_dir_all(&path).await
    } else {
        tokio::fs::remove_file(&path).await
    };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a part file stays behind");
    }
}

fn hash_all(file: &mut File, hasher: &mut blake3::Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1024 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            got => {
                hasher.update(&buffer[..got]);
                bytes += got as u64;
            }
        }
    }
}

/// A name for a part file that nobody can guess.
pub(crate) fn part_name() -> String {
    format!(".hayloft-{:016x}.part", rand::random::<u64>())
}

/// Whether the output is there and holds these bytes.
pub(crate) async fn holds(path: &Path, bytes: u64, hash: [u8; 32]) -> Result<bool, OwnerError> {
    let path = path.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        holds_now(&path, bytes, hash).map_err(|cause| OwnerError::Output { path, cause })
    });
    looking.await.map_err(|_| OwnerError::Stopped)?
}

fn holds_now(path: &Path, bytes: u64, hash: [u8; 32]) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() == bytes => {}
        Ok(_) => return Ok(false),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let mut hasher = blake3::Hasher::new();
    hash_all(&mut File::open(path)?, &mut hasher)?;
    Ok(*hasher.finalize().as_bytes() == hash)
}

/// Opens what an earlier run of the job has left, or makes a new file; never something that is not the job's.
fn open_own(path: &Path, resume: bool) -> io::Result<File> {
    match private().create_new(true).open(path) {
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if resume && let Some(file) = open_plain(path)? {
        return Ok(file);
    }
    std::fs::remove_file(path)?;
    private().create_new(true).open(path)
}

/// Opens a file only if there is one by that name itself, not a link to one.
fn open_plain(path: &Path) -> io::Result<Option<File>> {
    let named = std::fs::symlink_metadata(path)?;
    if !named.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    Ok(is_same(&named, &file.metadata()?).then_some(file))
}

#[cfg(unix)]
fn is_same(named: &std::fs::Metadata, opened: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (named.dev(), named.ino()) == (opened.dev(), opened.ino())
}

#[cfg(not(unix))]
fn is_same(named: &std::fs::Metadata, opened: &std::fs::Metadata) -> bool {
    named.len() == opened.len()
}

/// How files are made that nobody else may read.
#[cfg(unix)]
pub(crate) fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// How files are made that nobody else may read.
#[cfg(not(unix))]
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// Syncs the folder that a path is in.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(path: &Path, resume: bool, bytes: &[u8]) -> PartFile {
        let mut part = PartFile::open(&TaskTracker::new(), path.to_owned(), resume).await.expect("it opens");
        part.write(bytes).expect("it can be written");
        part
    }

    #[tokio::test]
    async fn a_part_file_goes_on_where_it_was_and_becomes_the_output() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let (path, output) = (folder.path().join(part_name()), folder.path().join("film"));
        drop(written(&path, true, b"one ").await);
        let part = written(&path, true, b"two").await;
        assert_eq!((part.bytes(), part.hash()), (7, *blake3::hash(b"one two").as_bytes()));
        let there = Output { path: output.clone(), overwrite: false };
        part.finish(&TaskTracker::new(), there.clone()).await.expect("it gets its name");
        assert!(!path.exists() && std::fs::read(&output).expect("it is there") == b"one two");
        // The same once more: what an earlier run named is found; something else is left alone.
        written(&path, true, b"one two")
            .await
            .finish(&TaskTracker::new(), there.clone())
            .await
            .expect("it has its name");
        let other = written(&path, true, b"else").await.finish(&TaskTracker::new(), there).await;
        assert!(matches!(other, Err(OwnerError::OutputTaken(_))));
        assert_eq!(std::fs::read(&output).expect("it is there"), b"one two");
        assert_eq!(written(&path, false, b"x").await.bytes(), 1, "a range begins anew");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_part_file_is_never_written_through_a_link_and_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temp folder");
        let (path, precious) = (folder.path().join(part_name()), folder.path().join("precious"));
        std::fs::write(&precious, b"precious").expect("a file can be written");
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o7777;
        for resume in [true, false] {
            std::os::unix::fs::symlink(&precious, &path).expect("a link can be made");
            drop(written(&path, resume, b"new").await);
            assert_eq!(std::fs::read(&precious).expect("it is there"), b"precious");
            assert!(path.symlink_metadata().expect("it is there").is_file() && mode(&path) == 0o600);
            std::fs::remove_file(&path).expect("it was there");
        }
        // What it runs as is not taken over.
        std::fs::set_permissions(&precious, std::fs::Permissions::from_mode(0o4644)).expect("allowed");
        let replacing = Output { path: precious.clone(), overwrite: true };
        written(&path, true, b"new")
            .await
            .finish(&TaskTracker::new(), replacing)
            .await
            .expect("it is replaced");
        assert_eq!(
            (std::fs::read(&precious).expect("it is there"), mode(&precious)),
            (b"new".to_vec(), 0o644)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_a_pipe_or_a_folder_is_never_replaced_and_a_link_is() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let checked = |path: &Path| Output { path: path.to_owned(), overwrite: true }.check();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).expect("a pipe can be made");
        std::os::unix::fs::symlink(&pipe, &link).expect("a link can be made");
        for wrong in [&pipe, Path::new("/dev/null"), folder.path()] {
            assert!(matches!(checked(wrong), Err(OwnerError::WrongOutput(_))), "{}", wrong.display());
        }
        assert!(checked(&link).is_ok());
    }
}
