//! The owner's Stellar key by SEP-0005: SLIP-0010 for Ed25519 along `m/44'/148'/0'`.

use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha512;
use zeroize::Zeroizing;

use super::{BadSignature, Seed, hidden, verify};
use crate::{NetworkName, Signature, codec};

/// `44'/148'/account'`, all hardened as Ed25519 demands.
const PATH: [u32; 2] = [44, 148];
const HARDENED: u32 = 1 << 31;

/// An Ed25519 key of a Stellar account.
#[derive(Clone)]
pub struct StellarKey(SigningKey);

hidden!(StellarKey);

impl StellarKey {
    /// The first account of the seed, `m/44'/148'/0'`.
    pub fn from_seed(seed: &Seed) -> Self {
        Self::account(seed.expose(), 0)
    }

    /// The key from its 32 secret bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// Signs bytes as they are, as Stellar signs a transaction's hash.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Signs `value` as [`codec::signing_bytes`] frames it: never 32 bytes, so never what a transaction's signature is over.
    pub fn sign_value<T: Serialize>(
        &self,
        label: &str,
        network: &NetworkName,
        version: u8,
        value: &T,
    ) -> Signature {
        Signature(self.sign(&codec::signing_bytes(label, network, version, value)))
    }

    /// Whether the key of this account signed `value` under that label, network and version.
    ///
    /// # Errors
    /// [`BadSignature`] by the strict rules: neither weak keys nor second forms of a signature pass.
    pub fn verify_value<T: Serialize>(
        public: &[u8; 32],
        label: &str,
        network: &NetworkName,
        version: u8,
        value: &T,
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        verify(public, &codec::signing_bytes(label, network, version, value), signature)
    }

    /// The raw public key: a `G…` address without its coding.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The secret bytes: an `S…` seed without its coding, for the wallet alone.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(super) fn account(seed: &[u8], account: u32) -> Self {
        let mut node = hmac_sha512(b"ed25519 seed", &[seed]);
        for index in PATH.into_iter().chain([account]) {
            let (key, chain) = node.split_at(32);
            node = hmac_sha512(chain, &[&[0], key, &(index | HARDENED).to_be_bytes()]);
        }
        let key = Zeroizing::new(<[u8; 32]>::try_from(&node[..32]).expect("half of 64 bytes"));
        Self(SigningKey::from_bytes(&key))
    }
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}
