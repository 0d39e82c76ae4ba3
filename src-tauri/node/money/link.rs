//! The line to the ledger: which network it belongs to is learned from it, and learned anew when it begins anew.
//!
//! Invariant: nothing is handed out before the ledger was recognised as the one seen before, or as a new one.

use hayloft_core::NetworkName;
use hayloft_payments::{
    Horizon, Outbox,
    horizon::{HorizonOptions, anchor::Sign},
    outbox::Recognised,
};
use tokio::sync::Mutex;

use super::MoneyError;
use crate::{errors::sentence, model::ApiError};

/// The network whose ledger is Stellar's test network.
const TEST_NETWORK: &str = "testnet";

/// The line to the ledger.
pub(super) struct Link {
    horizon: Option<Horizon>,
    rows: hayloft_store::Outbox,
    outbox: Mutex<Option<Outbox>>,
}

/// What was found of the ledger.
pub(super) struct Found {
    pub(super) outbox: Outbox,
    /// By what it shows that it began anew, if it did since it was seen last.
    pub(super) anew: Option<Sign>,
}

/// Where the ledger of a network is: as `url` says, else where the test network is; none on any other network.
pub(crate) fn options(network: &NetworkName, url: Option<&str>) -> Option<HorizonOptions> {
    let is_test = network.as_str() == TEST_NETWORK;
    match url {
        None => is_test.then(HorizonOptions::test_network),
        Some(url) if is_test => {
            Some(HorizonOptions { kind: HorizonOptions::test_network().kind, ..HorizonOptions::local(url) })
        }
        Some(url) => Some(HorizonOptions::local(url)),
    }
}

impl Link {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// [`ApiError`] if the address is none.
    pub(super) fn new(
        network: &NetworkName,
        url: Option<&str>,
        rows: hayloft_store::Outbox,
    ) -> Result<Self, ApiError> {
        let horizon = options(network, url).map(|options| Horizon::new(&options)).transpose();
        let horizon = horizon.map_err(|error| ApiError::bad_request(sentence(&error)))?;
        Ok(Self { horizon, rows, outbox: Mutex::default() })
    }

    /// Whether a ledger is known.
    pub(super) fn has_ledger(&self) -> bool {
        self.horizon.is_some()
    }

    /// Whether it gives lumens to new accounts.
    pub(super) fn gives(&self) -> bool {
        self.horizon.as_ref().is_some_and(Horizon::has_friendbot)
    }

    /// The outbox on this ledger, as it was last recognised.
    pub(super) async fn outbox(&self) -> Result<Outbox, MoneyError> {
        if let Some(outbox) = self.outbox.lock().await.as_ref() {
            return Ok(outbox.clone());
        }
        Ok(self.recognise().await?.outbox)
    }

    /// Asks the ledger which it is.
    pub(super) async fn recognise(&self) -> Result<Found, MoneyError> {
        let horizon = self.horizon.as_ref().ok_or(MoneyError::NoLedger)?;
        let network = horizon.network().await?;
        let mut kept = self.outbox.lock().await;
        let same = kept.as_ref().filter(|outbox| outbox.network() == &network).cloned();
        let outbox = same.unwrap_or_else(|| Outbox::new(horizon.clone(), network, self.rows.clone()));
        let anew = match outbox.recognise().await? {
            Recognised::Behind => return Err(MoneyError::Behind),
            Recognised::Elsewhere { place } => return Err(MoneyError::AnotherLedger(place)),
            Recognised::Anew(sign) => Some(sign),
            Recognised::First | Recognised::Same => None,
        };
        *kept = Some(outbox.clone());
        Ok(Found { outbox, anew })
    }
}

#[cfg(test)]
mod tests {
    use hayloft_payments::network::{Kind, test_network};

    use super::*;

    #[test]
    fn only_the_test_network_has_a_ledger_by_itself_and_its_place_can_be_changed() {
        let network = |name: &str| name.parse::<NetworkName>().expect("a name");
        assert!(options(&network("barn"), None).is_none());
        let test = options(&network("testnet"), None).expect("a ledger");
        assert_eq!((test.url.as_str(), test.kind), (test_network::HORIZON, Kind::Test));
        let elsewhere = options(&network("testnet"), Some("http://127.0.0.1:1/")).expect("a ledger");
        assert_eq!((elsewhere.url.as_str(), elsewhere.kind), ("http://127.0.0.1:1", Kind::Test));
        let local = options(&network("barn"), Some("http://127.0.0.1:1")).expect("a ledger");
        assert_eq!(local.kind, Kind::Local);
    }
}
