//! The home's configuration: JSON with a version, written whole or not at all. What it holds is the node's business.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Home, home::write_whole};

const VERSION: u64 = 1;

/// Why a configuration cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Written by a later release.
    #[error(
        "{path} is of version {found}, newer than the {known} this release reads; install the newer release (the file was not changed)"
    )]
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
    #[error("cannot use {path}: {}", crate::disk::plain(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u64,
    config: T,
}

fn path_in(home: &Path) -> PathBuf {
    home.join("config.json")
}

/// Reads the home's `config.json`; the default if there is none.
///
/// # Errors
/// [`ConfigError`] if the file is there but cannot be used; it stays as it is.
pub fn read<T: DeserializeOwned + Default>(home: &Home) -> Result<T, ConfigError> {
    let path = path_in(home.path());
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(source) => return Err(ConfigError::Io { path, source }),
    };
    parse(&bytes).map_err(|fault| match fault {
        Fault::FromTheFuture { found } => ConfigError::FromTheFuture { path, found, known: VERSION },
        Fault::Malformed(source) => ConfigError::Malformed { path, source },
    })
}

/// What is wrong with a file's bytes.
#[derive(Debug)]
pub(crate) enum Fault {
    FromTheFuture { found: u64 },
    Malformed(serde_json::Error),
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    match serde_json::from_slice::<Version>(bytes).map_err(Fault::Malformed)? {
        Version { version } if version > VERSION => Err(Fault::FromTheFuture { found: version }),
        _ => {
            let versioned = serde_json::from_slice::<Versioned<T>>(bytes);
            versioned.map(|versioned| versioned.config).map_err(Fault::Malformed)
        }
    }
}

pub(crate) fn format<T: Serialize>(config: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec_pretty(&Versioned { version: VERSION, config })
}

/// Writes the home's `config.json`.
///
/// # Errors
/// [`ConfigError::Io`]; the file is then as it was before.
pub fn write<T: Serialize>(home: &Home, config: &T) -> Result<(), ConfigError> {
    let path = path_in(home.path());
    let bytes = match format(config) {
        Ok(bytes) => bytes,
        Err(source) => return Err(ConfigError::Malformed { path, source }),
    };
    write_whole(&path, &bytes, true).map_err(|source| ConfigError::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Config {
        quota: u64,
    }

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        (folder, home)
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_the_default() {
        let (_folder, home) = home();
        assert_eq!(read::<Config>(&home).unwrap(), Config::default());
        write(&home, &Config { quota: 7 }).unwrap();
        assert_eq!(read::<Config>(&home).unwrap(), Config { quota: 7 });
    }

    #[test]
    fn a_newer_version_is_refused_and_kept() {
        let (_folder, home) = home();
        let newer = br#"{"version": 2, "config": {"galaxy": true}}"#;
        fs::write(path_in(home.path()), newer).unwrap();
        let refused = read::<Config>(&home).unwrap_err();
        assert!(matches!(refused, ConfigError::FromTheFuture { found: 2, known: 1, .. }));
        assert_eq!(fs::read(path_in(home.path())).unwrap(), newer);
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let (_folder, home) = home();
        for damaged in [&b"{"[..], b"{}", br#"{"version": 1}"#, br#"{"version": 1, "config": {"quota": -1}}"#]
        {
            fs::write(path_in(home.path()), damaged).unwrap();
            assert!(matches!(read::<Config>(&home), Err(ConfigError::Malformed { .. })));
            assert_eq!(fs::read(path_in(home.path())).unwrap(), damaged);
        }
    }
}
