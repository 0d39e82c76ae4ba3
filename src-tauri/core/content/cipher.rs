//! AES-256-GCM in STREAM form: one key, a counter and a last-flag in the nonce. Seals and opens in place.
//!
//! Every byte of a file passes here twice, so the cipher is `ring`'s, the fastest there is; records use another library.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::TAG;
use crate::manifest::SecretKey;

/// The tag did not fit: other bytes, place, key or associated data than when it was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAuthentic;

/// A one-time key with its associated data. Each index is sealed at most once, or each time with the same bytes.
pub(super) struct Stream {
    cipher: LessSafeKey,
    associated: Vec<u8>,
    #[cfg(test)]
    key: SecretKey,
}

impl Stream {
    pub(super) fn new(key: &SecretKey, associated: Vec<u8>) -> Self {
        let cipher = UnboundKey::new(&AES_256_GCM, &key.0).expect("32 bytes are a key of AES-256");
        Self {
            cipher: LessSafeKey::new(cipher),
            associated,
            #[cfg(test)]
            key: key.clone(),
        }
    }

    /// Seals the bytes of `buffer` from `start` on and puts the tag behind them.
    pub(super) fn seal_tail(&self, index: u32, last: bool, buffer: &mut Vec<u8>, start: usize) {
        let nonce = nonce(index, last);
        #[cfg(test)]
        observer::saw(&self.key, &nonce, &buffer[start..]);
        let (nonce, associated) = (Nonce::assume_unique_for_key(nonce), Aad::from(&self.associated));
        let tag = self
            .cipher
            .seal_in_place_separate_tag(nonce, associated, &mut buffer[start..])
            .expect("chunks and units are far shorter than GCM's limit of 64 GiB");
        buffer.extend_from_slice(tag.as_ref());
    }

    /// Opens `sealed` (bytes ‖ tag) in place and returns how many plain bytes now stand at its beginning. What is not
    /// authentic is wiped.
    pub(super) fn open(&self, index: u32, last: bool, sealed: &mut [u8]) -> Result<usize, NotAuthentic> {
        let plain = sealed.len().checked_sub(TAG).ok_or(NotAuthentic)?;
        let nonce = Nonce::assume_unique_for_key(nonce(index, last));
        let opened = self.cipher.open_in_place(nonce, Aad::from(&self.associated), sealed);
        opened.map_err(|_| NotAuthentic)?;
        Ok(plain)
    }
}

fn nonce(index: u32, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = last.into();
    nonce
}

/// Watches what this thread seals, so that tests can tell whether a key and nonce ever met two plaintexts.
#[cfg(test)]
pub(super) mod observer {
    use std::{cell::RefCell, collections::HashMap};

    use crate::manifest::SecretKey;

    type Seen = HashMap<([u8; 32], [u8; 12]), blake3::Hash>;

    thread_local! {
        static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
    }

    /// Runs `work` and returns how many pairs of key and nonce it sealed under; panics on the first used twice with
    /// different plaintexts.
    pub(crate) fn watch(work: impl FnOnce()) -> usize {
        SEEN.with(|seen| *seen.borrow_mut() = Some(Seen::new()));
        work();
        SEEN.with(|seen| seen.borrow_mut().take()).map_or(0, |seen| seen.len())
    }

    pub(super) fn saw(key: &SecretKey, nonce: &[u8; 12], plain: &[u8]) {
        SEEN.with(|seen| {
            if let Some(seen) = seen.borrow_mut().as_mut() {
                let hash = blake3::hash(plain);
                let before = seen.insert((key.0, *nonce), hash);
                assert!(
                    before.is_none_or(|before| before == hash),
                    "one key and nonce sealed two plaintexts"
                );
            }
        });
    }
}
