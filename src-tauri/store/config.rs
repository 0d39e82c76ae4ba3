//! The home's configuration: JSON with a version, written whole or not at all.

use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};

use crate::Home;

/// Why a configuration cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Written by a later release.
    #[error("{path} is of version {found}, newer than the {known} this release reads; install the newer release (the file was not changed)")]
    FromTheFuture {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest known here.
        known: u64,
    },
    /// Not a configuration.
    #[error("{path} cannot be read: {source}; mend it, or delete it to begin with the defaults")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads the home's `config.json`; the default if there is none.
pub fn read<T: DeserializeOwned + Default>(home: &Home) -> Result<T, ConfigError> { todo!() }

/// Writes the home's `config.json`.
pub fn write<T: Serialize>(home: &Home, config: &T) -> Result<(), ConfigError> { todo!() }
