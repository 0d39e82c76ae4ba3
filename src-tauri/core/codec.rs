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

/// Decodes what [`encode`] wrote under this very version, and nothing else that would mean the same: postcard alone takes
/// a number written in more bytes than it needs.
///
/// # Errors
/// [`CodecError`] if the bytes exceed `limit`, carry another version, are malformed, go on after the value, or are not its
/// one encoding.
pub fn decode<T: Serialize + DeserializeOwned>(
    version: u8,
    bytes: &[u8],
    limit: usize,
) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { len: bytes.len(), limit });
    }
    match bytes.split_first() {
        Some((&found, _)) if found > version => Err(CodecError::FromTheFuture { found, known: version }),
        Some((&found, body)) if found == version => match postcard::take_from_bytes(body) {
            Ok((value, [])) if is_encoding(&value, body) => Ok(value),
            _ => Err(CodecError::Malformed),
        },
        _ => Err(CodecError::Malformed),
    }
}

/// Whether these are the very bytes that the value is written as.
fn is_encoding<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    matches!(postcard::serialize_with_flavor(value, Expected(bytes)), Ok(true))
}

/// Takes what is written and keeps nothing: it must be what is expected next.
struct Expected<'a>(&'a [u8]);

impl postcard::ser_flavors::Flavor for Expected<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// The bytes that a signature over `value` covers: `"hayloft" ‖ label ‖ network ‖ version ‖ postcard(value)`, the
/// texts each preceded by their length, so that no signature can be moved to another network or kind of value.
pub fn signing_bytes<T: Serialize>(label: &str, network: &NetworkName, version: u8, value: &T) -> Vec<u8> {
    encode(version, &("hayloft", label, network.as_str(), value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn one_value_has_one_encoding() {
        assert_eq!(decode::<u64>(1, &encode(1, &5u64), 10), Ok(5));
        assert_eq!(decode::<u64>(1, &[1, 0x85, 0x00], 10), Err(CodecError::Malformed), "5 in two bytes");
        assert_eq!(decode::<Vec<u8>>(1, &[1, 0x81, 0x00, 9], 10), Err(CodecError::Malformed));
        let map = BTreeMap::from([(1u8, 2u8), (3, 4)]);
        assert_eq!(decode(1, &encode(1, &map), 10), Ok(map));
        for unsorted in [[1, 2, 3, 4, 1, 2], [1, 2, 1, 2, 1, 4]] {
            assert_eq!(decode::<BTreeMap<u8, u8>>(1, &unsorted, 10), Err(CodecError::Malformed));
        }
    }
}
