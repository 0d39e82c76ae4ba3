//! What a co-signer checks before it signs a settlement that another made.
//!
//! It takes from the transaction only what the one who hands it in may choose: number, fee and latest time. All else it
//! computes from its own records, and compares the whole.

use std::collections::{BTreeMap, BTreeSet};

use hayloft_core::{Amount, Timestamp};

use super::{HandedIn, Plan, Settlement, SettlementError, settle};
use crate::{Address, Draft, envelope::Do, horizon::BalanceId};

/// How far ahead a settlement's latest time may lie.
pub const MAX_AHEAD_SECONDS: u64 = 60 * 60;

/// What a co-signer signs for, beside just what is owed by its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Exactly,
    /// Also more: who is paid has nothing against that.
    More,
    /// Also less: who is paid has nothing to lose any more.
    Anything,
}

impl Takes {
    /// What counts as owed when so much was asked for, what was paid before included.
    fn of(self, owed: Amount, paid: Amount, asked: Amount) -> Amount {
        let with_asked = Amount(paid.0.saturating_add(asked.0));
        match self {
            Self::Exactly => owed,
            Self::More => owed.max(with_asked),
            Self::Anything => with_asked,
        }
    }
}

/// What a co-signer itself holds to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    /// Who it is.
    pub own: Address,
    /// Periods whose balances the ledger still shows.
    pub open: BTreeSet<u32>,
    /// What is owed in all for the periods up to each that is over.
    pub owed: BTreeMap<u32, Amount>,
    /// What the ledger shows as paid.
    pub paid: Amount,
    /// What else than just what is owed it signs for.
    pub takes: Takes,
    /// Now.
    pub now: Timestamp,
}

/// Why a settlement is not signed. Shown to both sides' people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// It would be handed in by a stranger, or by the one that is asked to sign: who pays its fee signs for that first.
    #[error("the settlement is not handed in by the one who asks for a signature")]
    WrongSource,
    /// It has no latest time, or one too far away, or one that has passed.
    #[error("the settlement has no latest time, or one that is over or too far away")]
    BadWindow,
    /// It claims something that is no balance of this escrow, or nothing.
    #[error("the settlement claims what is no period of this contract")]
    ForeignClaim,
    /// Nothing is to be settled.
    #[error(transparent)]
    Nothing(#[from] SettlementError),
    /// Who is paid would give a period away for nothing.
    #[error("the settlement pays nothing")]
    PaysNothing,
    /// What is owed for that period is not known here.
    #[error("the audits of period {0} are not all known here yet")]
    NotKnown(u32),
    /// It pays another amount than these records say.
    #[error("the settlement pays {asked}, but these records say {own}")]
    Amount {
        /// What it would pay.
        asked: Amount,
        /// What these records say.
        own: Amount,
    },
    /// It claims other periods, or does something else besides.
    #[error("the settlement does something else than settle the open periods")]
    Other,
}

/// Whether a settlement that `asker` made says what it should; then it may be signed as it is.
///
/// # Errors
/// [`Disagreement`].
pub fn check(
    plan: &Plan,
    draft: &Draft,
    asker: Address,
    opinion: &Opinion,
) -> Result<Settlement, Disagreement> {
    let parties = [plan.owner, plan.farmer, plan.auditor];
    if draft.source != asker || asker == opinion.own || !parties.contains(&asker) {
        return Err(Disagreement::WrongSource);
    }
    let latest = opinion.now.plus_seconds(MAX_AHEAD_SECONDS);
    let until = draft.window.until.filter(|until| *until > opinion.now && *until <= latest);
    let until = until.ok_or(Disagreement::BadWindow)?;
    let through = last_claim(plan, draft).ok_or(Disagreement::ForeignClaim)?;
    let owed = *opinion.owed.get(&through).ok_or(Disagreement::NotKnown(through))?;
    let asked = pays(draft, plan.farmer);
    if opinion.takes != Takes::Exactly && asked == Amount(0) {
        return Err(Disagreement::PaysNothing);
    }
    let owed = opinion.takes.of(owed, opinion.paid, asked);
    let own = settle(plan, &opinion.open, through, owed, opinion.paid, opinion.now)?;
    let step_fee = Amount(u64::from(draft.fee) / (draft.steps.len().max(1) as u64));
    let handed_in = HandedIn { by: asker, sequence: draft.sequence, step_fee, until };
    let mut expected = own.draft(plan, &handed_in);
    // The fee is the asker's own affair.
    expected.fee = draft.fee;
    if *draft == expected {
        return Ok(own);
    }
    if asked != own.pays {
        return Err(Disagreement::Amount { asked, own: own.pays });
    }
    Err(Disagreement::Other)
}

/// The last period that a settlement claims; none if it claims nothing, or what is no period.
pub fn last_claim(plan: &Plan, draft: &Draft) -> Option<u32> {
    let known: BTreeMap<BalanceId, u32> =
        (0..plan.periods()).map(|period| (plan.balance(period), period)).collect();
    let claims = draft.steps.iter().filter_map(|step| match step.deed {
        Do::Claim { balance } => Some(known.get(&balance).copied()),
        _ => None,
    });
    claims.collect::<Option<Vec<u32>>>()?.into_iter().max()
}

fn pays(draft: &Draft, farmer: Address) -> Amount {
    let to_farmer = draft.steps.iter().filter_map(|step| match step.deed {
        Do::Pay { to, amount } if to == farmer => Some(amount.0),
        _ => None,
    });
    Amount(to_farmer.fold(0, u64::saturating_add))
}
