//! The escrows that this node has a part in, as the ledger shows them now.

use hayloft_core::{Amount, Timestamp};
use hayloft_payments::{
    Outbox,
    escrow::{Plan, look},
    wallet::{EscrowState, Role, decode},
};

use super::{Money, MoneyError, last_end, paid_until};
use crate::{
    errors::sentence,
    farmer::money::is_priced,
    model::{Escrow, EscrowRole, EscrowStage, EscrowWait},
    owner::lock,
};

impl Money {
    pub(super) async fn escrows(&self, outbox: &Outbox) -> Result<Vec<Escrow>, MoneyError> {
        let funded = self.inner.store.funds().list(None).await?;
        let mut shown = Vec::new();
        for row in outbox.rows().escrows().await? {
            let Some(plan) = decode(&row.plan) else { continue };
            let mut escrow = self.escrow(outbox, &plan, row.role, row.state).await?;
            if let Some(funding) = funded.iter().find(|funding| funding.escrow.account == row.account) {
                escrow.contract = Some(funding.contract.to_string());
                escrow.with = Some(match row.role {
                    Role::Owner => funding.terms.farmer.to_string(),
                    Role::Farmer | Role::Auditor => funding.terms.owner.to_string(),
                });
                escrow.problem = escrow.problem.or_else(|| funding.problem.clone());
            }
            shown.push(escrow);
        }
        Ok(shown)
    }

    /// What an escrow has paid its farmer so far.
    pub(super) async fn paid(&self, outbox: &Outbox, plan: &Plan) -> Result<Amount, MoneyError> {
        let mut payouts = self.inner.payouts.lock().await;
        Ok(payouts.entry(plan.escrow).or_default().catch_up(outbox.horizon(), plan).await?)
    }

    /// Until when everything that this home has stored for pay is paid for; none if nothing is.
    pub(super) async fn safe_until(&self) -> Result<Option<Timestamp>, MoneyError> {
        let now = self.inner.clock.now();
        let mut safe: Option<Timestamp> = None;
        let stored = self.inner.store.owner().contracts(None).await;
        for contract in stored.map_err(|error| MoneyError::Books(error.to_string()))? {
            let keeps = contract
                .revision
                .as_ref()
                .is_some_and(|signed| signed.revision.bytes > 0 && signed.revision.end > now);
            if !keeps || !is_priced(&contract.terms.terms) {
                continue;
            }
            let (plans, terms) = (self.plans(contract.id).await?, &contract.terms.terms);
            let paid = paid_until(&plans, terms.into(), 0, now.max(terms.start)).unwrap_or(now);
            safe = Some(safe.map_or(paid, |safe| safe.min(paid)));
        }
        Ok(safe)
    }

    async fn escrow(
        &self,
        outbox: &Outbox,
        plan: &Plan,
        role: Role,
        state: EscrowState,
    ) -> Result<Escrow, MoneyError> {
        let seen = lock(&self.inner.seen).get(&plan.escrow).copied().unwrap_or_default();
        let paid = self.paid(outbox, plan).await?.0;
        let mut shown = Escrow {
            account: plan.escrow.to_string(),
            contract: None,
            with: None,
            role: shown_role(role),
            stage: shown_stage(state),
            locked: 0,
            reserve: 0,
            owed: seen.owed,
            at_risk: seen.at_risk,
            paid,
            ends: last_end(plan).0,
            next_settlement: next_end(plan, self.inner.clock.now()).map(|end| end.0),
            returns: plan.merges().0,
            waits_for: if state == EscrowState::Expected { Some(EscrowWait::Setup) } else { seen.waits_for },
            reckoning: seen.reckoning,
            problem: None,
        };
        if state == EscrowState::Over {
            let (next_settlement, waits_for, reckoning) = (None, None, None);
            return Ok(Escrow { next_settlement, waits_for, reckoning, owed: 0, at_risk: 0, ..shown });
        }
        match look(outbox.horizon(), outbox.network(), plan).await? {
            Ok(standing) => {
                let of = |period: &u32| plan.amounts.get(*period as usize).map_or(0, |amount| amount.0);
                shown.locked = standing.open.iter().map(of).fold(0, u64::saturating_add);
                shown.reserve = plan.reserve().0;
            }
            Err(fault) => shown.problem = Some(sentence(&fault)),
        }
        Ok(shown)
    }
}

/// The end of the period that runs.
fn next_end(plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    (0..plan.periods()).map(|period| plan.end(period)).find(|end| *end > now)
}

fn shown_role(role: Role) -> EscrowRole {
    match role {
        Role::Owner => EscrowRole::Owner,
        Role::Farmer => EscrowRole::Farmer,
        Role::Auditor => EscrowRole::Auditor,
    }
}

fn shown_stage(state: EscrowState) -> EscrowStage {
    match state {
        EscrowState::Expected => EscrowStage::Expected,
        EscrowState::Seen => EscrowStage::Standing,
        EscrowState::Over => EscrowStage::Over,
    }
}
