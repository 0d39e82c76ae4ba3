//! What a settlement claims, pays and returns; and what W recovers when nobody settles.

use std::collections::BTreeSet;

use hayloft_core::{Amount, Timestamp};

use super::plan::{Plan, fee};
use crate::{
    Address, Draft,
    envelope::{Do, Memo, Step, Window},
};

/// A settlement of all open periods up to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The periods whose balances are claimed, in order.
    pub claims: Vec<u32>,
    /// What the farmer gets.
    pub pays: Amount,
    /// What W gets back.
    pub returns: Amount,
}

/// Why there is nothing to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// The escrow has no such period.
    #[error("the escrow has no period {0}")]
    NoSuchPeriod(u32),
    /// The period is not over.
    #[error("period {0} is not over yet")]
    NotOver(u32),
    /// All periods up to it are settled or recovered.
    #[error("everything up to that period is settled already")]
    NothingOpen,
}

/// Who hands a settlement in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedIn {
    /// Whose sequence number it uses and who pays its fee.
    pub by: Address,
    /// That number.
    pub sequence: i64,
    /// What each step may cost.
    pub step_fee: Amount,
    /// Until when it must be in a ledger.
    pub until: Timestamp,
}

/// The settlement of all open periods up to `through`, when so much is owed for them and all before in all, and so much
/// was paid. What is owed beyond what these periods hold stays owed and is paid by a later period that holds more.
///
/// # Errors
/// [`SettlementError`].
pub fn settle(
    plan: &Plan,
    open: &BTreeSet<u32>,
    through: u32,
    owed: Amount,
    paid: Amount,
    now: Timestamp,
) -> Result<Settlement, SettlementError> {
    if through >= plan.periods() {
        return Err(SettlementError::NoSuchPeriod(through));
    }
    if plan.end(through) > now {
        return Err(SettlementError::NotOver(through));
    }
    let claims: Vec<u32> = open.range(..=through).copied().collect();
    if claims.is_empty() {
        return Err(SettlementError::NothingOpen);
    }
    let of = |period: &u32| plan.amounts.get(*period as usize).map_or(0, |amount| amount.0);
    let holds = claims.iter().map(of).sum::<u64>();
    let pays = owed.0.saturating_sub(paid.0).min(holds);
    Ok(Settlement { claims, pays: Amount(pays), returns: Amount(holds - pays) })
}

impl Settlement {
    /// Its transaction, without signatures.
    pub fn draft(&self, plan: &Plan, handed_in: &HandedIn) -> Draft {
        let by_escrow = |deed| Step { by: Some(plan.escrow), deed };
        let claim = |period: &u32| by_escrow(Do::Claim { balance: plan.balance(*period) });
        let mut steps: Vec<Step> = self.claims.iter().map(claim).collect();
        for (to, amount) in [(plan.farmer, self.pays), (plan.owner, self.returns)] {
            if amount > Amount(0) {
                steps.push(by_escrow(Do::Pay { to, amount }));
            }
        }
        Draft {
            source: handed_in.by,
            sequence: handed_in.sequence,
            fee: fee(handed_in.step_fee, steps.len()),
            window: Window::until(handed_in.until),
            memo: Memo::None,
            steps,
        }
    }
}

/// What W claims back by itself now: open periods whose grace is over. None if there are none.
pub fn recovery(plan: &Plan, open: &BTreeSet<u32>, now: Timestamp) -> Option<Vec<Step>> {
    let due = open.iter().filter(|period| plan.recovers(**period) <= now);
    let steps: Vec<Step> =
        due.map(|period| Step { by: None, deed: Do::Claim { balance: plan.balance(*period) } }).collect();
    (!steps.is_empty()).then_some(steps)
}
