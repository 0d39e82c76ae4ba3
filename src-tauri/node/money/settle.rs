//! Settling, turn by turn: what is over is paid, what is left comes back, and what an escrow began with returns at its end.
//!
//! The farmer proposes, as soon as a period is over and judged, or half of its grace has gone, and what is due outweighs its fee
//! a hundredfold, or would be lost otherwise. The owner proposes when the farmer has not, in the last quarter of the oldest open
//! period's grace; after that, W claims by itself. Each proposal is computed from one's own revisions and the auditor's
//! verdicts, and the auditor signs it only if its books say the same to the stroop.
//!
//! An auditor that has vanished costs no farmer what it had judged: what it was heard to say is kept. The second signature is
//! then the farmer's, for an owner's device answers no questions: its owner proposes, as this owner heard the auditor, and only
//! for periods that are in the last quarter of their grace. The farmer signs what pays no stroop less than it heard itself; once
//! all of these periods are in their last eighth, whatever pays something: the owner may have heard less, and all comes back
//! to W otherwise. What nobody heard before the auditor vanished nobody owes.
//!
//! What W claims by itself needs neither E nor anybody else: it comes first, whatever has become of E, and for all escrows
//! before anyone is asked. An auditor that lets one escrow wait is not asked about others in the same turn; it counts as gone
//! only if it gave no verdicts. Until no balance of a period is left, an escrow is not over. Getting one's own money back, or
//! one's pay, costs only bounded fees and waits for no spending limit.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use hayloft_core::{
    Amount, DeviceId, Timestamp,
    contract::MIN_GRACE_SECONDS,
    settlement::{is_worth_paying, least_payment},
    spending::Limits,
};
use hayloft_net::NetError;
use hayloft_payments::{
    Outbox, Wallet,
    envelope::Signed,
    escrow::{Fault, HandedIn, Plan, Standing, look, settle},
    wallet::{EscrowState, Fate, Role, decode},
};
use hayloft_store::funding::Funding;

use super::{
    Money, MoneyError,
    account::{Account, Periods, Tally},
};
use crate::{
    errors::sentence,
    model::{EscrowWait, Event, Reckoning},
    owner::lock,
};

/// A settlement's latest time is so far ahead.
const HANDED_IN_SECONDS: u64 = 120;
/// Steps of a settlement beside its claims.
const PAYS_AND_RETURNS: u64 = 2;

/// So much of a turn one escrow gets: what a stranger lets wait may be broken off anywhere.
const PATIENCE: Duration = Duration::from_secs(60);
/// For what brings money in.
const UNLIMITED: Limits = Limits { per_day: None, in_all: None };

/// An escrow as one turn sees it.
struct Case<'a> {
    funding: &'a Funding,
    plan: &'a Plan,
    periods: Periods,
    outbox: &'a Outbox,
    now: Timestamp,
    /// Auditors that are not asked again in this turn.
    away: &'a Mutex<HashMap<DeviceId, Away>>,
}

/// Why an auditor is not asked again in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    /// It gave no verdicts.
    Silent,
    /// An escrow of its took too long, for whatever reason.
    Slow,
}

impl Money {
    /// Does what is due for each escrow; when something is due next.
    pub(super) async fn settle_all(&self, outbox: &Outbox) -> Result<Option<Timestamp>, MoneyError> {
        let now = self.inner.clock.now();
        let mut next: Option<Timestamp> = None;
        let known = self.inner.store.funds().list(None).await?;
        let live = known.iter().filter(|funding| funding.escrow.state == EscrowState::Seen);
        let live: Vec<(&Funding, Plan, Periods)> = live
            .filter_map(|funding| {
                let plan = decode(&funding.escrow.plan)?;
                let periods = Periods::of(&plan, &funding.terms)?;
                Some((funding, plan, periods))
            })
            .collect();
        let mut recovered = Vec::with_capacity(live.len());
        for (funding, plan, _) in &live {
            recovered.push(self.recover(funding, plan, outbox, now).await);
        }
        let away = Mutex::default();
        for ((funding, plan, periods), recovered) in live.iter().zip(recovered) {
            let case = Case { funding, plan, periods: *periods, outbox, now, away: &away };
            if case.funding.escrow.role == Role::Auditor {
                // It only signs; what it signs for, it looks at then.
                if now >= plan.merges() {
                    self.over(&case).await?;
                } else {
                    next = Some(next.map_or(plan.merges(), |next| next.min(plan.merges())));
                }
                continue;
            }
            let settled = match recovered {
                Err(error) => Err(error),
                Ok(Some(fate)) => done(fate),
                Ok(None) => {
                    tokio::time::timeout(PATIENCE, self.settle_one(&case)).await.unwrap_or_else(|_| {
                        if let Some(auditor) = funding.terms.auditor {
                            lock(&away).entry(auditor).or_insert(Away::Slow);
                        }
                        Err(NetError::Silent.into())
                    })
                }
            };
            let said = match settled {
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
            let due = due(plan, u64::from(funding.terms.epoch_seconds), now);
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        let over = Timestamp(now.0.saturating_sub(MIN_GRACE_SECONDS));
        self.inner.store.funds().forget_over(over).await?;
        Ok(next)
    }

    /// Claims for W what of an escrow it may claim alone; none if that is nothing.
    async fn recover(
        &self,
        funding: &Funding,
        plan: &Plan,
        outbox: &Outbox,
        now: Timestamp,
    ) -> Result<Option<Fate>, MoneyError> {
        if funding.escrow.role != Role::Owner || now < plan.recovers(0) {
            return Ok(None);
        }
        let wallet = Wallet::new(self.wallet_key()?, outbox.clone());
        Ok(wallet.recover(plan, &UNLIMITED, now).await?)
    }

    /// What W may claim alone was claimed.
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
        lock(&self.inner.seen).remove(&case.plan.escrow);
        Ok(case.outbox.rows().keep_escrow(&row).await?)
    }

    fn waits_for(&self, plan: &Plan, what: EscrowWait) {
        lock(&self.inner.seen).entry(plan.escrow).or_default().waits_for = Some(what);
    }

    async fn settle_as_farmer(&self, case: &Case<'_>, standing: &Standing) -> Result<(), MoneyError> {
        let wallet = Wallet::new(self.payout_key()?, case.outbox.clone());
        let Some(due) = self.due(case, &wallet, standing).await? else { return Ok(()) };
        let urgent = case.now >= Timestamp(due.recovers.0.saturating_sub(case.plan.grace_seconds / 2));
        if !is_worth_paying(due.pays, due.fee, urgent) {
            self.waits_for(case.plan, EscrowWait::Worth);
            return Ok(());
        }
        self.propose(case, &wallet, standing, &due).await
    }

    async fn settle_as_owner(&self, case: &Case<'_>, standing: &Standing) -> Result<(), MoneyError> {
        let wallet = self.wallet().await?;
        if standing.open.is_empty() && case.now >= case.plan.merges() {
            return self.merge(case).await;
        }
        let Some(due) = self.due(case, &wallet, standing).await? else { return Ok(()) };
        if lost_soon(case.plan, standing, case.now).is_none() {
            self.waits_for(case.plan, EscrowWait::Farmer);
            return Ok(());
        }
        if due.cosigner == case.funding.terms.farmer && due.pays == Amount(0) {
            // A farmer gives no period away, and W gets all of it back by itself.
            return Ok(());
        }
        self.propose(case, &wallet, standing, &due).await
    }

    /// What is due for the periods that are over; none if none of them is open, or nothing was ever kept. What was found is
    /// kept to be shown.
    async fn due(
        &self,
        case: &Case<'_>,
        wallet: &Wallet,
        standing: &Standing,
    ) -> Result<Option<Due>, MoneyError> {
        let Case { funding, plan, periods, outbox, now, .. } = *case;
        let idle = if standing.open.is_empty() { EscrowWait::Reserve } else { EscrowWait::PeriodEnd };
        let mut seen = Seen { waits_for: Some(idle), ..Seen::default() };
        let auditor = funding.terms.auditor.ok_or(MoneyError::NoAuditor)?;
        let spans = self.spans(funding.contract, &funding.terms, funding.terms.farmer, None).await?;
        let Some(newest) = spans.last().copied() else {
            lock(&self.inner.seen).insert(plan.escrow, seen);
            return Ok(None);
        };
        let before = lock(case.away).get(&auditor).copied();
        let said = if before.is_some() {
            Err(NetError::Silent.into())
        } else {
            self.hear_verdicts(auditor, &funding.terms).await
        };
        // An owner whose auditor is gone settles only what is about to be lost.
        let lost_soon = lost_soon(plan, standing, now);
        let (cosigner, verdicts) = match said {
            Ok(verdicts) => (auditor, verdicts),
            Err(MoneyError::Net(error)) if before != Some(Away::Slow) => {
                lock(case.away).insert(auditor, Away::Silent);
                if funding.escrow.role != Role::Owner || lost_soon.is_none() {
                    return Err(error.into());
                }
                tracing::debug!(%error, "the auditor is gone: what it said before counts");
                (funding.terms.farmer, self.inner.store.funds().heard(funding.contract).await?)
            }
            Err(error) => return Err(error),
        };
        if cosigner == auditor {
            self.learn_vouchers(&funding.terms, auditor).await?;
        }
        if funding.escrow.role == Role::Owner {
            let shown = self.learn_vouchers(&funding.terms, funding.terms.farmer);
            if !matches!(tokio::time::timeout(PATIENCE / 4, shown).await, Ok(Ok(()))) {
                tracing::debug!("the farmer showed no vouchers; those that are known here count");
            }
        }
        let egress = self.egress(&funding.terms).await?;
        let account = Account { terms: &funding.terms, spans: &spans, verdicts: &verdicts, egress: &egress };
        let paid = self.paid(outbox, plan).await?;
        let so_far = account.owed_so_far(periods)?;
        let over = (0..plan.periods()).rfind(|period| plan.end(*period) <= now);
        let ripe = account.settles(plan, periods, now);
        let ripe = if cosigner == auditor { ripe } else { ripe.min(lost_soon) };
        let is_final = |period: &u32| plan.end(*period) <= now && !account.may_change(periods, *period, now);
        let sure = (0..plan.periods()).rfind(is_final).map(|period| account.owed(periods, period));
        let sure = sure.transpose()?.unwrap_or_default().max(paid);
        seen.owed = so_far.0.saturating_sub(paid.0);
        seen.at_risk = so_far.0.saturating_sub(sure.0);
        let Some(oldest) = standing.open.first().copied() else {
            lock(&self.inner.seen).insert(plan.escrow, seen);
            return Ok(None);
        };
        // What is shown before anything can be settled is what is over, or the period that runs.
        let ripe = ripe.filter(|ripe| *ripe >= oldest);
        let through = ripe.or(over).unwrap_or(0).max(oldest);
        let owed = account.owed(periods, through)?;
        let claims = standing.open.range(..=through).count() as u64;
        let due = Due {
            through,
            owed,
            paid,
            pays: Amount(owed.0.saturating_sub(paid.0)),
            fee: Amount(wallet.step_fee().await?.0.saturating_mul(claims + PAYS_AND_RETURNS)),
            recovers: plan.recovers(oldest),
            newest: newest.number,
            cosigner,
        };
        let tally = account.tally(periods, oldest, through);
        seen.reckoning = Some(reckoning(case, oldest, &due, &tally, newest.bytes));
        lock(&self.inner.seen).insert(plan.escrow, seen);
        if ripe.is_none() && over.is_some_and(|over| over >= oldest) {
            self.waits_for(plan, EscrowWait::Audits);
        }
        Ok(ripe.map(|_| due))
    }

    async fn propose(
        &self,
        case: &Case<'_>,
        wallet: &Wallet,
        standing: &Standing,
        due: &Due,
    ) -> Result<(), MoneyError> {
        let Case { funding, plan, outbox, now, .. } = *case;
        self.waits_for(plan, EscrowWait::Settlement);
        let settlement = settle(plan, &standing.open, due.through, due.owed, due.paid, now)?;
        let handed_in = HandedIn {
            by: wallet.address(),
            sequence: outbox.next_sequence(wallet.address()).await?,
            step_fee: wallet.step_fee().await?,
            until: now.plus_seconds(HANDED_IN_SECONDS),
        };
        let unsigned: Signed = settlement.draft(plan, &handed_in).unsigned();
        let vouchers = self.newest_vouchers(funding.contract).await?;
        let signed =
            self.ask_signature(due.cosigner, funding.contract, due.newest, &unsigned, vouchers).await?;
        crash_point!(SettlementCosigned);
        let fate = wallet.hand_in_settlement(plan, due.through, signed, &UNLIMITED, now).await?;
        crash_point!(SettlementHandedIn);
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
        crash_point!(MergeSubmitted);
        match horizon.account(case.plan.escrow).await? {
            None => self.over(case).await,
            Some(_) => Ok(()),
        }
    }
}

/// What a turn found of an escrow, to be shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Owed by what was judged so far, and not paid.
    pub(super) owed: u64,
    /// Of that, what verdicts to come can take away.
    pub(super) at_risk: u64,
    pub(super) waits_for: Option<EscrowWait>,
    pub(super) reckoning: Option<Reckoning>,
}

fn reckoning(case: &Case<'_>, from: u32, due: &Due, tally: &Tally, bytes: u64) -> Reckoning {
    let (plan, terms) = (case.plan, &case.funding.terms);
    Reckoning {
        from: plan.end(from).0.saturating_sub(plan.period_seconds),
        until: plan.end(due.through).0,
        price: terms.storage_price.0,
        bytes,
        epoch_seconds: terms.epoch_seconds,
        epochs: tally.epochs,
        passed: tally.passed,
        failed: tally.failed,
        missed: tally.missed,
        undecided: tally.undecided,
        share_ppm: terms.audit_share_ppm,
        owed: due.owed.0,
        paid: due.paid.0,
        least: least_payment(due.fee).0,
    }
}

/// What is due for the periods of an escrow that are over.
struct Due {
    through: u32,
    owed: Amount,
    paid: Amount,
    pays: Amount,
    /// Of the settlement.
    fee: Amount,
    /// When the oldest of them comes back to W.
    recovers: Timestamp,
    newest: u64,
    /// Who is to sign.
    cosigner: DeviceId,
}

/// The part of a grace that is left when the owner proposes.
pub(super) const LATE: u64 = 4;
/// And when a farmer without its auditor takes what it can get.
pub(super) const LAST: u64 = 8;

/// Whether no more than such a part of a period's grace is left: what is not settled in it comes back to W.
pub(super) fn is_left(part: u64, plan: &Plan, period: u32, now: Timestamp) -> bool {
    now.0 >= plan.recovers(period).0.saturating_sub(plan.grace_seconds / part)
}

/// The last open period that is as near to being lost as the oldest one; none while that is not near to it. No other is
/// settled with those: of what is not lost yet more may still be heard.
fn lost_soon(plan: &Plan, standing: &Standing, now: Timestamp) -> Option<u32> {
    let oldest = *standing.open.first()?;
    let part = [LAST, LATE].into_iter().find(|part| is_left(*part, plan, oldest, now))?;
    standing.open.iter().rfind(|period| is_left(part, plan, **period, now)).copied()
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
