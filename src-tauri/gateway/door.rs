//! `api.json`: how a command finds the node that runs on a home, and proves that it may talk to it.
//!
//! Invariant: the file is readable by its user alone, appears complete or not at all, and is gone after a clean stop of the
//! node that wrote it: no node takes another's away. A file left behind by a crash is recognised because nothing answers to
//! its token.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Name of the file in a home.
const FILE_NAME: &str = "api.json";
/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Where a running node listens, and the token that opens it.
#[derive(Clone, Serialize, Deserialize)]
pub struct ApiFile {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Bearer token of this run, 256 random bits in hex.
    pub token: String,
    /// Process of the node.
    pub pid: u32,
}

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The disk refused.
    #[error("the file {path} cannot be used: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The content is not what a node writes.
    #[error("the file {path} is damaged: {cause}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where it went wrong.
        cause: serde_json::Error,
    },
}

impl ApiFile {
    /// A door on `port` with a fresh random token, for this process.
    pub(crate) fn new(port: u16) -> Self {
        let mut token = [0u8; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut token);
        Self { port, token: HEXLOWER.encode(&token), pid: std::process::id() }
    }

    /// Where the file of `home` lies.
    pub fn path(home: &Path) -> PathBuf {
        home.join(FILE_NAME)
    }

    /// The file of `home`; none when there is none.
    pub fn read(home: &Path) -> Result<Option<Self>, DoorError> {
        let path = Self::path(home);
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|cause| DoorError::Damaged { path, cause })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(DoorError::Io { path, cause }),
        }
    }

    /// Puts the file into `home`, whole and readable by the user alone, over one left by an earlier run.
    pub(crate) fn write(&self, home: &Path) -> Result<(), DoorError> {
        let path = Self::path(home);
        let failed = |cause| DoorError::Io { path: path.clone(), cause };
        // A temporary file is created with mode 0600 before a byte of the token is in it.
        let file = tempfile::NamedTempFile::new_in(home).map_err(failed)?;
        serde_json::to_writer(file.as_file(), self).map_err(|error| failed(error.into()))?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Takes the file away if it is the one with this token; a missing one is fine.
    pub(crate) fn remove(home: &Path, token: &str) {
        if let Ok(Some(there)) = Self::read(home)
            && there.token != token
        {
            tracing::warn!(pid = there.pid, "another node has opened its door here; it stays");
            return;
        }
        if let Err(error) = std::fs::remove_file(Self::path(home))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the API file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_door_is_read_back_and_only_its_user_may_read_it() {
        let home = tempfile::tempdir().unwrap();
        let door = ApiFile::new(4711);
        door.write(home.path()).unwrap();
        let read = ApiFile::read(home.path()).unwrap().unwrap();
        assert_eq!((read.port, read.pid, &read.token), (4711, std::process::id(), &door.token));
        assert_eq!(read.token.len(), 2 * TOKEN_BYTES);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(ApiFile::path(home.path())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        ApiFile::remove(home.path(), &door.token);
        assert!(ApiFile::read(home.path()).unwrap().is_none());
    }

    #[test]
    fn no_node_takes_anothers_door_away() {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (ApiFile::new(1), ApiFile::new(2));
        first.write(home.path()).unwrap();
        second.write(home.path()).unwrap();
        ApiFile::remove(home.path(), &first.token);
        assert_eq!(ApiFile::read(home.path()).unwrap().unwrap().token, second.token);
        ApiFile::remove(home.path(), &second.token);
        assert!(ApiFile::read(home.path()).unwrap().is_none());
    }

    #[test]
    fn two_runs_never_share_a_token() {
        assert_ne!(ApiFile::new(1).token, ApiFile::new(1).token);
    }

    #[test]
    fn a_damaged_door_is_an_error_and_not_a_missing_one() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(ApiFile::path(home.path()), b"{").unwrap();
        assert!(matches!(ApiFile::read(home.path()), Err(DoorError::Damaged { .. })));
    }
}
