//! Claimable balances.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use hayloft_core::{Amount, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{HasToken, HorizonError, Listing, Written, amount, parsed};
use crate::Address;

/// Hex of the number of a balance's kind, of which there is one.
const KIND: &str = "00000000";
/// Claimants that a balance can have, and levels and parts of a predicate.
const MAX_CLAIMANTS: usize = 10;
const MAX_DEPTH: usize = 4;
const MAX_PARTS: usize = 2;

/// The name of a claimable balance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BalanceId(pub [u8; 32]);

/// Text that names no balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a claimable balance has 72 hexadecimal digits")]
pub struct InvalidBalanceId;

impl fmt::Display for BalanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for BalanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for BalanceId {
    type Err = InvalidBalanceId;

    fn from_str(text: &str) -> Result<Self, InvalidBalanceId> {
        let hex = text.strip_prefix(KIND).ok_or(InvalidBalanceId)?;
        let bytes = HEXLOWER.decode(hex.as_bytes()).map_err(|_| InvalidBalanceId)?;
        bytes.try_into().map(Self).map_err(|_| InvalidBalanceId)
    }
}

/// A claimable balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimableBalance {
    /// Its name.
    pub id: BalanceId,
    /// How much; none if it is not lumens.
    pub amount: Option<Amount>,
    /// Who may claim it, in order.
    pub claimants: Vec<Claimant>,
    token: String,
}

/// One who may claim a balance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimant {
    /// Who.
    pub who: Address,
    /// When.
    pub when: Predicate,
}

/// When a balance may be claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Predicate {
    /// Always.
    Always,
    /// While both hold.
    And(Vec<Self>),
    /// While one holds.
    Or(Vec<Self>),
    /// While it does not hold.
    Not(Box<Self>),
    /// Before a ledger closes at this time.
    Before(Timestamp),
    /// Before so many seconds have passed: Hayloft makes none.
    Within(u64),
}

impl Predicate {
    /// From this time on.
    pub fn from(time: Timestamp) -> Self {
        Self::Not(Box::new(Self::Before(time)))
    }

    fn read(value: &Value, depth: usize) -> Option<Self> {
        let fields = value.as_object().filter(|_| depth < MAX_DEPTH)?;
        let parts = |value: &Value| -> Option<Vec<Self>> {
            let parts = value.as_array().filter(|parts| parts.len() <= MAX_PARTS)?;
            parts.iter().map(|part| Self::read(part, depth + 1)).collect()
        };
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        };
        let epoch = fields.get("abs_before_epoch");
        if let Some(time) = epoch {
            return number(time).map(|seconds| Self::Before(Timestamp(seconds)));
        }
        let mut fields = fields.iter();
        match (fields.next(), fields.next()) {
            (Some((name, value)), None) => match name.as_str() {
                "unconditional" => value.as_bool().filter(|yes| *yes).map(|_| Self::Always),
                "and" => parts(value).map(Self::And),
                "or" => parts(value).map(Self::Or),
                "not" => Self::read(value, depth + 1).map(|part| Self::Not(Box::new(part))),
                "rel_before" => number(value).map(Self::Within),
                _ => None,
            },
            _ => None,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawBalance {
    id: String,
    asset: String,
    amount: String,
    claimants: Vec<RawClaimant>,
    paging_token: String,
    /// There on every Horizon; read so that a record without it counts for nothing.
    last_modified_ledger: Written,
}

#[derive(Deserialize)]
struct RawClaimant {
    destination: String,
    predicate: Value,
}

impl HasToken for ClaimableBalance {
    fn token(&self) -> &str {
        &self.token
    }
}

impl Listing for ClaimableBalance {
    type Raw = RawBalance;
    const WHAT: &'static str = "claimable balance";

    fn read(raw: RawBalance) -> Result<Self, HorizonError> {
        let rubbish = || HorizonError::Rubbish { what: Self::WHAT };
        raw.last_modified_ledger.read::<u32>(Self::WHAT)?;
        if raw.claimants.len() > MAX_CLAIMANTS {
            return Err(rubbish());
        }
        let claimant = |raw: &RawClaimant| {
            let when = Predicate::read(&raw.predicate, 0).ok_or_else(rubbish)?;
            Ok(Claimant { who: parsed(&raw.destination, Self::WHAT)?, when })
        };
        let mut claimants = raw.claimants.iter().map(claimant).collect::<Result<Vec<_>, HorizonError>>()?;
        claimants.sort();
        let sum = amount(&raw.amount, Self::WHAT)?;
        Ok(Self {
            id: parsed(&raw.id, Self::WHAT)?,
            amount: (raw.asset == "native").then_some(sum),
            claimants,
            token: raw.paging_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn predicates_are_read_as_the_ledger_means_them_or_not_at_all() {
        let before = json!({ "abs_before": "1970-01-01T00:00:07Z", "abs_before_epoch": "7" });
        let read = |value: Value| Predicate::read(&value, 0);
        assert_eq!(read(json!({ "not": before })), Some(Predicate::from(Timestamp(7))));
        assert_eq!(read(json!({ "unconditional": true })), Some(Predicate::Always));
        assert_eq!(read(json!({ "rel_before": "5" })), Some(Predicate::Within(5)));
        let both = json!({ "and": [{ "unconditional": true }, before] });
        assert_eq!(
            read(both),
            Some(Predicate::And(vec![Predicate::Always, Predicate::Before(Timestamp(7))]))
        );
        let mut deep = json!({ "unconditional": true });
        for _ in 0..MAX_DEPTH {
            deep = json!({ "not": deep });
        }
        let wide = json!({ "or": [before, before, before] });
        let odd = json!({ "not": { "unconditional": true }, "unconditional": true });
        for bad in
            [deep, wide, odd, json!({}), json!([]), json!({ "unconditional": false }), json!({ "xor": [] })]
        {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }
}
