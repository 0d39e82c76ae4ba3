//! The name of a network, which is part of every protocol name, key label and signature, so that networks never mix.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A network's name: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName(String);

/// Text that cannot name a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a network's name has 1 to 32 characters, each a-z, 0-9 or '-'")]
pub struct InvalidNetworkName;

impl NetworkName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NetworkName {
    type Error = InvalidNetworkName;

    fn try_from(name: String) -> Result<Self, InvalidNetworkName> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if (1..=32).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err(InvalidNetworkName)
        }
    }
}

impl FromStr for NetworkName {
    type Err = InvalidNetworkName;

    fn from_str(name: &str) -> Result<Self, InvalidNetworkName> {
        name.to_owned().try_into()
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.0
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
