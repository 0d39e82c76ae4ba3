//! How everything signed or stored becomes bytes: one version byte, then postcard (little-endian varints, no padding).
//!
//! Decoding refuses unknown versions, more bytes than the caller allows, and bytes left over, so that one value has
//! one encoding and one length limit.

use serde::{Serialize, de::DeserializeOwned};

use crate::NetworkName;

/// Why bytes are not a value of the expected format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Longer than the caller allows.
    #[error("{len} bytes are more than the {limit} allowed")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Written by a later release.
    #[error("format version {found} is newer than the {known} this release reads")]
    FromTheFuture {
        /// The version byte found.
        found: u8,
        /// The newest known here.
        known: u8,
    },
    /// Not this format at all.
    #[error("malformed bytes")]
    Malformed,
}

/// Encodes a value as `version ‖ postcard(value)`.
pub fn encode<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("our types have known lengths, so postcard cannot fail")
}

/// Decodes what [`encode`] wrote under this very version.
///
/// # Errors
/// [`CodecError`] if the bytes exceed `limit`, carry another version, are malformed, or go on after the value.
pub fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { len: bytes.len(), limit });
    }
    match bytes.split_first() {
        Some((&found, _)) if found > version => Err(CodecError::FromTheFuture { found, known: version }),
        Some((&found, body)) if found == version => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            _ => Err(CodecError::Malformed),
        },
        _ => Err(CodecError::Malformed),
    }
}

/// The bytes that a signature over `value` covers: `"hayloft" ‖ label ‖ network ‖ version ‖ postcard(value)`, the
/// texts each preceded by their length, so that no signature can be moved to another network or kind of value.
pub fn signing_bytes<T: Serialize>(label: &str, network: &NetworkName, version: u8, value: &T) -> Vec<u8> {
    encode(version, &("hayloft", label, network.as_str(), value))
}
