//! The home folder: one node per home, held by a lock.

use std::path::{Path, PathBuf};

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another node runs on it.
    #[error("another node is running on {home}; stop it, or use another folder with --home")]
    Locked {
        /// The home.
        home: PathBuf,
    },
    /// The folder cannot be made or used.
    #[error("cannot use {home} as a home: {source}")]
    Io {
        /// The home.
        home: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The device key's file is not a key.
    #[error("{path} is not a device key; restore it from a backup, or delete it to begin as a new device")]
    BadDeviceKey {
        /// The file.
        path: PathBuf,
    },
}

/// A home folder, locked for this process.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Makes the folder if needed (for its user alone) and takes its lock.
    pub fn open(path: &Path) -> Result<Self, HomeError> { todo!() }
    /// The folder.
    pub fn path(&self) -> &Path { &self.path }
    /// The device's Ed25519 secret, made once.
    pub fn device_secret(&self) -> Result<zeroize::Zeroizing<[u8; 32]>, HomeError> { todo!() }
}

/// Writes a file whole or not at all: temp file, sync, rename, sync of the folder. `private` files are for their user
/// alone (0600).
pub fn write_whole(path: &Path, bytes: &[u8], private: bool) -> std::io::Result<()> { todo!() }
