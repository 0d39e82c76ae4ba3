//! The plan of an escrow: from it anyone computes its setup, its merge and the names of its balances.

use std::collections::BTreeSet;

use hayloft_core::{Amount, Timestamp, keys::StellarKey};
use serde::{Deserialize, Serialize};

use crate::{
    Address, Draft, Network,
    envelope::{Do, Lock, Memo, Signed, Step, Window},
    horizon::BalanceId,
};

/// Most settlement periods: setup and settlement must each fit one transaction.
pub const MAX_PERIODS: usize = 90;
/// What the merge may cost.
pub const MERGE_FEE: Amount = Amount(10_000);
/// Ledgers within which the setup must get in.
const SETUP_LEDGERS: u32 = 60;
/// Entries whose reserve E pays: itself twice, and four signers.
const ENTRIES: u64 = 6;
/// Entries whose reserve W pays for each period: one per claimant.
const ENTRIES_PER_PERIOD: u64 = 2;
const FIRST_LOCK: u32 = 6;
/// What E's operations need, and what the merge counts.
pub(super) const NEEDED: u8 = 2;
/// No time of a plan is later.
const LAST_TIME: u64 = 1 << 40;

/// An escrow for one contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// E.
    pub escrow: Address,
    /// W, which is also the owner's key.
    pub owner: Address,
    /// Whom it pays.
    pub farmer: Address,
    /// Who signs when the others disagree.
    pub auditor: Address,
    /// When the first period begins.
    pub start: Timestamp,
    /// How long each lasts.
    pub period_seconds: u64,
    /// How long after its end only two of three can settle a period.
    pub grace_seconds: u64,
    /// The most that each period can owe.
    pub amounts: Vec<Amount>,
    /// Number of W's transaction that sets it up.
    pub setup_sequence: i64,
    /// L: the setup gets in before this ledger, the merge after it.
    pub merge_ledger: u32,
    /// What the network locked per entry when it was planned.
    pub base_reserve: Amount,
}

/// Why a plan is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two of escrow, owner, farmer and auditor are the same.
    #[error("escrow, owner, farmer and auditor must be four different accounts")]
    SameParty,
    /// No periods, or more than fit.
    #[error("an escrow has 1 to {MAX_PERIODS} settlement periods")]
    BadPeriods,
    /// A period without length or grace, or one that ends in no time at all.
    #[error("the periods of the escrow have no length, no grace, or never end")]
    BadTimes,
    /// An amount that is nothing, or more than a ledger can count.
    #[error("an amount of the escrow is nothing or too much")]
    BadAmount,
    /// A number that no account or ledger can have.
    #[error("a sequence number of the escrow is impossible")]
    BadNumber,
}

/// What an escrow of so many periods has the network lock, in E and in W, beside what it pays: it all comes back.
pub fn reserves(periods: u64, base_reserve: Amount) -> Amount {
    let entries = ENTRIES + ENTRIES_PER_PERIOD * periods;
    Amount(entries.saturating_mul(base_reserve.0).saturating_add(MERGE_FEE.0))
}

/// What an escrow begins with, of what [`reserves`] counts: its own reserve and the merge's fee.
pub fn own_reserve(base_reserve: Amount) -> Amount {
    Amount(ENTRIES.saturating_mul(base_reserve.0).saturating_add(MERGE_FEE.0))
}

impl Plan {
    /// The ledger before which the setup must get in, when this one is the newest.
    pub fn merge_ledger_after(newest: u32) -> u32 {
        newest.saturating_add(SETUP_LEDGERS)
    }

    /// Whether it can be one; all else here relies on that.
    ///
    /// # Errors
    /// The first [`PlanError`] found.
    pub fn check(&self) -> Result<(), PlanError> {
        let parties = BTreeSet::from([self.escrow, self.owner, self.farmer, self.auditor]);
        if parties.len() < 4 {
            return Err(PlanError::SameParty);
        }
        if self.amounts.is_empty() || self.amounts.len() > MAX_PERIODS {
            return Err(PlanError::BadPeriods);
        }
        let length = self.period_seconds.checked_mul(self.amounts.len() as u64);
        let last =
            length.and_then(|length| self.start.0.checked_add(length)?.checked_add(self.grace_seconds));
        if self.period_seconds == 0 || self.grace_seconds == 0 || last.is_none_or(|last| last > LAST_TIME) {
            return Err(PlanError::BadTimes);
        }
        let whole = self.amounts.iter().try_fold(0u64, |sum, amount| sum.checked_add(amount.0));
        let most = u64::try_from(i64::MAX / 2).unwrap_or(u64::MAX);
        if self.amounts.contains(&Amount(0)) || whole.is_none_or(|whole| whole > most) {
            return Err(PlanError::BadAmount);
        }
        if self.base_reserve.0 > most / 1000 {
            return Err(PlanError::BadAmount);
        }
        let numbers = self.setup_sequence > 0 && (2..u32::MAX / 2).contains(&self.merge_ledger);
        if numbers { Ok(()) } else { Err(PlanError::BadNumber) }
    }

    /// How many periods it has.
    pub fn periods(&self) -> u32 {
        u32::try_from(self.amounts.len()).unwrap_or(u32::MAX)
    }

    /// When a period, counted from 0, is over.
    pub fn end(&self, period: u32) -> Timestamp {
        self.start.plus_seconds(self.period_seconds.saturating_mul(u64::from(period) + 1))
    }

    /// From when on W alone can claim a period.
    pub fn recovers(&self, period: u32) -> Timestamp {
        self.end(period).plus_seconds(self.grace_seconds)
    }

    /// From when on E's reserve can return.
    pub fn merges(&self) -> Timestamp {
        self.recovers(self.periods().saturating_sub(1))
    }

    /// What the farmer can be paid in all.
    pub fn whole(&self) -> Amount {
        Amount(self.amounts.iter().map(|amount| amount.0).sum())
    }

    /// What E begins with: its reserve and the merge's fee.
    pub fn reserve(&self) -> Amount {
        own_reserve(self.base_reserve)
    }

    /// What the network locks in W while all periods are open, beside the amounts themselves.
    pub fn locks(&self) -> Amount {
        Amount(ENTRIES_PER_PERIOD * u64::from(self.periods()) * self.base_reserve.0)
    }

    /// The name of a period's balance.
    pub fn balance(&self, period: u32) -> BalanceId {
        let draft = Draft {
            source: self.owner,
            sequence: self.setup_sequence,
            fee: 0,
            window: Window::default(),
            memo: Memo::None,
            steps: Vec::new(),
        };
        draft.balance_id(FIRST_LOCK + period)
    }

    /// Who may claim a period's balance, and from when on.
    pub fn claimants(&self, period: u32) -> [(Address, Timestamp); 2] {
        [(self.escrow, self.end(period)), (self.owner, self.recovers(period))]
    }

    /// The setup, to be signed by W and E. Every step may cost this fee, and it must be in a ledger until this time.
    pub fn setup(&self, network: &Network, step_fee: Amount, until: Timestamp) -> Draft {
        let by_escrow = |deed| Step { by: Some(self.escrow), deed };
        let sign = |who, weight| by_escrow(Do::Sign { who, weight });
        let mut steps =
            vec![Step { by: None, deed: Do::Create { account: self.escrow, balance: self.reserve() } }];
        steps.extend([self.owner, self.farmer, self.auditor].map(|party| sign(Lock::Key(party), 1)));
        steps.push(sign(self.merge_lock(network), NEEDED));
        steps.push(by_escrow(Do::Rule { own: 0, needed: NEEDED }));
        steps.extend((0..).zip(&self.amounts).map(|(period, amount)| Step {
            by: None,
            deed: Do::Lock { amount: *amount, claimants: self.claimants(period).to_vec() },
        }));
        Draft {
            source: self.owner,
            sequence: self.setup_sequence,
            fee: fee(step_fee, steps.len()),
            window: Window {
                until: Some(until),
                before_ledger: Some(self.merge_ledger),
                ..Window::default()
            },
            memo: Memo::None,
            steps,
        }
    }

    /// The setup with E's own signature, whose key is of no use once it is in a ledger.
    pub fn setup_signed_by_escrow(
        &self,
        key: &StellarKey,
        network: &Network,
        step_fee: Amount,
        until: Timestamp,
    ) -> Signed {
        self.setup(network, step_fee, until).unsigned().signed(key, network)
    }

    /// The merge; it needs no signature.
    pub fn merge(&self) -> Draft {
        Draft {
            source: self.escrow,
            sequence: i64::from(self.merge_ledger) << 32,
            fee: u32::try_from(MERGE_FEE.0).unwrap_or(u32::MAX),
            window: Window {
                from: self.merges(),
                until: None,
                from_ledger: self.merge_ledger + 1,
                before_ledger: None,
                skips_numbers: true,
            },
            memo: Memo::None,
            steps: vec![Step { by: None, deed: Do::Merge { into: self.owner } }],
        }
    }

    pub(super) fn merge_lock(&self, network: &Network) -> Lock {
        Lock::Transaction(self.merge().hash(network))
    }
}

/// The fee of so many steps.
pub(super) fn fee(step_fee: Amount, steps: usize) -> u32 {
    let fee = step_fee.0.saturating_mul(steps as u64);
    u32::try_from(fee).unwrap_or(u32::MAX)
}
