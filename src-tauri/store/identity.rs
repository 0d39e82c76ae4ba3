//! The sealed seed: in the system's keychain, or in a file sealed by argon2id and AES-256-GCM.
//!
//! `identity.sealed` is `version ‖ postcard(Envelope)`. The AES key is argon2id(passphrase, salt) and the associated data
//! is the version and the owner's public key. An empty passphrase seals too, and is reported as no protection. The
//! secret itself is opaque here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use argon2::{Algorithm, Argon2, Params};
use hayloft_core::{
    OwnerId,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Home, home::write_whole};

const VERSION: u8 = 1;
const KEYCHAIN_SERVICE: &str = "hayloft";
/// Longest file accepted.
const FILE_BYTES: usize = 4096;
/// Bounds on what a file may ask of memory and time.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 64;

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
    #[error(
        "{path} was written by a newer release of Hayloft; install that release (the file was not changed)"
    )]
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
    #[error("cannot use {path}: {}", crate::disk::plain(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    owner: OwnerId,
    seal: Seal,
}

#[derive(Serialize, Deserialize)]
enum Seal {
    Keychain,
    File { protected: bool, memory_kib: u32, passes: u32, salt: [u8; 16], nonce: [u8; 12], sealed: Vec<u8> },
}

impl Envelope {
    fn identity(&self) -> Identity {
        let protection = match self.seal {
            Seal::Keychain => Protection::Keychain,
            Seal::File { protected: true, .. } => Protection::Passphrase,
            Seal::File { protected: false, .. } => Protection::None,
        };
        Identity { owner: self.owner, protection }
    }
}

/// Seals a secret into the home; refuses when there is one already. With `keychain` the secret goes into the system's
/// keychain and the passphrase is not used. Takes about 50 ms of a core: run it off the runtime's threads.
///
/// # Errors
/// [`IdentityError::Exists`], [`IdentityError::Keychain`] with nothing written, or [`IdentityError::Io`].
pub fn create(
    home: &Home,
    owner: OwnerId,
    secret: &[u8],
    passphrase: &str,
    keychain: bool,
) -> Result<Identity, IdentityError> {
    let path = path_in(home.path());
    match path.try_exists() {
        Ok(false) => {}
        Ok(true) => return Err(IdentityError::Exists),
        Err(source) => return Err(IdentityError::Io { path, source }),
    }
    let seal = if keychain { into_keychain(owner, secret)? } else { into_file(owner, secret, passphrase) };
    let envelope = Envelope { owner, seal };
    match write_whole(&path, &codec::encode(VERSION, &envelope), true) {
        Ok(()) => Ok(envelope.identity()),
        Err(source) => Err(IdentityError::Io { path, source }),
    }
}

/// What the home says about its identity; none if it has none.
///
/// # Errors
/// [`IdentityError`] if the file is there but cannot be used.
pub fn look(home: &Home) -> Result<Option<Identity>, IdentityError> {
    Ok(read(home.path())?.map(|envelope| envelope.identity()))
}

/// Unseals the secret. Takes about 50 ms of a core: run it off the runtime's threads.
///
/// # Errors
/// [`IdentityError::WrongPassphrase`], or whatever else keeps the secret from being read.
pub fn unseal(home: &Home, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let Envelope { owner, seal } = read(home.path())?.ok_or(IdentityError::Missing)?;
    match seal {
        Seal::Keychain => {
            let secret = keychain_entry(owner)?.get_secret().map_err(keychain_failed)?;
            Ok(Zeroizing::new(secret))
        }
        Seal::File { protected, memory_kib, passes, salt, nonce, sealed } => {
            if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX {
                return Err(IdentityError::Damaged { path: path_in(home.path()) });
            }
            let cipher = cipher(passphrase, memory_kib, passes, &salt)
                .ok_or_else(|| IdentityError::Damaged { path: path_in(home.path()) })?;
            let payload = Payload { msg: &sealed, aad: &associated(owner) };
            let opened = cipher.decrypt(&nonce.into(), payload);
            opened.map(Zeroizing::new).map_err(|_| match protected || !passphrase.is_empty() {
                true => IdentityError::WrongPassphrase,
                // The only one that can be right: it is the file that is wrong.
                false => IdentityError::Damaged { path: path_in(home.path()) },
            })
        }
    }
}

fn path_in(home: &Path) -> PathBuf {
    home.join("identity.sealed")
}

fn read(home: &Path) -> Result<Option<Envelope>, IdentityError> {
    let path = path_in(home);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Io { path, source }),
    };
    match codec::decode(VERSION, &bytes, FILE_BYTES) {
        Ok(envelope) => Ok(Some(envelope)),
        Err(CodecError::FromTheFuture { .. }) => Err(IdentityError::FromTheFuture { path }),
        Err(_) => Err(IdentityError::Damaged { path }),
    }
}

/// What a file of these bytes would be; one that is read is written again as it was.
#[cfg(any(test, fuzzing))]
pub(crate) fn look_at(bytes: &[u8]) {
    if let Ok(envelope) = codec::decode::<Envelope>(VERSION, bytes, FILE_BYTES) {
        let _ = envelope.identity();
        assert!(codec::encode(VERSION, &envelope) == bytes);
    }
}

fn into_file(owner: OwnerId, secret: &[u8], passphrase: &str) -> Seal {
    let (memory_kib, passes) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST);
    let (salt, nonce) = (rand::random::<[u8; 16]>(), rand::random::<[u8; 12]>());
    let cipher = cipher(passphrase, memory_kib, passes, &salt).expect("argon2's own default costs are valid");
    let payload = Payload { msg: secret, aad: &associated(owner) };
    let sealed =
        cipher.encrypt(&nonce.into(), payload).expect("a secret is far shorter than the cipher's limit");
    Seal::File { protected: !passphrase.is_empty(), memory_kib, passes, salt, nonce, sealed }
}

fn cipher(passphrase: &str, memory_kib: u32, passes: u32, salt: &[u8; 16]) -> Option<Aes256Gcm> {
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, Some(key.len())).ok()?;
    let argon = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice()).ok()?;
    Aes256Gcm::new_from_slice(key.as_slice()).ok()
}

fn associated(owner: OwnerId) -> Vec<u8> {
    codec::encode(VERSION, &("hayloft identity", owner))
}

fn into_keychain(owner: OwnerId, secret: &[u8]) -> Result<Seal, IdentityError> {
    let entry = keychain_entry(owner)?;
    entry.set_secret(secret).map_err(keychain_failed)?;
    let kept = Zeroizing::new(entry.get_secret().map_err(keychain_failed)?);
    if kept.as_slice() == secret {
        Ok(Seal::Keychain)
    } else {
        Err(IdentityError::Keychain { reason: "it did not give back what was put in".to_owned() })
    }
}

fn keychain_entry(owner: OwnerId) -> Result<keyring::Entry, IdentityError> {
    keyring::Entry::new(KEYCHAIN_SERVICE, &owner.to_string()).map_err(keychain_failed)
}

fn keychain_failed(error: keyring::Error) -> IdentityError {
    let reason = match error {
        keyring::Error::NoDefaultStore => "there is none on this system".to_owned(),
        other => other.to_string(),
    };
    IdentityError::Keychain { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: OwnerId = OwnerId([7; 32]);

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        (folder, home)
    }

    #[test]
    fn the_passphrase_opens_and_another_is_told_apart_from_damage() {
        let (_folder, home) = home();
        assert!(look(&home).unwrap().is_none());
        assert!(matches!(unseal(&home, ""), Err(IdentityError::Missing)));
        let made = create(&home, OWNER, b"seed", "horse", false).unwrap();
        assert_eq!(made, Identity { owner: OWNER, protection: Protection::Passphrase });
        assert_eq!(look(&home).unwrap(), Some(made));
        assert_eq!(unseal(&home, "horse").unwrap().as_slice(), b"seed");
        assert!(matches!(unseal(&home, "battery"), Err(IdentityError::WrongPassphrase)));
        assert!(matches!(create(&home, OWNER, b"other", "", false), Err(IdentityError::Exists)));
        assert_eq!(unseal(&home, "horse").unwrap().as_slice(), b"seed");
    }

    #[test]
    fn an_empty_passphrase_is_reported_as_no_protection() {
        let (_folder, home) = home();
        assert_eq!(create(&home, OWNER, b"seed", "", false).unwrap().protection, Protection::None);
        assert_eq!(unseal(&home, "").unwrap().as_slice(), b"seed");
    }

    #[test]
    fn the_secret_is_not_in_the_file_and_the_file_is_for_its_user_alone() {
        let (folder, home) = home();
        create(&home, OWNER, b"a very recognisable seed", "horse", false).unwrap();
        let path = folder.path().join("identity.sealed");
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"a very r"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn damaged_and_future_files_are_refused_and_kept() {
        let (folder, home) = home();
        create(&home, OWNER, b"seed", "horse", false).unwrap();
        let path = folder.path().join("identity.sealed");
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(matches!(unseal(&home, "horse"), Err(IdentityError::Damaged { .. })));
        let mut owner_changed = good.clone();
        owner_changed[5] ^= 1;
        fs::write(&path, &owner_changed).unwrap();
        assert!(matches!(unseal(&home, "horse"), Err(IdentityError::WrongPassphrase)));
        let mut future = good;
        future[0] = 9;
        fs::write(&path, &future).unwrap();
        assert!(matches!(look(&home), Err(IdentityError::FromTheFuture { .. })));
        assert_eq!(fs::read(&path).unwrap(), future);
    }
}
