//! Paying for contracts: an escrow before a contract with a price is agreed on, and nothing kept beyond what it pays for.
//!
//! Contracts without a price come through here untouched.

use std::collections::HashSet;

use hayloft_core::{Amount, ContractId, DeviceId, Timestamp, contract::Terms, record::FarmerRecord};

use hayloft_net::NetError;

use super::{
    contracts::{ContractError, Contracts, Wish},
    farmers::Offer,
    nobody::Nobody,
};
use crate::{
    farmer::money::is_priced,
    money::{GRACE_EPOCHS, MoneyError, Others, PERIOD_EPOCHS, Prices, last_end, paid_until},
};

/// Shards that may be on their way under a contract beside the one that is asked for.
const UNDER_WAY: u64 = 3;

/// What a put would lock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Locks {
    pub(super) locked: Amount,
    pub(super) reserves: Amount,
    /// Of both together, what counts against limits of spending.
    pub(super) spends: Amount,
    /// Until when farmers are paid for; none if nothing is.
    pub(super) paid_until: Option<Timestamp>,
    /// When all that was not earned is back.
    pub(super) returns: Option<Timestamp>,
}

impl Contracts {
    /// What storing so many bytes with each of these farmers would lock: an escrow for each, unless a contract that is there,
    /// or an escrow left over from an upload that failed, pays for it.
    pub(super) async fn locks(&self, chosen: &[&FarmerRecord], each: u64) -> Result<Locks, ContractError> {
        let (now, epoch) = (self.clock.now(), self.epoch_seconds());
        let unused = self.unused_escrows().await?;
        let wanted = each.saturating_mul(1 + UNDER_WAY);
        let mut unpaid: Vec<&FarmerRecord> = Vec::new();
        for offer in chosen.iter().filter(|offer| Self::costs(offer)) {
            if self.stored(offer.device, each).await?.is_none()
                && !self.money.has_unused(&self.terms(offer), wanted, &unused).await?
            {
                unpaid.push(offer);
            }
        }
        let seconds = self.money.prefunded_seconds(epoch);
        let mut locks = Locks { paid_until: Some(now.plus_seconds(seconds)), ..Locks::default() };
        if unpaid.is_empty() {
            return Ok(locks);
        }
        let (reserves, own_reserve) = self.money.reserves().await?;
        for offer in unpaid {
            let (prices, period) = (Prices::from(offer), PERIOD_EPOCHS * u64::from(epoch));
            let bytes = prices.bytes_ahead(self.money.periods(), period, wanted);
            let amount = prices.period(bytes, period).ok_or(MoneyError::TooDear)?;
            locks.reserves.0 = locks.reserves.0.saturating_add(reserves.0);
            let paid = amount.0.saturating_mul(self.money.periods());
            locks.locked.0 = locks.locked.0.saturating_add(paid);
            locks.spends.0 = locks.spends.0.saturating_add(paid).saturating_add(own_reserve.0);
        }
        locks.locked.0 = locks.locked.0.saturating_add(locks.reserves.0);
        locks.returns = Some(now.plus_seconds(seconds + GRACE_EPOCHS * u64::from(epoch)));
        Ok(locks)
    }

    /// Whether an offer costs something.
    fn costs(offer: &FarmerRecord) -> bool {
        offer.storage_price.0 > 0 || offer.egress_price.0 > 0
    }

    /// Whether this owner could pay for an offer at all, and would. Nobody pays what is no amount.
    pub(super) fn can_pay(&self, offer: &FarmerRecord) -> bool {
        let ceiling = self.money.most().price;
        let period_seconds = PERIOD_EPOCHS * u64::from(self.epoch_seconds());
        let is_amount = || Prices::from(offer).are_payable(self.money.periods(), period_seconds);
        !Self::costs(offer)
            || self.money.has_ledger()
                && ceiling.is_none_or(|most| offer.storage_price <= most)
                && is_amount()
    }

    /// Why this owner can pay none of so many.
    pub(super) fn why_not_paid(&self, farmers: usize) -> Nobody {
        if self.money.has_ledger() { Nobody::IsCheap { farmers } } else { Nobody::IsFree { farmers } }
    }

    /// How long what a new contract is paid for with lasts.
    pub(super) fn funded_seconds(&self) -> u64 {
        self.money.prefunded_seconds(self.epoch_seconds())
    }

    /// Returns once what pays for contracts is gone.
    pub(super) async fn unpaid(&self) {
        self.money.anew().await;
    }

    /// Makes sure of contracts with all farmers of a plan, one after the other, before anything is sent: each escrow waits
    /// for a ledger. Farmers with whom none comes about are added to `failed`. Nothing is locked if all of it cannot be.
    ///
    /// # Errors
    /// [`ContractError`] if no other farmer would help.
    pub(super) async fn prepare(
        &self,
        offers: &[Offer],
        farmers: &[DeviceId],
        bytes: u64,
        failed: &mut HashSet<DeviceId>,
    ) -> Result<(), ContractError> {
        let chosen = offers.iter().map(|offer| &offer.record);
        let chosen: Vec<&FarmerRecord> =
            chosen.filter(|offer| farmers.contains(&offer.device) && Self::costs(offer)).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        // All or none: what is locked for half of the farmers stores nothing, and comes back only in months. One segment after
        // the other: two would count on the same lumens.
        let paying = self.paying.lock().await;
        let locks = self.locks(&chosen, bytes).await?;
        let _paying = if locks.locked > Amount(0) {
            self.money.can_lock(locks.locked, locks.spends).await?;
            Some(paying)
        } else {
            None
        };
        for offer in chosen {
            match self.with(offer, bytes).await {
                Ok(_) => {}
                Err(error) if error.is_ours() => return Err(error),
                Err(ContractError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::info!(farmer = %offer.device, %error, "no contract came about");
                    failed.insert(offer.device);
                }
            }
        }
        Ok(())
    }

    /// Whether a contract's escrows pay for so many bytes more.
    pub(super) async fn is_paid_for(
        &self,
        terms: &Terms,
        kept: u64,
        bytes: u64,
    ) -> Result<bool, ContractError> {
        if !is_priced(terms) {
            return Ok(true);
        }
        let wanted = kept.saturating_add(bytes.saturating_mul(UNDER_WAY));
        let plans = self.money.plans(terms.id()).await?;
        let from = self.clock.now().max(terms.start);
        let until = |bytes| paid_until(&plans, terms.into(), bytes, from);
        Ok(until(wanted).is_some() && until(wanted) == until(0))
    }

    /// The terms with an escrow that stands on the ledger and that their farmer has taken note of, if they have a price.
    pub(super) async fn funded(&self, terms: Terms, bytes: u64) -> Result<Terms, ContractError> {
        if !is_priced(&terms) {
            return Ok(terms);
        }
        let (farmer, auditor) = (terms.farmer, terms.auditor.ok_or(MoneyError::NoAuditor)?);
        let others = Others {
            farmer: self.money.ask_account(farmer).await?,
            auditor: self.money.ask_account(auditor).await.map_err(ContractError::Auditor)?,
        };
        let unused = self.unused_escrows().await?;
        let wanted = bytes.saturating_mul(1 + UNDER_WAY);
        let prepared = self.money.prepare(terms, others, wanted, &unused).await?;
        let assigned = self.money.assign(prepared.terms.id(), &prepared.plan)?;
        self.money.tell_funding(farmer, &prepared.terms, &prepared.plan, assigned).await?;
        crash_point!(FarmerTold);
        Ok(prepared.terms)
    }

    /// Tells a contract's auditor which escrows pay for it, before it follows what is kept under them.
    pub(super) async fn tell_auditor(&self, auditor: DeviceId, terms: &Terms) -> Result<(), NetError> {
        if !is_priced(terms) {
            return Ok(());
        }
        let unknown = |error: MoneyError| {
            tracing::warn!(%error, "what pays for a contract is not known");
            NetError::Cancelled
        };
        for plan in self.money.plans(terms.id()).await.map_err(unknown)? {
            let assigned = self.money.assign(terms.id(), &plan).map_err(unknown)?;
            self.money.tell_funding(auditor, terms, &plan, assigned).await?;
        }
        Ok(())
    }

    /// Tells a contract's farmer which further escrows pay for it; the first one it took note of before it agreed.
    pub(super) async fn tell_farmer(&self, terms: &Terms) -> Result<(), ContractError> {
        if !is_priced(terms) {
            return Ok(());
        }
        let plans = self.money.plans(terms.id()).await?;
        for plan in plans.iter().filter(|plan| terms.escrow != Some(plan.escrow.0)) {
            let assigned = self.money.assign(terms.id(), plan)?;
            self.money.tell_funding(terms.farmer, terms, plan, assigned).await?;
        }
        Ok(())
    }

    /// A further escrow that was raised just before this node died may be known to nobody else yet: it is told once more.
    pub(super) async fn tell_further_again(&self) -> Result<(), ContractError> {
        for contract in self.money.further_paid().await? {
            self.store.tell_again(contract).await?;
        }
        Ok(())
    }

    /// Accounts of escrows whose contract was never agreed on.
    async fn unused_escrows(&self) -> Result<Vec<[u8; 32]>, ContractError> {
        let agreed: HashSet<[u8; 32]> =
            self.store.contracts(None).await?.iter().filter_map(|stored| stored.terms.terms.escrow).collect();
        let known = self.money.own_escrows().await?;
        Ok(known.into_iter().filter(|account| !agreed.contains(account)).collect())
    }

    /// Sets up a further escrow for a contract that is to be kept until `until`, when what it has is a third or less of what
    /// one pays for, or its ledger has forgotten it; its farmer and auditor are told.
    ///
    /// # Errors
    /// [`ContractError`].
    pub(super) async fn fund_further(
        &self,
        contract: ContractId,
        until: Timestamp,
    ) -> Result<(), ContractError> {
        if !self.money.has_ledger() {
            return Ok(());
        }
        let Some(stored) = self.store.contract(contract).await? else { return Ok(()) };
        let terms = &stored.terms.terms;
        let (true, Some(revision)) = (is_priced(terms), stored.revision) else { return Ok(()) };
        let now = self.clock.now();
        let end = self.money.plans(contract).await?.iter().map(last_end).max();
        let whole = self.money.prefunded_seconds(terms.epoch_seconds);
        if revision.revision.bytes == 0
            || end.is_some_and(|end| until <= end || end.seconds_since(now) > whole / 3)
        {
            return Ok(());
        }
        let period = PERIOD_EPOCHS * u64::from(terms.epoch_seconds);
        let over = now.seconds_since(terms.start).div_ceil(period.max(1));
        let next = terms.start.plus_seconds(over.saturating_mul(period));
        let start = end.filter(|end| *end > now).unwrap_or(next);
        let auditor = terms.auditor.ok_or(MoneyError::NoAuditor)?;
        let others = Others {
            farmer: self.money.ask_account(terms.farmer).await?,
            auditor: self.money.ask_account(auditor).await.map_err(ContractError::Auditor)?,
        };
        let wanted = revision.revision.capacity_bytes;
        let bytes = Prices::from(terms).bytes_ahead(self.money.periods(), period, wanted);
        let prepared = self.money.prepare_further(terms, others, bytes, start).await?;
        crash_point!(FurtherRaised);
        // Who is away, or has not noticed yet that the ledger began anew, is told until it takes note.
        self.store.tell_again(contract).await?;
        self.revised.notify_one();
        let assigned = self.money.assign(contract, &prepared.plan)?;
        Ok(self.money.tell_funding(terms.farmer, terms, &prepared.plan, assigned).await?)
    }

    /// A contract with a price ends no later than what its escrows pay for without a gap.
    pub(super) async fn within_what_is_paid(
        &self,
        terms: &Terms,
        wish: &Wish,
    ) -> Result<Wish, ContractError> {
        let Some(until) = wish.until.filter(|_| is_priced(terms)) else { return Ok(wish.clone()) };
        let plans = self.money.plans(terms.id()).await?;
        let end = paid_until(&plans, terms.into(), 0, self.clock.now().max(terms.start));
        Ok(Wish { until: end.map(|end| until.min(end)), ..wish.clone() })
    }
}
