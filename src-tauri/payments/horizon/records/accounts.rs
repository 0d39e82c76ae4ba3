//! Accounts.

use std::collections::BTreeMap;

use hayloft_core::Amount;
use serde::Deserialize;
use stellar_base::xdr::SignerKey;

use super::{HorizonError, amount, parsed};
use crate::Address;

const WHAT: &str = "account";
/// Signers that an account can have besides its own key.
const MAX_SIGNERS: usize = 20;
/// SEP-0029: an account that only takes payments with a memo.
const MEMO_REQUIRED: (&str, &str) = ("config.memo_required", "MQ==");

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its address.
    pub address: Address,
    /// Number of its last transaction.
    pub sequence: i64,
    /// Its lumens, those that the network locks included.
    pub balance: Amount,
    /// Entries that it keeps: signers, values and the like.
    pub subentries: u32,
    /// Entries of others whose reserve it pays.
    pub sponsoring: u32,
    /// Entries of its own whose reserve others pay.
    pub sponsored: u32,
    /// Weights that operations need: low, medium, high.
    pub thresholds: [u8; 3],
    /// All who sign for it, its own key included, in order.
    pub signers: Vec<Signer>,
    /// Whether it refuses payments without a memo.
    pub memo_required: bool,
}

/// One who signs for an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    /// An account's key, a transaction's hash, or another kind of lock.
    pub key: SignerKey,
    /// How much it counts.
    pub weight: u8,
}

#[derive(Deserialize)]
pub(crate) struct RawAccount {
    account_id: String,
    sequence: String,
    subentry_count: u32,
    #[serde(default)]
    num_sponsoring: u32,
    #[serde(default)]
    num_sponsored: u32,
    thresholds: RawThresholds,
    balances: Vec<RawBalance>,
    signers: Vec<RawSigner>,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawThresholds {
    low_threshold: u8,
    med_threshold: u8,
    high_threshold: u8,
}

#[derive(Deserialize)]
struct RawBalance {
    asset_type: String,
    balance: String,
}

#[derive(Deserialize)]
struct RawSigner {
    key: String,
    weight: u8,
}

impl Account {
    pub(in crate::horizon) fn read(raw: RawAccount) -> Result<Self, HorizonError> {
        let rubbish = || HorizonError::Rubbish { what: WHAT };
        let own = raw.balances.iter().find(|balance| balance.asset_type == "native").ok_or_else(rubbish)?;
        if raw.signers.len() > MAX_SIGNERS + 1 {
            return Err(rubbish());
        }
        let signer = |raw: &RawSigner| Ok(Signer { key: parsed(&raw.key, WHAT)?, weight: raw.weight });
        let mut signers = raw.signers.iter().map(signer).collect::<Result<Vec<_>, HorizonError>>()?;
        signers.sort();
        let sequence: i64 = parsed(&raw.sequence, WHAT)?;
        if sequence < 0 {
            return Err(rubbish());
        }
        let (name, value) = MEMO_REQUIRED;
        let thresholds = raw.thresholds;
        Ok(Self {
            address: parsed(&raw.account_id, WHAT)?,
            sequence,
            balance: amount(&own.balance, WHAT)?,
            subentries: raw.subentry_count,
            sponsoring: raw.num_sponsoring,
            sponsored: raw.num_sponsored,
            thresholds: [thresholds.low_threshold, thresholds.med_threshold, thresholds.high_threshold],
            signers,
            memo_required: raw.data.get(name).is_some_and(|kept| kept == value),
        })
    }

    /// What the network locks of its balance.
    pub fn reserve(&self, base_reserve: Amount) -> Amount {
        let entries = 2 + u64::from(self.subentries) + u64::from(self.sponsoring);
        Amount(entries.saturating_sub(self.sponsored.into()).saturating_mul(base_reserve.0))
    }

    /// What of its balance can be spent.
    pub fn free(&self, base_reserve: Amount) -> Amount {
        Amount(self.balance.0.saturating_sub(self.reserve(base_reserve).0))
    }
}
