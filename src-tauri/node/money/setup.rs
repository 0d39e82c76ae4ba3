//! Setting an escrow up, as the owner: planned for a stated time, kept, handed in, and waited for.
//!
//! ```text
//! what it is for is kept ──► plan is kept ──► outbox row ──► on the ledger ──► farmer is told, agrees
//! ```
//! A crash before the row leaves a plan that is over once its setup can no longer get in; after it, an escrow that the next agreement with that
//! farmer uses, or that comes back to the wallet when its periods have passed.

use hayloft_core::{
    Amount, DeviceId, Timestamp,
    contract::{START_TOLERANCE_SECONDS, Terms},
    record::FarmerRecord,
};
use hayloft_payments::{
    Address, Wallet,
    escrow::{Plan, look, own_reserve, reserves},
    wallet::{EscrowState, Fate, PATIENCE_SECONDS, Role, decode},
};
use hayloft_store::funding::Funding;

use super::{Money, MoneyError, last_end};

/// Epochs of a settlement period.
pub(crate) const PERIOD_EPOCHS: u64 = 3;
/// Settlement periods that are paid for ahead, unless the home says otherwise.
pub(crate) const PERIODS: u32 = 30;
/// Epochs after a period's end in which it can be settled before it comes back to the wallet.
pub(crate) const GRACE_EPOCHS: u64 = 7;
/// A contract is paid for as many bytes as cost no more than this, even if less is stored yet.
const AHEAD: Amount = Amount(100_000_000);
/// And for no more than this many, unless more is stored at once.
const AHEAD_BYTES: u64 = 1 << 30;
/// What an escrow for so much would lock must be an amount that a ledger knows.
const PRICED_BYTES: u64 = 1 << 40;
/// No contract has more.
const MOST_BYTES: u64 = 1 << 60;
/// An escrow that was not used for so long is not used any more: its terms begin too far back for its farmer.
const UNUSED_SECONDS: u64 = START_TOLERANCE_SECONDS / 2;
/// How often is asked what came of a setup.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// The accounts of the two others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    pub(crate) farmer: [u8; 32],
    pub(crate) auditor: [u8; 32],
}

/// An escrow that stands, for a contract to be agreed on or funded further.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// The terms, with the escrow in them.
    pub(crate) terms: Terms,
    /// The plan.
    pub(crate) plan: Plan,
}

/// What a farmer asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prices {
    /// For a TB-month.
    pub(crate) storage: Amount,
    /// For a TB served.
    pub(crate) egress: Amount,
}

impl From<&Terms> for Prices {
    fn from(terms: &Terms) -> Self {
        Self { storage: terms.storage_price, egress: terms.egress_price }
    }
}

impl From<&FarmerRecord> for Prices {
    fn from(record: &FarmerRecord) -> Self {
        Self { storage: record.storage_price, egress: record.egress_price }
    }
}

impl Prices {
    /// What one period must hold, so that so many bytes are kept through it and read once.
    pub(crate) fn period(&self, bytes: u64, period_seconds: u64) -> Option<Amount> {
        let kept = self.storage.for_storage(bytes, period_seconds)?;
        kept.checked_add(self.egress.for_egress(bytes)?).map(|amount| amount.max(Amount(1)))
    }

    /// The bytes that a period which holds this much pays for, kept and read once.
    pub(crate) fn bytes_for(&self, amount: Amount, period_seconds: u64) -> u64 {
        most(MOST_BYTES, |bytes| self.period(bytes, period_seconds).is_some_and(|needed| needed <= amount))
    }

    /// Whether they can be paid at all, whoever asks them.
    pub(crate) fn are_payable(&self, periods: u64, period_seconds: u64) -> bool {
        let period = self.period(PRICED_BYTES, period_seconds);
        let locked = period.and_then(|period| period.0.checked_mul(periods));
        locked.is_some_and(|locked| i64::try_from(locked).is_ok())
    }

    /// How many bytes a new escrow of so many periods pays for, when so many are to be stored.
    pub(crate) fn bytes_ahead(&self, periods: u64, period_seconds: u64, wanted: u64) -> u64 {
        let cost = |bytes| self.period(bytes, period_seconds)?.0.checked_mul(periods);
        most(AHEAD_BYTES, |bytes| cost(bytes).is_some_and(|cost| cost <= AHEAD.0)).max(wanted)
    }
}

/// The most bytes, up to `high`, that fit, where whatever is less than what fits does too.
fn most(high: u64, fits: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, high);
    if fits(high) {
        return high;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

impl Money {
    /// How long one escrow pays.
    pub(crate) fn prefunded_seconds(&self, epoch_seconds: u32) -> u64 {
        u64::from(self.inner.periods) * PERIOD_EPOCHS * u64::from(epoch_seconds)
    }

    /// Settlement periods that one escrow pays for.
    pub(crate) fn periods(&self) -> u64 {
        self.inner.periods.into()
    }

    /// Sets up an escrow for these terms, and waits until the ledger shows it. An escrow for the same farmer that no contract
    /// uses yet is taken instead.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub(crate) async fn prepare(
        &self,
        terms: Terms,
        others: Others,
        bytes: u64,
        unused: &[[u8; 32]],
    ) -> Result<Prepared, MoneyError> {
        let _one_after_the_other = self.inner.setups.lock().await;
        let wallet = self.wallet().await?;
        if let Some(prepared) = self.unused(&wallet, &terms, others, bytes, unused).await? {
            return Ok(prepared);
        }
        let start = terms.start;
        let key = hayloft_core::keys::StellarKey::from_bytes(&rand::random());
        let terms = Terms { escrow: Some(Address::of(&key).0), ..terms };
        let period_seconds = PERIOD_EPOCHS * u64::from(terms.epoch_seconds);
        let bytes = Prices::from(&terms).bytes_ahead(self.periods(), period_seconds, bytes);
        let plan = self.plan(&wallet, Address::of(&key), &terms, others, bytes, start).await?;
        self.raise(&wallet, &plan, &key, &terms).await?;
        Ok(Prepared { terms, plan })
    }

    /// Whether the wallet holds what is to be locked, and may spend what counts of it.
    ///
    /// # Errors
    /// [`MoneyError`] says what is missing, or which limit is in the way.
    pub(crate) async fn can_lock(&self, locked: Amount, spends: Amount) -> Result<(), MoneyError> {
        let wallet = self.wallet().await?;
        Ok(wallet.can_lock(locked, spends, &self.limits(), self.inner.clock.now()).await?)
    }

    /// Sets up a further escrow for a contract that is agreed on: it pays from `start` on.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub(crate) async fn prepare_further(
        &self,
        terms: &Terms,
        others: Others,
        bytes: u64,
        start: Timestamp,
    ) -> Result<Prepared, MoneyError> {
        let _one_after_the_other = self.inner.setups.lock().await;
        let wallet = self.wallet().await?;
        let key = hayloft_core::keys::StellarKey::from_bytes(&rand::random());
        let plan = self.plan(&wallet, Address::of(&key), terms, others, bytes, start).await?;
        self.raise(&wallet, &plan, &key, terms).await?;
        Ok(Prepared { terms: terms.clone(), plan })
    }

    /// What an escrow has the network lock now, beside what it pays, and how much of that counts as spent: what it begins
    /// with.
    ///
    /// # Errors
    /// [`MoneyError`] if there is no ledger, or it does not answer.
    pub(crate) async fn reserves(&self) -> Result<(Amount, Amount), MoneyError> {
        let base = self.outbox().await?.horizon().newest_ledger().await?.base_reserve;
        Ok((reserves(self.periods(), base), own_reserve(base)))
    }

    /// Whether an escrow without a contract may be taken for these terms.
    pub(crate) async fn has_unused(
        &self,
        terms: &Terms,
        bytes: u64,
        unused: &[[u8; 32]],
    ) -> Result<bool, MoneyError> {
        let now = self.inner.clock.now();
        let known = self.inner.store.funds().list(None).await?;
        Ok(known.iter().any(|funding| unused_plan(funding, terms, bytes, unused, now).is_some()))
    }

    async fn plan(
        &self,
        wallet: &Wallet,
        escrow: Address,
        terms: &Terms,
        others: Others,
        bytes: u64,
        start: Timestamp,
    ) -> Result<Plan, MoneyError> {
        let newest = wallet.outbox().horizon().newest_ledger().await?;
        let epoch = u64::from(terms.epoch_seconds);
        let period_seconds = PERIOD_EPOCHS * epoch;
        let amount = Prices::from(terms).period(bytes, period_seconds).ok_or(MoneyError::TooDear)?;
        Ok(Plan {
            escrow,
            owner: wallet.address(),
            farmer: Address(others.farmer),
            auditor: Address(others.auditor),
            start,
            period_seconds,
            grace_seconds: GRACE_EPOCHS * epoch,
            amounts: vec![amount; self.inner.periods as usize],
            setup_sequence: wallet.outbox().next_sequence(wallet.address()).await?,
            merge_ledger: Plan::merge_ledger_after(newest.number),
            base_reserve: newest.base_reserve,
        })
    }

    async fn raise(
        &self,
        wallet: &Wallet,
        plan: &Plan,
        key: &hayloft_core::keys::StellarKey,
        terms: &Terms,
    ) -> Result<(), MoneyError> {
        self.inner.store.funds().keep(plan.escrow.0, terms).await?;
        crash_point!(FundingKept);
        let mut fate = wallet.set_up(plan, key, &self.limits(), self.inner.clock.now()).await?;
        let asked = tokio::time::Instant::now();
        while fate == Fate::Open && asked.elapsed().as_secs() < 2 * PATIENCE_SECONDS {
            tokio::time::sleep(LOOK).await;
            wallet.reconcile().await?;
            let rows = wallet.outbox().rows();
            let still_open = rows.open().await?.iter().any(|row| row.row.source == wallet.address().0);
            if !still_open {
                let state = rows.escrows().await?.into_iter().find(|row| row.account == plan.escrow.0);
                let stands = state.is_some_and(|row| row.state == EscrowState::Seen);
                let reason = "its time was over before it got into a ledger".to_owned();
                fate = if stands { Fate::Applied { ledger: 0 } } else { Fate::Void { reason } };
            }
        }
        self.inner.wake.notify_one();
        match fate {
            Fate::Applied { .. } => {
                crash_point!(EscrowRaised);
                Ok(())
            }
            Fate::Open => Err(MoneyError::NotSetUp("the ledger has not said yet what came of it".into())),
            Fate::Failed { reason, .. } | Fate::Void { reason } => Err(MoneyError::NotSetUp(reason)),
        }
    }

    /// An escrow for the same farmer that stands, pays for enough, and whose contract nobody agreed on.
    async fn unused(
        &self,
        wallet: &Wallet,
        terms: &Terms,
        others: Others,
        bytes: u64,
        unused: &[[u8; 32]],
    ) -> Result<Option<Prepared>, MoneyError> {
        let now = self.inner.clock.now();
        for funding in self.inner.store.funds().list(None).await? {
            let Some(plan) = unused_plan(&funding, terms, bytes, unused, now) else { continue };
            let fits = (plan.owner, plan.farmer.0, plan.auditor.0)
                == (wallet.address(), others.farmer, others.auditor);
            if fits && look(wallet.outbox().horizon(), wallet.outbox().network(), &plan).await?.is_ok() {
                return Ok(Some(Prepared { terms: funding.terms, plan }));
            }
        }
        Ok(None)
    }
}

/// The plan of an escrow that no contract uses, if it may be taken for these terms and pays for so many bytes.
fn unused_plan(
    funding: &Funding,
    terms: &Terms,
    bytes: u64,
    unused: &[[u8; 32]],
    now: Timestamp,
) -> Option<Plan> {
    let plan = decode(&funding.escrow.plan)?;
    let fits = is_of(funding, terms.farmer)
        && unused.contains(&funding.escrow.account)
        && same_but_time(&funding.terms, terms)
        && now.0.abs_diff(funding.terms.start.0) < UNUSED_SECONDS
        && covers(&plan, terms.into(), bytes, now);
    fits.then_some(plan)
}

fn is_of(funding: &Funding, farmer: DeviceId) -> bool {
    funding.escrow.role == Role::Owner
        && funding.escrow.state != EscrowState::Over
        && funding.terms.farmer == farmer
        && funding.terms.escrow == Some(funding.escrow.account)
}

/// Whether two terms differ in nothing but when they begin, their escrow and their nonce.
fn same_but_time(kept: &Terms, wanted: &Terms) -> bool {
    let like = Terms { start: kept.start, escrow: kept.escrow, nonce: kept.nonce, ..wanted.clone() };
    like == *kept
}

/// Whether each period of a plan that is not over holds enough for so many bytes, and one is left.
pub(crate) fn covers(plan: &Plan, prices: Prices, bytes: u64, now: Timestamp) -> bool {
    let Some(needed) = prices.period(bytes, plan.period_seconds) else { return false };
    let mut ahead = (0..plan.periods()).filter(|period| plan.end(*period) > now).peekable();
    ahead.peek().is_some()
        && ahead.all(|period| plan.amounts.get(period as usize).is_some_and(|amount| *amount >= needed))
}

/// Until when plans pay for so many bytes from a time on, without a gap; none if they do not at that time.
pub(crate) fn paid_until(plans: &[Plan], prices: Prices, bytes: u64, from: Timestamp) -> Option<Timestamp> {
    let goes_on = |until: Timestamp| {
        let pays = plans.iter().filter(|plan| plan.start <= until && covers(plan, prices, bytes, until));
        pays.map(last_end).max()
    };
    let until = std::iter::successors(goes_on(from), |until| goes_on(*until));
    until.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: u64 = 3 * 86_400;

    fn prices(storage: u64, egress: u64) -> Prices {
        Prices { storage: Amount(storage), egress: Amount(egress) }
    }

    #[test]
    fn a_contract_is_paid_for_more_than_is_stored_as_long_as_that_is_cheap() {
        assert_eq!(prices(10, 0).bytes_ahead(30, PERIOD, 5), AHEAD_BYTES);
        assert_eq!(prices(10, 10).bytes_ahead(30, PERIOD, 5 << 30), 5 << 30);
        let dear = prices(100_000_000_000_000, 0);
        let bytes = dear.bytes_ahead(30, PERIOD, 5);
        assert!(bytes < AHEAD_BYTES);
        assert!(dear.period(bytes, PERIOD).is_some_and(|cost| 30 * cost.0 <= AHEAD.0));
        assert_eq!(
            dear.bytes_ahead(30, PERIOD, 1 << 30),
            1 << 30,
            "what is stored is paid for, whatever it costs"
        );
    }

    #[test]
    fn a_price_that_comes_to_no_amount_is_not_payable() {
        assert!(prices(1_000_000_000_000_000, 1_000_000_000).are_payable(30, PERIOD));
        for dear in [prices(u64::MAX, 0), prices(0, u64::MAX), prices(u64::MAX / 4, 0)] {
            assert!(!dear.are_payable(30, PERIOD), "{dear:?}");
        }
    }

    #[test]
    fn what_is_paid_for_ends_where_a_gap_begins_or_an_escrow_is_too_small() {
        let from = |days: u64, amounts: &[u64]| Plan {
            escrow: Address([4; 32]),
            owner: Address([5; 32]),
            farmer: Address([6; 32]),
            auditor: Address([7; 32]),
            start: Timestamp(days * 86_400),
            period_seconds: PERIOD,
            grace_seconds: 7 * 86_400,
            amounts: amounts.iter().copied().map(Amount).collect(),
            setup_sequence: 1,
            merge_ledger: 9,
            base_reserve: Amount(1),
        };
        let tb = 1_000_000_000_000;
        let until = |plans: &[Plan], days: u64| {
            let until = paid_until(plans, prices(100, 0), tb, Timestamp(days * 86_400));
            until.map(|until| until.0 / 86_400)
        };
        let first = from(0, &[10, 10]);
        assert_eq!(until(&[], 0), None);
        assert_eq!(until(std::slice::from_ref(&first), 5), Some(6));
        assert_eq!(until(std::slice::from_ref(&first), 6), None);
        assert_eq!(until(&[from(6, &[10]), first.clone()], 1), Some(9));
        assert_eq!(until(&[from(9, &[10]), first.clone()], 1), Some(6), "three days are not paid for");
        assert_eq!(until(&[from(9, &[10]), first.clone()], 7), None);
        assert_eq!(until(&[from(6, &[9, 10]), first.clone()], 1), Some(6), "too small at first");
        assert_eq!(
            until(&[from(6, &[9, 10]), from(3, &[10, 10, 10])], 4),
            Some(12),
            "another pays meanwhile"
        );
    }

    #[test]
    fn a_period_pays_for_keeping_and_for_reading_once() {
        let prices = prices(3_000_000_000, 70_000_000_000);
        let tb = 1_000_000_000_000;
        assert_eq!(prices.period(tb, PERIOD), Some(Amount(300_000_000 + 70_000_000_000)));
        let bytes = prices.bytes_for(Amount(70_300_000_000), PERIOD);
        assert!(bytes >= tb && bytes < tb + 100, "{bytes}");
        assert_eq!(prices.bytes_for(Amount(0), PERIOD), 0);
        assert_eq!(prices.period(u64::MAX, u64::MAX), None);
    }
}
