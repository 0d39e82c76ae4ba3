//! Keys: 24 words → seed → by HKDF-SHA256 one key per role, each under a label that contains the network's name.
//!
//! ```text
//! seed (64 bytes)      = BIP-39(words, empty passphrase)
//! role key (32 bytes)  = HKDF-SHA256(ikm: seed, salt: "hayloft", info: "hayloft/<network>/<role>")
//! Stellar key          = SEP-0005 m/44'/148'/0' of the same seed, alike on all networks
//! ```
//! Roles: `owner key`, `content root`, `repair root`, `audit key`.
//!
//! Every secret is wiped when dropped, has a newtype of its own and shows nothing through `Debug`. Deliberately
//! absent: how secrets are kept at rest (`store`), and signatures by anything but Ed25519 (RFC 8032).

mod phrase;
mod stellar;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use rand::CryptoRng;
use serde::Serialize;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use phrase::{PhraseError, RecoveryPhrase};
pub use stellar::StellarKey;

use crate::{DeviceId, NetworkName, OwnerId, Signature, codec};

/// A signature that its supposed signer did not make over that value, or a key that is no sound Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit")]
pub struct BadSignature;

/// The 64 bytes that the recovery phrase yields and all of an owner's keys come from.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 64]);

impl Seed {
    /// A seed as it was unsealed.
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        Self(*bytes)
    }

    /// The raw bytes, for sealing alone.
    pub fn expose(&self) -> &[u8; 64] {
        &self.0
    }

    /// All keys of this owner on `network`.
    pub fn keys(&self, network: &NetworkName) -> OwnerKeys {
        OwnerKeys {
            owner: OwnerKey::from_bytes(&self.role(network, "owner key")),
            content: ContentRoot::from_bytes(&self.role(network, "content root")),
            repair: RepairRoot::from_bytes(&self.role(network, "repair root")),
            audit: AuditRoot::from_bytes(&self.role(network, "audit key")),
            stellar: StellarKey::from_seed(self),
        }
    }

    fn role(&self, network: &NetworkName, role: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(b"hayloft"), &self.0)
            .expand_multi_info(
                &[b"hayloft/", network.as_str().as_bytes(), b"/", role.as_bytes()],
                key.as_mut(),
            )
            .expect("32 bytes are within HKDF's limit");
        key
    }
}

/// What an owner can do on one network.
#[derive(Clone)]
pub struct OwnerKeys {
    /// Signs for the owner.
    pub owner: OwnerKey,
    /// Seals content records.
    pub content: ContentRoot,
    /// Seals placement records.
    pub repair: RepairRoot,
    /// Yields the key that tags blocks: [`crate::audit::AuditKey`].
    pub audit: AuditRoot,
    /// The owner's Stellar account.
    pub stellar: StellarKey,
}

macro_rules! hidden {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}
pub(crate) use hidden;
hidden!(Seed, OwnerKeys, OwnerKey, DeviceKey, ContentRoot, RepairRoot, AuditRoot);

macro_rules! root {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The root from its 32 bytes.
            pub fn from_bytes(bytes: &[u8; 32]) -> Self {
                Self(*bytes)
            }

            /// A key of its own for each purpose named by `label`: HKDF-SHA256 with this root as input.
            pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
                let mut key = Zeroizing::new([0; 32]);
                Hkdf::<Sha256>::new(Some(b"hayloft"), &self.0)
                    .expand(label.as_bytes(), key.as_mut())
                    .expect("32 bytes are within HKDF's limit");
                key
            }
        }
    };
}

root!(
    /// Opens names, items and their keys.
    ContentRoot
);
root!(
    /// Opens placements and the outer keys of segments: enough to repair, not to read.
    RepairRoot
);
root!(
    /// What an owner's audit key comes from: whoever has it can forge proofs, but open nothing.
    AuditRoot
);

impl ContentRoot {
    /// What a file's name is looked up by: BLAKE3 of the name, keyed, so that the table shows no names.
    pub fn lookup(&self, name: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.derive("name lookup"), name.as_bytes()).as_bytes()
    }
}

/// Whether the holder of an Ed25519 key signed these bytes, by the strict rules.
fn verify(public: &[u8; 32], message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(public).map_err(|_| BadSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(message, &signature).map_err(|_| BadSignature)
}

macro_rules! signing_key {
    ($(#[$doc:meta])* $name:ident, $id:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SigningKey);

        impl $name {
            /// The key from its 32 secret bytes (an RFC 8032 seed).
            pub fn from_bytes(bytes: &[u8; 32]) -> Self {
                Self(SigningKey::from_bytes(bytes))
            }

            /// A new key.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = Zeroizing::new([0; 32]);
                rng.fill_bytes(bytes.as_mut());
                Self::from_bytes(&bytes)
            }

            /// Who signs with it.
            pub fn id(&self) -> $id {
                $id(self.0.verifying_key().to_bytes())
            }

            /// Signs `value` as [`codec::signing_bytes`] frames it.
            pub fn sign<T: Serialize>(&self, label: &str, network: &NetworkName, version: u8, value: &T) -> Signature {
                Signature(self.0.sign(&codec::signing_bytes(label, network, version, value)).to_bytes())
            }
        }

        impl $id {
            /// Whether this signer signed `value` under that label, network and version.
            ///
            /// # Errors
            /// [`BadSignature`] by the strict rules: neither weak keys nor second forms of a signature pass.
            pub fn verify<T: Serialize>(
                &self,
                label: &str,
                network: &NetworkName,
                version: u8,
                value: &T,
                signature: &Signature,
            ) -> Result<(), BadSignature> {
                verify(&self.0, &codec::signing_bytes(label, network, version, value), signature)
            }
        }
    };
}

signing_key!(
    /// Signs for an owner: certificates, terms, revisions, segment roots.
    OwnerKey, OwnerId
);
signing_key!(
    /// Signs for one install; also its libp2p identity. Random, never derived.
    DeviceKey, DeviceId
);

impl DeviceKey {
    /// The secret bytes, for the key file and libp2p alone.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests;
