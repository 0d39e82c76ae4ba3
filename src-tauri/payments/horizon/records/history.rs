//! What happened: transactions and their operations.

use data_encoding::BASE64;
use hayloft_core::{Amount, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{BalanceId, HasToken, HorizonError, Listing, Written, amount, hash, moment, parsed};
use crate::{Address, envelope};

const MAX_KIND_CHARS: usize = 64;
const MAX_MEMO_CHARS: usize = 64;

/// A transaction that is in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its hash.
    pub hash: [u8; 32],
    /// The ledger it is in.
    pub ledger: u32,
    /// When that closed.
    pub closed: Timestamp,
    /// Whether it took effect; its fee is paid either way.
    pub successful: bool,
    /// What it paid.
    pub fee: Amount,
    /// Whose sequence number it used.
    pub source: Address,
    /// The whole as XDR, as it was handed in: a stranger's bytes.
    pub envelope: Vec<u8>,
    /// Its memo as text, if it has one.
    pub memo: Option<String>,
    token: String,
}

#[derive(Deserialize)]
pub(crate) struct RawTransaction {
    hash: String,
    ledger: u32,
    created_at: String,
    successful: bool,
    fee_charged: Written,
    source_account: String,
    envelope_xdr: String,
    memo: Option<String>,
    paging_token: String,
}

impl HasToken for Transaction {
    fn token(&self) -> &str {
        &self.token
    }
}

impl Listing for Transaction {
    type Raw = RawTransaction;
    const WHAT: &'static str = "transaction";

    fn read(raw: RawTransaction) -> Result<Self, HorizonError> {
        let rubbish = || HorizonError::Rubbish { what: Self::WHAT };
        if raw.envelope_xdr.len() > envelope::MAX_BYTES * 2 {
            return Err(rubbish());
        }
        Ok(Self {
            hash: hash(&raw.hash, Self::WHAT)?,
            ledger: raw.ledger,
            closed: moment(&raw.created_at, Self::WHAT)?,
            successful: raw.successful,
            fee: Amount(raw.fee_charged.read(Self::WHAT)?),
            source: parsed(&raw.source_account, Self::WHAT)?,
            envelope: BASE64.decode(raw.envelope_xdr.as_bytes()).map_err(|_| rubbish())?,
            memo: raw.memo.map(|text| plain(&text, MAX_MEMO_CHARS)),
            token: raw.paging_token,
        })
    }
}

/// One operation that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The transaction it is part of.
    pub transaction: [u8; 32],
    /// When its ledger closed.
    pub closed: Timestamp,
    /// On whose behalf.
    pub source: Address,
    /// What it did.
    pub deed: Deed,
    token: String,
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// An account was created.
    Created {
        /// Which.
        account: Address,
        /// What it began with.
        balance: Amount,
    },
    /// Lumens were paid.
    Paid {
        /// By whom.
        from: Address,
        /// To whom.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// An account ended, and all it had went to another.
    Merged {
        /// Which ended.
        account: Address,
        /// Which has its lumens now.
        into: Address,
    },
    /// A balance was claimed.
    Claimed {
        /// Which.
        balance: BalanceId,
    },
    /// Something else, by Horizon's word for it.
    Other(String),
}

#[derive(Deserialize)]
pub(crate) struct RawOperation {
    transaction_hash: String,
    transaction_successful: bool,
    created_at: String,
    source_account: String,
    #[serde(rename = "type")]
    kind: String,
    paging_token: String,
    #[serde(flatten)]
    details: Value,
}

impl HasToken for Operation {
    fn token(&self) -> &str {
        &self.token
    }
}

impl Listing for Operation {
    type Raw = RawOperation;
    const WHAT: &'static str = "operation";

    fn read(raw: RawOperation) -> Result<Self, HorizonError> {
        if !raw.transaction_successful {
            return Err(HorizonError::Rubbish { what: Self::WHAT });
        }
        Ok(Self {
            transaction: hash(&raw.transaction_hash, Self::WHAT)?,
            closed: moment(&raw.created_at, Self::WHAT)?,
            source: parsed(&raw.source_account, Self::WHAT)?,
            deed: deed(&raw.kind, &raw.details)?,
            token: raw.paging_token,
        })
    }
}

fn deed(kind: &str, details: &Value) -> Result<Deed, HorizonError> {
    const WHAT: &str = "operation";
    let text = |name: &str| details[name].as_str().ok_or(HorizonError::Rubbish { what: WHAT });
    let account = |name: &str| parsed::<Address>(text(name)?, WHAT);
    Ok(match kind {
        "create_account" => {
            Deed::Created { account: account("account")?, balance: amount(text("starting_balance")?, WHAT)? }
        }
        "payment" if text("asset_type")? == "native" => {
            Deed::Paid { from: account("from")?, to: account("to")?, amount: amount(text("amount")?, WHAT)? }
        }
        "account_merge" => Deed::Merged { account: account("account")?, into: account("into")? },
        "claim_claimable_balance" => Deed::Claimed { balance: parsed(text("balance_id")?, WHAT)? },
        other => Deed::Other(plain(other, MAX_KIND_CHARS)),
    })
}

fn plain(text: &str, chars: usize) -> String {
    text.chars().filter(|sign| !sign.is_control()).take(chars).collect()
}
