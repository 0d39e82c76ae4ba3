//! The sealed seed: in the system's keychain, or in a file sealed by argon2id and AES-256-GCM.

use std::path::PathBuf;

use hayloft_core::OwnerId;
use zeroize::Zeroizing;

use crate::Home;

/// How the seed is kept at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// In the system's keychain.
    Keychain,
    /// In a file sealed with a passphrase.
    Passphrase,
    /// In a file sealed with an empty passphrase: not protected.
    None,
}

/// What a home says about its identity without unsealing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The owner's public key.
    pub owner: OwnerId,
    /// How the seed is kept.
    pub protection: Protection,
}

/// Why an identity cannot be kept or opened.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This home has none.
    #[error("this home has no identity yet; make one with `hayloft init`")]
    Missing,
    /// This home has one.
    #[error("this home has an identity already")]
    Exists,
    /// The passphrase is not the one that sealed it.
    #[error("this is not the passphrase that this home was sealed with")]
    WrongPassphrase,
    /// The system's keychain cannot be used.
    #[error("the system's keychain cannot be used ({reason}); seal the identity with a passphrase instead")]
    Keychain {
        /// What the keychain said.
        reason: String,
    },
    /// Written by a later release.
    #[error("{path} was written by a newer release of Hayloft; install that release (the file was not changed)")]
    FromTheFuture {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a sealed identity.
    #[error("{path} is damaged; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
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

/// Seals a secret into the home; refuses when there is one already. With `keychain` the secret goes into the system's
/// keychain and the passphrase is not used.
pub fn create(home: &Home, owner: OwnerId, secret: &[u8], passphrase: &str, keychain: bool) -> Result<Identity, IdentityError> { todo!() }

/// What the home says about its identity; none if it has none.
pub fn look(home: &Home) -> Result<Option<Identity>, IdentityError> { todo!() }

/// Unseals the secret. Takes about 50 ms of a core: run it off the runtime's threads.
pub fn unseal(home: &Home, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> { todo!() }
