//! What Horizon's records say, read field by field into checked types. A field that is missing, malformed or beyond what a
//! ledger can hold makes the whole record count for nothing.

mod accounts;
mod balances;
mod history;

use std::fmt::Display;

use data_encoding::HEXLOWER;
use hayloft_core::{Amount, Timestamp};
use serde::Deserialize;

pub use accounts::{Account, Signer};
pub use balances::{BalanceId, ClaimableBalance, Claimant, Predicate};
pub use history::{Deed, Operation, Transaction};

use super::{
    HorizonError,
    list::{HasToken, Listing},
};
use crate::lumens;

fn rubbish<E>(what: &'static str) -> impl FnOnce(E) -> HorizonError {
    move |_| HorizonError::Rubbish { what }
}

fn amount(text: &str, what: &'static str) -> Result<Amount, HorizonError> {
    lumens::parse(text).ok_or(HorizonError::Rubbish { what })
}

fn hash(text: &str, what: &'static str) -> Result<[u8; 32], HorizonError> {
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(rubbish(what))?;
    bytes.try_into().map_err(rubbish(what))
}

fn moment(text: &str, what: &'static str) -> Result<Timestamp, HorizonError> {
    let moment: jiff::Timestamp = text.parse().map_err(rubbish(what))?;
    u64::try_from(moment.as_second()).map(Timestamp).map_err(rubbish(what))
}

/// A number that is written as text or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl Written {
    fn read<T: TryFrom<u64>>(&self, what: &'static str) -> Result<T, HorizonError> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.parse().map_err(rubbish(what))?,
        };
        T::try_from(number).map_err(|_| HorizonError::Rubbish { what })
    }
}

/// The root document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The network's passphrase, not yet judged.
    pub passphrase: String,
    /// Number of the newest ledger.
    pub newest: u32,
    /// Number of the eldest ledger that is kept.
    pub eldest: u32,
}

#[derive(Deserialize)]
pub(super) struct RawRoot {
    network_passphrase: String,
    history_latest_ledger: u32,
    history_elder_ledger: u32,
}

impl Root {
    pub(super) fn read(raw: RawRoot) -> Result<Self, HorizonError> {
        Ok(Self {
            passphrase: raw.network_passphrase,
            newest: raw.history_latest_ledger,
            eldest: raw.history_elder_ledger,
        })
    }
}

/// What fees are paid, per operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// The least that is taken.
    pub base: Amount,
    /// With this much, nine in ten got in.
    pub usual: Amount,
}

#[derive(Deserialize)]
pub(super) struct RawFees {
    last_ledger_base_fee: Written,
    fee_charged: RawShares,
}

#[derive(Deserialize)]
struct RawShares {
    p90: Written,
}

impl Fees {
    pub(super) fn read(raw: RawFees) -> Result<Self, HorizonError> {
        const WHAT: &str = "list of fees";
        let fees = Self {
            base: Amount(raw.last_ledger_base_fee.read(WHAT)?),
            usual: Amount(raw.fee_charged.p90.read(WHAT)?),
        };
        if fees.base == Amount(0) { Err(HorizonError::Rubbish { what: WHAT }) } else { Ok(fees) }
    }
}

/// A closed ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Its number.
    pub number: u32,
    /// Its hash.
    pub hash: [u8; 32],
    /// Hash of the one before; none of the first.
    pub previous: Option<[u8; 32]>,
    /// When it closed.
    pub closed: Timestamp,
    /// All lumens there are.
    pub total_coins: Amount,
    /// All fees that were paid.
    pub fee_pool: Amount,
    /// The least fee per operation.
    pub base_fee: Amount,
    /// What each entry of an account locks.
    pub base_reserve: Amount,
    pub(super) token: String,
}

#[derive(Deserialize)]
pub(crate) struct RawLedger {
    sequence: u32,
    hash: String,
    prev_hash: Option<String>,
    closed_at: String,
    total_coins: String,
    fee_pool: String,
    base_fee_in_stroops: u64,
    base_reserve_in_stroops: u64,
    paging_token: String,
}

impl HasToken for LedgerRecord {
    fn token(&self) -> &str {
        &self.token
    }
}

impl Listing for LedgerRecord {
    type Raw = RawLedger;
    const WHAT: &'static str = "ledger";

    fn read(raw: RawLedger) -> Result<Self, HorizonError> {
        Ok(Self {
            number: raw.sequence,
            hash: hash(&raw.hash, Self::WHAT)?,
            previous: raw.prev_hash.map(|text| hash(&text, Self::WHAT)).transpose()?,
            closed: moment(&raw.closed_at, Self::WHAT)?,
            total_coins: amount(&raw.total_coins, Self::WHAT)?,
            fee_pool: amount(&raw.fee_pool, Self::WHAT)?,
            base_fee: Amount(raw.base_fee_in_stroops),
            base_reserve: Amount(raw.base_reserve_in_stroops),
            token: raw.paging_token,
        })
    }
}

/// A parsed value, or a record that counts for nothing.
fn parsed<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, HorizonError>
where
    T::Err: Display,
{
    text.parse().map_err(rubbish(what))
}
