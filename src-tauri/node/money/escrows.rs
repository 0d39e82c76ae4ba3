//! The escrows that this node has a part in, as the ledger shows them now.

use hayloft_core::{Amount, Timestamp};
use hayloft_payments::{
    Outbox,
    escrow::{Plan, look},
    wallet::{EscrowState, Role, decode},
};

use super::{Money, MoneyError};
use crate::{
    errors::sentence,
    model::{Escrow, EscrowRole, EscrowStage},
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

    async fn escrow(
        &self,
        outbox: &Outbox,
        plan: &Plan,
        role: Role,
        state: EscrowState,
    ) -> Result<Escrow, MoneyError> {
        let owed = lock(&self.inner.owed).get(&plan.escrow).copied().unwrap_or(0);
        let paid = self.paid(outbox, plan).await?.0;
        let mut shown = Escrow {
            account: plan.escrow.to_string(),
            contract: None,
            role: shown_role(role),
            stage: shown_stage(state),
            locked: 0,
            reserve: 0,
            owed,
            paid,
            ends: plan.end(plan.periods().saturating_sub(1)).0,
            next_settlement: next_end(plan, self.inner.clock.now()).map(|end| end.0),
            problem: None,
        };
        if state == EscrowState::Over {
            return Ok(Escrow { next_settlement: None, owed: 0, ..shown });
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
