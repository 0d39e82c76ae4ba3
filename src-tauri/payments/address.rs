//! Addresses of accounts (`G…`) and their secrets (`S…`), as SEP-0023 writes them.

use std::{fmt, str::FromStr};

use hayloft_core::keys::StellarKey;
use serde::{Deserialize, Serialize};
use stellar_base::{
    crypto::decode_secret_seed,
    xdr::{AccountId, MuxedAccount, PublicKey, Uint256},
};
use zeroize::Zeroizing;

/// An account: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(pub [u8; 32]);

/// Text that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address begins with G and has 56 characters")]
pub struct InvalidAddress;

/// Text that is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret begins with S and has 56 characters")]
pub struct InvalidSecret;

impl Address {
    /// The account that this key rules alone.
    pub fn of(key: &StellarKey) -> Self {
        Self(key.public())
    }

    pub(crate) fn to_id(self) -> AccountId {
        AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(self.0)))
    }

    pub(crate) fn of_id(id: &AccountId) -> Self {
        let AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(key))) = id;
        Self(*key)
    }

    pub(crate) fn to_muxed(self) -> MuxedAccount {
        MuxedAccount::Ed25519(Uint256(self.0))
    }

    /// None for an account with a number of its owner's: Hayloft neither makes nor signs any.
    pub(crate) fn of_muxed(account: &MuxedAccount) -> Option<Self> {
        match account {
            MuxedAccount::Ed25519(Uint256(key)) => Some(Self(*key)),
            MuxedAccount::MuxedEd25519(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_id().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let id: AccountId = text.parse().map_err(|_| InvalidAddress)?;
        Ok(Self::of_id(&id))
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// The key that a secret (`S…`) writes down.
///
/// # Errors
/// [`InvalidSecret`], which never shows the text.
pub fn parse_secret(text: &str) -> Result<StellarKey, InvalidSecret> {
    let bytes = Zeroizing::new(decode_secret_seed(text.trim()).map_err(|_| InvalidSecret)?);
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| InvalidSecret)?);
    Ok(StellarKey::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_secrets_are_those_that_other_wallets_write() {
        // SEP-0005, test 1.
        let key = parse_secret("SBGWSG6BTNCKCOB3DIFBGCVMUPQFYPA2G4O34RMTB343OYPXU5DJDVMN\n").unwrap();
        let address = Address::of(&key);
        assert_eq!(address.to_string(), "GDRXE2BQUC3AZNPVFSCEZ76NJ3WWL25FYFK6RGZGIEKWE4SOOHSUJUJ6");
        assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn text_that_is_no_address_or_no_secret_is_refused() {
        let good = "GDRXE2BQUC3AZNPVFSCEZ76NJ3WWL25FYFK6RGZGIEKWE4SOOHSUJUJ6";
        let muxed = "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLK";
        let flipped = good.replace('D', "E");
        for bad in ["", "G", &good[1..], &good.to_lowercase(), &flipped, muxed, &"A".repeat(1 << 16)] {
            assert_eq!(bad.parse::<Address>(), Err(InvalidAddress), "{bad}");
            assert!(parse_secret(bad).is_err(), "{bad}");
        }
        assert!(parse_secret(good).is_err());
    }
}
