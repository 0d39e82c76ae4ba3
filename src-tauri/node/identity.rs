//! The home's identity: made once, unsealed when needed, and the certificate that lets this device act for its owner.
//!
//! The certificate is kept in the home and renewed whenever the seed is unsealed past half of its time. Restoring from
//! the phrase is not built yet; [`restore`] says so.

use std::{io, path::Path, sync::Arc};

use hayloft_core::{
    DeviceId, NetworkName, Timestamp, codec,
    keys::{OwnerKeys, RecoveryPhrase, Seed},
    record::DeviceCertificate,
};
use hayloft_store::{Home, home::write_whole, identity as sealed};
use zeroize::Zeroizing;

use crate::{
    errors,
    model::{ApiError, ErrorCode, Protection},
    settings::Settings,
};

const CERTIFICATE: &str = "device.certificate";
const CERTIFICATE_VERSION: u8 = 1;
const CERTIFICATE_BYTES: usize = 1024;
const CERTIFICATE_SECONDS: u64 = 365 * 24 * 3600;

/// A new identity, and its recovery phrase, shown this once.
#[derive(Clone)]
pub struct NewIdentity {
    /// The owner's public key in hex.
    pub owner: String,
    /// 24 words, separated by single spaces.
    pub words: Zeroizing<String>,
    /// How the seed is kept from now on.
    pub protection: Protection,
}

impl From<sealed::Protection> for Protection {
    fn from(protection: sealed::Protection) -> Self {
        match protection {
            sealed::Protection::Keychain => Self::Keychain,
            sealed::Protection::Passphrase => Self::Passphrase,
            sealed::Protection::None => Self::None,
        }
    }
}

/// Makes an identity in a home on which no node is running (`hayloft init`). The home is made if it is not there.
/// `network` none: what the home says, or `testnet`.
///
/// # Errors
/// [`ApiError`] if the home has an identity already, a node is running on it, it belongs to another network, or the
/// disk or keychain fails.
pub async fn create(
    home: &Path,
    network: Option<NetworkName>,
    passphrase: &str,
    keychain: bool,
) -> Result<NewIdentity, ApiError> {
    let (home, passphrase) = (home.to_owned(), Zeroizing::new(passphrase.to_owned()));
    off_the_runtime(move || {
        let home = Home::open(&home).map_err(errors::home)?;
        let settings = Settings::load(&home, network)?;
        Ok(make(&home, &settings.network, &passphrase, keychain)?.0)
    })
    .await
}

/// Restoring from a recovery phrase: checks the words, then says plainly that it cannot be done yet.
///
/// # Errors
/// Always [`ApiError`]: what is wrong with the words, or that restoring is not built yet.
pub fn restore(words: &str) -> Result<NewIdentity, ApiError> {
    RecoveryPhrase::parse(words).map_err(|error| ApiError::bad_request(errors::sentence(&error)))?;
    Err(ApiError::bad_request(
        "These words are a sound recovery phrase, but this release cannot restore from it yet: files open only on the \
         computer that stored them. Keep the words: a later release will bring the files back with them.",
    ))
}

/// What the home says about its identity; none if it has none.
pub(crate) fn look(home: &Home) -> Result<Option<sealed::Identity>, ApiError> {
    sealed::look(home).map_err(errors::identity)
}

/// Makes an identity and seals it into the home.
pub(crate) fn make(
    home: &Home,
    network: &NetworkName,
    passphrase: &str,
    keychain: bool,
) -> Result<(NewIdentity, Arc<OwnerKeys>), ApiError> {
    let phrase = RecoveryPhrase::random(&mut rand::rng());
    let seed = phrase.seed();
    let keys = seed.keys(network);
    let kept = sealed::create(home, keys.owner.id(), seed.expose(), passphrase, keychain)
        .map_err(errors::identity)?;
    let words = Zeroizing::new(phrase.words().collect::<Vec<_>>().join(" "));
    let identity = NewIdentity { owner: kept.owner.to_string(), words, protection: kept.protection.into() };
    Ok((identity, Arc::new(keys)))
}

/// Unseals the owner's keys. Slow by intent: run it off the runtime's threads.
pub(crate) fn unseal(
    home: &Home,
    network: &NetworkName,
    passphrase: &str,
) -> Result<Arc<OwnerKeys>, ApiError> {
    let secret = sealed::unseal(home, passphrase).map_err(errors::identity)?;
    let seed: Option<&[u8; 64]> = secret.as_slice().try_into().ok();
    let damaged = || ApiError::disk("The sealed identity of this home is damaged: restore it from a backup.");
    Ok(Arc::new(Seed::from_bytes(seed.ok_or_else(damaged)?).keys(network)))
}

/// The certificate of this device: the kept one while more than half of its time is left, else a new one, kept.
pub(crate) fn certificate(
    home: &Home,
    keys: &OwnerKeys,
    network: &NetworkName,
    device: DeviceId,
    now: Timestamp,
) -> Result<DeviceCertificate, ApiError> {
    let path = home.path().join(CERTIFICATE);
    let kept = read_certificate(&path).filter(|kept| {
        let good = kept.verify(network, &device, now).is_ok_and(|owner| owner == keys.owner.id());
        good && kept.until.seconds_since(now) > CERTIFICATE_SECONDS / 2
    });
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let fresh = DeviceCertificate::issue(&keys.owner, network, device, now, CERTIFICATE_SECONDS);
    let written = write_whole(&path, &codec::encode(CERTIFICATE_VERSION, &fresh), true);
    written
        .map_err(|error: io::Error| ApiError::disk(format!("Cannot write {}: {error}.", path.display())))?;
    Ok(fresh)
}

/// A certificate that cannot be read is made anew: it holds nothing that the owner's key cannot say again.
fn read_certificate(path: &Path) -> Option<DeviceCertificate> {
    let bytes = std::fs::read(path).ok()?;
    codec::decode(CERTIFICATE_VERSION, &bytes, CERTIFICATE_BYTES).ok()
}

/// Runs slow work of disk and key derivation where it blocks nobody.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ApiError::new(ErrorCode::Internal, "Hayloft failed inside; try again.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> NetworkName {
        "test".parse().expect("a name")
    }

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().expect("temp dir");
        let home = Home::open(dir.path()).expect("home");
        (dir, home)
    }

    #[tokio::test]
    async fn identity_is_made_once_and_opens_with_its_passphrase_only() {
        let dir = tempfile::tempdir().expect("temp dir");
        let made = create(dir.path(), Some(network()), "hay", false).await.expect("made");
        assert_eq!(made.words.split(' ').count(), 24);
        assert_eq!(made.protection, Protection::Passphrase);
        let again = create(dir.path(), None, "hay", false).await.map(|_| ()).expect_err("there is one");
        assert_eq!(again.code, ErrorCode::Exists);
        let home = Home::open(dir.path()).expect("home");
        let wrong = unseal(&home, &network(), "straw").map(|_| ()).expect_err("wrong passphrase");
        assert_eq!(wrong.code, ErrorCode::Locked);
        let keys = unseal(&home, &network(), "hay").expect("opens");
        assert_eq!(keys.owner.id().to_string(), made.owner);
        let phrase = RecoveryPhrase::parse(&made.words).expect("sound words");
        assert_eq!(phrase.seed().keys(&network()).owner.id(), keys.owner.id());
    }

    #[test]
    fn certificate_is_kept_and_renewed_past_half_of_its_time() {
        let (_dir, home) = home();
        let keys = RecoveryPhrase::random(&mut rand::rng()).seed().keys(&network());
        let (device, start) = (DeviceId([1; 32]), Timestamp(1_700_000_000));
        let at = |seconds| {
            certificate(&home, &keys, &network(), device, start.plus_seconds(seconds)).expect("made")
        };
        let first = at(0);
        assert_eq!(at(CERTIFICATE_SECONDS / 2 - 1), first);
        let later = at(CERTIFICATE_SECONDS / 2 + 1);
        assert!(later.until > first.until);
        let other = certificate(&home, &keys, &network(), DeviceId([2; 32]), start).expect("made");
        assert_eq!(other.device, DeviceId([2; 32]), "another device never gets this one's");
    }

    #[test]
    fn restoring_says_that_it_is_not_built_and_what_is_wrong_with_words() {
        let words = RecoveryPhrase::random(&mut rand::rng()).words().collect::<Vec<_>>().join(" ");
        let error = restore(&words).map(|_| ()).expect_err("not built");
        assert!(error.message.contains("cannot restore"), "{}", error.message);
        let wrong = ["abandon"; 24].join(" ");
        let error = restore(&wrong).map(|_| ()).expect_err("checksum");
        assert!(error.message.contains("do not fit together"), "{}", error.message);
    }
}
