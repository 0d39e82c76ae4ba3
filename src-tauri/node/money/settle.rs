//! Settling, turn by turn: what is over is paid, what is left comes back, and what an escrow began with returns at its end.
//!
//! The farmer proposes, as soon as a period is over and judged and what is due outweighs its fee a hundredfold, or would be
//! lost otherwise. The owner proposes when the farmer has not, late in a period's grace; after that, W claims by itself. Each
//! proposal is computed from one's own revisions and the auditor's verdicts, and the auditor signs it only if its books say
//! the same to the stroop.

use hayloft_core::{Amount, Timestamp, settlement::FEES_PER_PAYMENT};
use hayloft_payments::{
    Outbox, Wallet,
    envelope::Signed,
    escrow::{Fault, HandedIn, Plan, Standing, look, settle},
    wallet::{EscrowState, Fate, Role, decode},
};
use hayloft_store::funding::Funding;

use super::{
    Money, MoneyError,
    account::{Account, Periods},
};
use crate::{errors::sentence, model::Event, owner::lock};

/// A settlement's latest time is so far ahead.
const HANDED_IN_SECONDS: u64 = 120;
/// Steps of a settlement beside its claims.
const PAYS_AND_RETURNS: u64 = 2;

/// An escrow as one turn sees it.
struct Case<'a> {
    funding: &'a Funding,
    plan: &'a Plan,
    periods: Periods,
    outbox: &'a Outbox,
    now: Timestamp,
}

impl Money {
    /// Does what is due for each escrow; when something is due next.
    pub(super) async fn settle_all(&self, outbox: &Outbox) -> Result<Option<Timestamp>, MoneyError> {
        let now = self.inner.clock.now();
        let mut next: Option<Timestamp> = None;
        for funding in self.inner.store.funds().list(None).await? {
            let Some(plan) = decode(&funding.escrow.plan) else { continue };
            let periods = Periods::of(&plan, &funding.terms);
            let (EscrowState::Seen, Some(periods)) = (funding.escrow.state, periods) else { continue };
            let case = Case { funding: &funding, plan: &plan, periods, outbox, now };
            if case.funding.escrow.role == Role::Auditor {
                // It only signs; what it signs for, it looks at then.
                if now >= plan.merges() {
                    self.over(&case).await?;
                }
                continue;
            }
            let said = match self.settle_one(&case).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::debug!(escrow = %plan.escrow, %error, "an escrow was not settled");
                    Some(sentence(&error))
                }
            };
            if said != funding.problem {
                self.inner.store.funds().tell(plan.escrow.0, said.as_deref()).await?;
                let _ = self.inner.events.send(Event::StatusChanged);
            }
            let due = due(&plan, u64::from(funding.terms.epoch_seconds), now);
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        self.inner.store.funds().forget_over().await?;
        Ok(next)
    }

    async fn settle_one(&self, case: &Case<'_>) -> Result<(), MoneyError> {
        let Case { plan, outbox, .. } = *case;
        let standing = match look(outbox.horizon(), outbox.network(), plan).await? {
            Ok(standing) => standing,
            Err(Fault::Missing) if case.now >= plan.merges() => return self.over(case).await,
            Err(fault) => {
                lock(&self.inner.broken).insert(plan.escrow);
                return Err(MoneyError::Broken(fault));
            }
        };
        lock(&self.inner.broken).remove(&plan.escrow);
        match case.funding.escrow.role {
            Role::Auditor => Ok(()),
            Role::Farmer => self.settle_as_farmer(case, &standing).await,
            Role::Owner => self.settle_as_owner(case, &standing).await,
        }
    }

    /// The escrow is gone, as it should be.
    async fn over(&self, case: &Case<'_>) -> Result<(), MoneyError> {
        let mut row = case.funding.escrow.clone();
        row.state = EscrowState::Over;
        lock(&self.inner.owed).remove(&case.plan.escrow);
        Ok(case.outbox.rows().keep_escrow(&row).await?)
    }

    async fn settle_as_farmer(&self, case: &Case<'_>, standing: &Standing) -> Result<(), MoneyError> {
        let Some(due) = self.due(case, standing).await? else { return Ok(()) };
        let wallet = Wallet::new(self.payout_key()?, case.outbox.clone());
        let fee = wallet.step_fee().await?.0.saturating_mul(due.claims + PAYS_AND_RETURNS);
        let urgent = case.now >= Timestamp(due.recovers.0.saturating_sub(case.plan.grace_seconds / 2));
        let worth = due.pays.0 >= fee.saturating_mul(FEES_PER_PAYMENT) || (urgent && due.pays.0 > fee);
        if !worth || (due.may_change && !urgent) {
            return Ok(());
        }
        self.propose(case, &wallet, standing, &due).await
    }

    async fn settle_as_owner(&self, case: &Case<'_>, standing: &Standing) -> Result<(), MoneyError> {
        let wallet = self.wallet().await?;
        if standing.open.is_empty() && case.now >= case.plan.merges() {
            return self.merge(case).await;
        }
        if let Some(fate) = wallet.recover(case.plan, &self.limits(), case.now).await? {
            return done(fate);
        }
        let Some(due) = self.due(case, standing).await? else { return Ok(()) };
        let late = Timestamp(due.recovers.0.saturating_sub(case.plan.grace_seconds / 4));
        if case.now < late { Ok(()) } else { self.propose(case, &wallet, standing, &due).await }
    }

    /// What is due for the periods that are over; none if there are none open, or nothing was ever kept. What is owed so far is kept to be shown.
    async fn due(&self, case: &Case<'_>, standing: &Standing) -> Result<Option<Due>, MoneyError> {
        let Case { funding, plan, periods, outbox, now } = *case;
        let auditor = funding.terms.auditor.ok_or(MoneyError::NoAuditor)?;
        let spans = self.spans(funding.contract, &funding.terms, funding.terms.farmer, None).await?;
        if spans.is_empty() {
            return Ok(None);
        }
        let verdicts = self.ask_verdicts(auditor, funding.contract).await?;
        let account = Account { terms: &funding.terms, spans: &spans, verdicts: &verdicts };
        let paid = self.paid(outbox, plan).await?;
        let so_far = account.owed_so_far(periods)?.0.saturating_sub(paid.0);
        lock(&self.inner.owed).insert(plan.escrow, so_far);
        let Some(through) = (0..plan.periods()).rfind(|period| plan.end(*period) <= now) else {
            return Ok(None);
        };
        let open: Vec<u32> = standing.open.range(..=through).copied().collect();
        let Some(oldest) = open.first() else { return Ok(None) };
        let owed = account.owed(periods, through)?;
        Ok(Some(Due {
            through,
            owed,
            paid,
            pays: Amount(owed.0.saturating_sub(paid.0)),
            claims: open.len() as u64,
            recovers: plan.recovers(*oldest),
            may_change: account.may_change(periods, through, now),
            newest: spans.last().map_or(0, |span| span.number),
        }))
    }

    async fn propose(
        &self,
        case: &Case<'_>,
        wallet: &Wallet,
        standing: &Standing,
        due: &Due,
    ) -> Result<(), MoneyError> {
        let Case { funding, plan, outbox, now, .. } = *case;
        let auditor = funding.terms.auditor.ok_or(MoneyError::NoAuditor)?;
        let settlement = settle(plan, &standing.open, due.through, due.owed, due.paid, now)?;
        let handed_in = HandedIn {
            by: wallet.address(),
            sequence: outbox.next_sequence(wallet.address()).await?,
            step_fee: wallet.step_fee().await?,
            until: now.plus_seconds(HANDED_IN_SECONDS),
        };
        let unsigned: Signed = settlement.draft(plan, &handed_in).unsigned();
        let signed = self.ask_signature(auditor, funding.contract, due.newest, &unsigned).await?;
        let fate = wallet.hand_in_settlement(plan, due.through, signed, &self.limits(), now).await?;
        let _ = self.inner.events.send(Event::StatusChanged);
        done(fate)
    }

    /// Hands in the merge that was made with the setup. It needs no row: it can only ever give E's reserve back to W, once.
    async fn merge(&self, case: &Case<'_>) -> Result<(), MoneyError> {
        let horizon = case.outbox.horizon();
        if horizon.newest_ledger().await?.number <= case.plan.merge_ledger {
            return Ok(());
        }
        let merge = case.plan.merge();
        let hash = merge.hash(case.outbox.network());
        horizon.submit(&merge.unsigned(), &hash).await?;
        match horizon.account(case.plan.escrow).await? {
            None => self.over(case).await,
            Some(_) => Ok(()),
        }
    }
}

/// What is due for the periods of an escrow that are over.
struct Due {
    through: u32,
    owed: Amount,
    paid: Amount,
    pays: Amount,
    claims: u64,
    /// When the oldest of them comes back to W.
    recovers: Timestamp,
    /// Whether verdicts may still change what is owed.
    may_change: bool,
    newest: u64,
}

fn done(fate: Fate) -> Result<(), MoneyError> {
    match fate {
        Fate::Applied { .. } | Fate::Open => Ok(()),
        Fate::Failed { reason, .. } | Fate::Void { reason } => Err(MoneyError::NotSettled(reason)),
    }
}

/// When an escrow is to be looked at next: soon while something of it is over, else at the end of its period.
fn due(plan: &Plan, epoch_seconds: u64, now: Timestamp) -> Timestamp {
    let soon = now.plus_seconds((epoch_seconds / 4).clamp(1, 3600));
    let end = (0..plan.periods()).map(|period| plan.end(period)).find(|end| *end > now);
    match end {
        Some(end) if plan.end(0) > now => end.min(now.plus_seconds(epoch_seconds.max(1))),
        Some(_) | None => soon,
    }
}
