//! Which network is spoken to. Its passphrase is part of every signature, so nothing signed for one counts on another.
//!
//! Invariant: no [`Network`] is the public one, where lumens are money.

use sha2::{Digest, Sha256};

/// Where the test network is, unless settings say otherwise: the one place that knows.
pub mod test_network {
    /// Its Horizon.
    pub const HORIZON: &str = "https://horizon-testnet.stellar.org";
    /// Where new accounts get lumens.
    pub const FRIENDBOT: &str = "https://friendbot.stellar.org";
    /// Its passphrase.
    pub const PASSPHRASE: &str = "Test SDF Network ; September 2015";
}

const PUBLIC_PASSPHRASE: &str = "Public Global Stellar Network ; September 2015";
const MAX_PASSPHRASE_BYTES: usize = 256;

/// A network that may be signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    passphrase: String,
    id: [u8; 32],
}

/// Which kind of network a node was told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stellar's test network.
    Test,
    /// A local ledger, whose passphrase is its own.
    Local,
}

/// A network that nothing is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Real money.
    #[error("this ledger is Stellar's public network, where lumens are money: Hayloft does not use it")]
    Public,
    /// Not the network that was asked for.
    #[error("this ledger belongs to another network than the one that this node is on")]
    Other,
    /// No passphrase that could be one.
    #[error("this ledger does not say which network it belongs to")]
    Unnamed,
}

impl Network {
    /// The network with this passphrase, if it is of the kind that was asked for.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn new(passphrase: &str, kind: Kind) -> Result<Self, NetworkError> {
        let is_test = passphrase == test_network::PASSPHRASE;
        match kind {
            _ if passphrase.trim() == PUBLIC_PASSPHRASE => Err(NetworkError::Public),
            _ if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE_BYTES => {
                Err(NetworkError::Unnamed)
            }
            Kind::Test if !is_test => Err(NetworkError::Other),
            Kind::Local if is_test => Err(NetworkError::Other),
            Kind::Test | Kind::Local => {
                Ok(Self { passphrase: passphrase.to_owned(), id: Sha256::digest(passphrase).into() })
            }
        }
    }

    /// Its passphrase.
    pub fn passphrase(&self) -> &str {
        &self.passphrase
    }

    /// SHA-256 of the passphrase.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_network_is_refused_whatever_was_asked_for() {
        for kind in [Kind::Test, Kind::Local] {
            assert_eq!(Network::new(PUBLIC_PASSPHRASE, kind), Err(NetworkError::Public));
            let padded = format!(" {PUBLIC_PASSPHRASE}\n");
            assert_eq!(Network::new(&padded, kind), Err(NetworkError::Public));
            assert_eq!(Network::new("", kind), Err(NetworkError::Unnamed));
            assert_eq!(Network::new(&"x".repeat(257), kind), Err(NetworkError::Unnamed));
        }
    }

    #[test]
    fn the_test_network_and_local_ones_are_never_mistaken_for_each_other() {
        assert_eq!(Network::new(test_network::PASSPHRASE, Kind::Local), Err(NetworkError::Other));
        assert_eq!(Network::new("Hayloft local ledger ; 00", Kind::Test), Err(NetworkError::Other));
        let test = Network::new(test_network::PASSPHRASE, Kind::Test).unwrap();
        let id = data_encoding::HEXLOWER.encode(test.id());
        assert_eq!(id, "cee0302d59844d32bdca915c8203dd44b33fbb7edc19051ea37abedf28ecd472");
    }
}
