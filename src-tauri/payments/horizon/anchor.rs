//! Noticing that a network began anew.
//!
//! Stellar's test network is wiped now and then and keeps its passphrase; a local ledger that begins anew has another one.
//! An [`Anchor`] names a ledger that was seen. A network that shows another one in its place, or has not got so far by
//! more than Horizons lag behind each other, is not the one that was seen: nothing signed or recorded then holds in it.
//! At another address that is no new beginning, but another network: `Outbox::recognise` tells the two apart.

use serde::{Deserialize, Serialize};

use super::{Horizon, HorizonError, LedgerRecord, Root};

/// By how many ledgers one Horizon may be behind another: half an hour.
const LAG_LEDGERS: u32 = 360;

/// A ledger that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The network's passphrase.
    pub passphrase: String,
    /// The ledger's number.
    pub ledger: u32,
    /// Its hash.
    pub hash: [u8; 32],
}

/// How a network now relates to the one that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuity {
    /// The same.
    Same,
    /// This Horizon is a little behind what was seen: it cannot be told yet, and nothing should be signed by it.
    Behind,
    /// It began anew.
    Reset(Sign),
}

/// By what a reset was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Sign {
    /// Another passphrase.
    #[error("the ledger at this address is another one now")]
    Passphrase,
    /// It has not got so far.
    #[error("the network has gone back to its beginning")]
    WentBack,
    /// Another ledger in its place.
    #[error("the network has another history than before")]
    History,
}

/// What is to be concluded. `there` is the ledger that the network shows in the anchor's place.
fn judge(anchor: &Anchor, root: &Root, there: Option<&LedgerRecord>) -> Continuity {
    if root.passphrase != anchor.passphrase {
        return Continuity::Reset(Sign::Passphrase);
    }
    if let Some(ledger) = there {
        let same = ledger.hash == anchor.hash;
        return if same { Continuity::Same } else { Continuity::Reset(Sign::History) };
    }
    match anchor.ledger.checked_sub(root.newest) {
        Some(0) | None if root.eldest > anchor.ledger => Continuity::Same,
        Some(behind) if behind > LAG_LEDGERS => Continuity::Reset(Sign::WentBack),
        // It should have the ledger, and either just got it or has lost it.
        _ => Continuity::Behind,
    }
}

impl Horizon {
    /// Whether the network is still the one in which this ledger was seen.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn continuity(&self, anchor: &Anchor) -> Result<Continuity, HorizonError> {
        let root = self.root().await?;
        let there =
            if root.passphrase == anchor.passphrase { self.ledger(anchor.ledger).await? } else { None };
        Ok(judge(anchor, &root, there.as_ref()))
    }

    /// The newest ledger, to know the network by later.
    ///
    /// # Errors
    /// [`HorizonError`].
    pub async fn anchor(&self) -> Result<Anchor, HorizonError> {
        let passphrase = self.network().await?.passphrase().to_owned();
        let newest = self.newest_ledger().await?;
        Ok(Anchor { passphrase, ledger: newest.number, hash: newest.hash })
    }
}

#[cfg(test)]
mod tests {
    use hayloft_core::{Amount, Timestamp};

    use super::*;

    fn root(passphrase: &str, eldest: u32, newest: u32) -> Root {
        Root { passphrase: passphrase.to_owned(), newest, eldest }
    }

    fn ledger(number: u32, hash: u8) -> LedgerRecord {
        LedgerRecord {
            number,
            hash: [hash; 32],
            previous: None,
            closed: Timestamp(0),
            total_coins: Amount(0),
            fee_pool: Amount(0),
            base_fee: Amount(100),
            base_reserve: Amount(5_000_000),
            token: "1".to_owned(),
        }
    }

    #[test]
    fn a_network_that_began_anew_is_told_from_one_that_lags() {
        let anchor = Anchor { passphrase: "a".to_owned(), ledger: 5000, hash: [1; 32] };
        let same = ledger(5000, 1);
        let other = ledger(5000, 2);
        for (root, there, expected) in [
            (root("b", 1, 9000), Some(&same), Continuity::Reset(Sign::Passphrase)),
            (root("a", 1, 9000), Some(&same), Continuity::Same),
            (root("a", 1, 9000), Some(&other), Continuity::Reset(Sign::History)),
            (root("a", 1, 12), None, Continuity::Reset(Sign::WentBack)),
            (root("a", 1, 4640), None, Continuity::Behind),
            (root("a", 1, 4639), None, Continuity::Reset(Sign::WentBack)),
            (root("a", 6000, 9000), None, Continuity::Same),
            (root("a", 1, 9000), None, Continuity::Behind),
        ] {
            assert_eq!(judge(&anchor, &root, there), expected, "{root:?}");
        }
    }
}
