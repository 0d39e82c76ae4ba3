//! The file that a get writes: a part file beside the output, renamed when it is whole and synced.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

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
        let folder = self.path.parent().filter(|folder| folder.is_dir());
        if folder.is_none() || self.path.file_name().is_none() || self.path.is_dir() {
            return Err(OwnerError::WrongOutput(self.path.clone()));
        }
        if !self.overwrite && std::fs::symlink_metadata(&self.path).is_ok() {
            return Err(OwnerError::OutputTaken(self.path.clone()));
        }
        Ok(())
    }
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
    pub(crate) async fn open(path: PathBuf, resume: bool) -> Result<Self, OwnerError> {
        let opening = move || {
            let failed = |cause| OwnerError::Output { path: path.clone(), cause };
            let mut options = OpenOptions::new();
            let mut file =
                options.read(true).write(true).create(true).truncate(!resume).open(&path).map_err(failed)?;
            let mut hasher = blake3::Hasher::new();
            let bytes = hash_all(&mut file, &mut hasher).map_err(failed)?;
            Ok(Self { path, file, bytes, hasher })
        };
        tokio::task::spawn_blocking(opening).await.map_err(|_| OwnerError::Stopped)?
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
        self.file.write_all(bytes).map_err(|cause| OwnerError::Output { path: self.path.clone(), cause })
    }

    /// Syncs it and gives it its name.
    ///
    /// # Errors
    /// [`OwnerError::OutputTaken`] if something came to be there meanwhile.
    pub(crate) async fn finish(self, output: Output) -> Result<(), OwnerError> {
        let finishing = move || {
            self.file.sync_all().and_then(|()| rename(&self.path, &output)).map_err(|cause| {
                if cause.kind() == io::ErrorKind::AlreadyExists {
                    return OwnerError::OutputTaken(output.path.clone());
                }
                OwnerError::Output { path: output.path.clone(), cause }
            })
        };
        tokio::task::spawn_blocking(finishing).await.map_err(|_| OwnerError::Stopped)?
    }

    /// Deletes it.
    pub(crate) async fn discard(self) {
        discard(self.path).await;
    }
}

/// Deletes a part file, if it is there.
pub(crate) async fn discard(path: PathBuf) {
    if let Err(error) = tokio::fs::remove_file(&path).await
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

fn rename(part: &Path, output: &Output) -> io::Result<()> {
    if output.overwrite {
        std::fs::rename(part, &output.path)?;
    } else {
        match std::fs::hard_link(part, &output.path) {
            Ok(()) => std::fs::remove_file(part)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Not every file system has hard links.
            Err(_) => std::fs::rename(part, &output.path)?,
        }
    }
    sync_folder(&output.path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
