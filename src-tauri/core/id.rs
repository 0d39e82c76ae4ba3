//! Identifiers and signatures: 32 or 64 bytes that serialize as themselves in binary formats and as lower-case hex
//! in formats that people read.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Text that is not the hex form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits")]
pub struct InvalidId {
    expected: usize,
}

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), HEXLOWER_PERMISSIVE.encode(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
                let bytes = bytes.and_then(|bytes| <[u8; $len]>::try_from(bytes).ok());
                bytes.map(Self).ok_or(InvalidId { expected: 2 * $len })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let (left, right) = self.0.split_at(32);
                    match <&[u8; 32]>::try_from(right) {
                        Ok(right) => (<&[u8; 32]>::try_from(left).expect("split at 32"), right).serialize(serializer),
                        Err(_) => <&[u8; 32]>::try_from(left).expect("split at 32").serialize(serializer),
                    }
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    let mut bytes = [0; $len];
                    if $len == 64 {
                        let (left, right) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
                        bytes[..32].copy_from_slice(&left);
                        bytes[32..].copy_from_slice(&right);
                    } else {
                        bytes.copy_from_slice(&<[u8; 32]>::deserialize(deserializer)?);
                    }
                    Ok(Self(bytes))
                }
            }
        }
    };
}

bytes_newtype!(
    /// An owner: the Ed25519 public key that the recovery phrase yields.
    OwnerId, 32
);
bytes_newtype!(
    /// One install of Hayloft: its Ed25519 public key, which is also its libp2p identity.
    DeviceId, 32
);
bytes_newtype!(
    /// One file of an owner; random.
    FileId, 32
);
bytes_newtype!(
    /// One segment; random, drawn anew for each attempt.
    SegmentId, 32
);
bytes_newtype!(
    /// One sealing of a shard: 32 fresh random bytes, never derived, never used twice.
    ShardId, 32
);
bytes_newtype!(
    /// A contract: BLAKE3 of its terms.
    ContractId, 32
);
bytes_newtype!(
    /// BLAKE3 of a revision, by which its successor names it.
    RevisionHash, 32
);
bytes_newtype!(
    /// An Ed25519 signature (RFC 8032).
    Signature, 64
);
