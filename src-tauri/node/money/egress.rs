//! Settlement periods as egress is vouched for in them: which one runs, what may be vouched for in it, and the vouchers that
//! the parties show each other before they settle.
//!
//! Who settles takes in what the others show, in any order, and so says the same as they: what a period pays for bounds what
//! counts, not which voucher is kept. A voucher counts only with a certificate of a time within its period, at the farmer as
//! at the auditor.
//!
//! Each period of an escrow pays for keeping what it pays for, and for reading that once. Vouchers of a period that is settled
//! already are paid with the next one.

use hayloft_core::{
    ContractId, DeviceId, Timestamp, contract::Terms, record::DeviceCertificate, voucher::Book,
};
use hayloft_net::{
    Fault, NetError,
    limits::VOUCHERS_PER_PAGE,
    messages::{Answer, Request, ShownVoucher},
};
use hayloft_payments::escrow::Plan;

use super::{Money, MoneyError, Prices, Refused};

/// Vouchers that are looked at in all: more periods and devices than one contract ever has.
const MOST_VOUCHERS: usize = 16_384;

/// A settlement period of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// Counted from the contract's start.
    pub(crate) number: u32,
    /// Bytes that may be vouched for in it.
    pub(crate) cap_bytes: u64,
    begin: Timestamp,
    end: Timestamp,
}

/// The period of a plan in which a moment lies; none if it lies in none.
fn period_at(plan: &Plan, terms: &Terms, at: Timestamp) -> Option<Period> {
    let index = (0..plan.periods()).find(|period| plan.end(*period) > at && at >= plan.start)?;
    let end = plan.end(index);
    let begin = Timestamp(end.0.checked_sub(plan.period_seconds)?);
    let number = u32::try_from(begin.0.checked_sub(terms.start.0)? / plan.period_seconds.max(1)).ok()?;
    let amount = *plan.amounts.get(index as usize)?;
    let cap_bytes = Prices::from(terms).bytes_for(amount, plan.period_seconds);
    Some(Period { number, cap_bytes, begin, end })
}

/// The one of these plans' in which a moment lies that pays for most.
fn period_in(plans: &[Plan], terms: &Terms, at: Timestamp) -> Option<Period> {
    plans.iter().filter_map(|plan| period_at(plan, terms, at)).max_by_key(|period| period.cap_bytes)
}

/// The one of this number that pays for most.
fn period_of(plans: &[Plan], terms: &Terms, number: u32) -> Option<Period> {
    let seconds = plans.first()?.period_seconds;
    period_in(plans, terms, terms.start.plus_seconds(seconds.saturating_mul(number.into())))
}

impl Money {
    /// The settlement period that runs now; none if no escrow pays for now.
    pub(crate) async fn period_now(&self, terms: &Terms) -> Result<Option<Period>, MoneyError> {
        Ok(period_in(&self.plans(terms.id()).await?, terms, self.inner.clock.now()))
    }

    /// The one of this number; none if no escrow pays for it.
    pub(crate) async fn period(&self, terms: &Terms, number: u32) -> Result<Option<Period>, MoneyError> {
        Ok(period_of(&self.plans(terms.id()).await?, terms, number))
    }

    /// The vouchers of a period, as a book that takes more.
    pub(crate) async fn book(&self, terms: &Terms, period: &Period) -> Result<Book, MoneyError> {
        let mut book = Book::new(terms.id(), period.number, period.cap_bytes);
        for voucher in self.inner.store.funds().vouchers_of(terms.id(), period.number).await? {
            // What is there was right when it came; a cap that shrank takes no more.
            if let Err(error) = book.learn(&voucher, &self.inner.network) {
                tracing::debug!(%error, "a voucher that is kept counts no more");
            }
        }
        Ok(book)
    }

    /// Bytes that count as served under a contract, by settlement period: what all vouchers say, up to what the period pays
    /// for.
    pub(crate) async fn egress(&self, terms: &Terms) -> Result<Vec<(u32, u64)>, MoneyError> {
        // An escrow is over for one party sooner than for another: what it paid for counts the same all the time.
        let plans = self.plans_ever(terms.id()).await?;
        let vouched = self.inner.store.funds().vouched(terms.id()).await?;
        let of_periods = vouched.chunk_by(|(one, _), (other, _)| one == other).map(|vouchers| {
            let number = vouchers[0].0;
            let cap = period_of(&plans, terms, number).map_or(u64::MAX, |period| period.cap_bytes);
            (number, counted(vouchers.iter().map(|(_, bytes)| *bytes), cap))
        });
        Ok(of_periods.collect())
    }

    /// Asks another for the vouchers under a contract, and keeps those that are right and were not known.
    pub(crate) async fn learn_vouchers(&self, terms: &Terms, whom: DeviceId) -> Result<(), MoneyError> {
        if terms.egress_price.0 == 0 {
            return Ok(());
        }
        let shown = self.ask_vouchers(whom, terms.id()).await?;
        self.keep_vouchers(terms, &shown).await
    }

    /// The newest vouchers under a contract, to be shown with a settlement.
    pub(super) async fn newest_vouchers(
        &self,
        contract: ContractId,
    ) -> Result<Vec<ShownVoucher>, MoneyError> {
        let found = self.inner.store.funds().newest_vouchers(contract, VOUCHERS_PER_PAGE as u32).await?;
        Ok(found.into_iter().map(|(voucher, certificate)| ShownVoucher { voucher, certificate }).collect())
    }

    /// Keeps those vouchers of these that are right and were not known.
    pub(super) async fn keep_vouchers(
        &self,
        terms: &Terms,
        shown: &[ShownVoucher],
    ) -> Result<(), MoneyError> {
        for shown in shown.iter().filter(|_| terms.egress_price.0 > 0) {
            let voucher = shown.voucher.voucher;
            if voucher.contract != terms.id() {
                continue;
            }
            let Some(period) = self.period(terms, voucher.period).await? else { continue };
            if !is_certified(terms, voucher.device, &shown.certificate, &period) {
                continue;
            }
            let mut book = self.book(terms, &period).await?;
            if book.learn(&shown.voucher, &self.inner.network).is_ok() {
                self.inner.store.funds().vouch(&shown.voucher, &shown.certificate).await?;
            }
        }
        Ok(())
    }

    async fn ask_vouchers(
        &self,
        whom: DeviceId,
        contract: ContractId,
    ) -> Result<Vec<ShownVoucher>, NetError> {
        let wrong = || NetError::Protocol(Fault::WrongAnswer);
        let place = |shown: &ShownVoucher| (shown.voucher.voucher.period, shown.voucher.voucher.device);
        let mut all: Vec<ShownVoucher> = Vec::new();
        loop {
            let after = all.last().map(place);
            let answer = self.ask(whom, Request::Vouchers { contract, after }).await?;
            let Answer::Vouchers { vouchers, more } = answer else { return Err(wrong()) };
            let goes_on = vouchers.len() <= VOUCHERS_PER_PAGE
                && vouchers.iter().map(place).is_sorted_by(|a, b| a < b)
                && vouchers.first().map(place).zip(after).is_none_or(|(next, after)| next > after);
            if !goes_on || (more && vouchers.is_empty()) || all.len() > MOST_VOUCHERS {
                return Err(wrong());
            }
            all.extend(vouchers);
            if !more {
                return Ok(all);
            }
        }
    }

    /// A page of the vouchers under a contract, and whether more follow.
    pub(crate) async fn vouchers_after(
        &self,
        contract: ContractId,
        after: Option<(u32, DeviceId)>,
    ) -> Result<(Vec<ShownVoucher>, bool), Refused> {
        let most = VOUCHERS_PER_PAGE as u32 + 1;
        let found =
            self.inner.store.funds().vouchers(contract, after, most).await.map_err(MoneyError::from)?;
        let more = found.len() > VOUCHERS_PER_PAGE;
        let shown = found.into_iter().take(VOUCHERS_PER_PAGE);
        Ok((shown.map(|(voucher, certificate)| ShownVoucher { voucher, certificate }).collect(), more))
    }
}

/// What a book with this cap says of vouchers that were found right when they came.
fn counted(vouchers: impl Iterator<Item = u64>, cap_bytes: u64) -> u64 {
    let within = vouchers.filter(|bytes| *bytes <= cap_bytes);
    within.fold(0, u64::saturating_add).min(cap_bytes)
}

/// Whether the contract's owner certified the device for a time within the period.
pub(crate) fn is_certified(
    terms: &Terms,
    device: DeviceId,
    certificate: &DeviceCertificate,
    period: &Period,
) -> bool {
    let at = certificate.from.max(period.begin);
    let owner = certificate.verify(&terms.network, &device, at);
    at < period.end && owner.is_ok_and(|owner| owner == terms.owner)
}

#[cfg(test)]
mod tests {
    use hayloft_core::{Amount, DeviceId, OwnerId, contract::MIN_GRACE_SECONDS};
    use hayloft_payments::Address;

    use super::*;

    #[test]
    fn periods_are_counted_from_the_contracts_start_whichever_escrow_pays() {
        let day = 86_400;
        let terms = Terms {
            network: "here".parse().expect("a name"),
            owner: OwnerId([1; 32]),
            farmer: DeviceId([2; 32]),
            start: Timestamp(1_000_000),
            epoch_seconds: day as u32,
            storage_price: Amount(0),
            egress_price: Amount(1_000_000_000_000),
            audit_share_ppm: 0,
            auditor: Some(DeviceId([3; 32])),
            escrow: Some([4; 32]),
            grace_seconds: MIN_GRACE_SECONDS,
            nonce: [5; 32],
        };
        let plan = Plan {
            escrow: Address([4; 32]),
            owner: Address([5; 32]),
            farmer: Address([6; 32]),
            auditor: Address([7; 32]),
            start: terms.start.plus_seconds(9 * day),
            period_seconds: 3 * day,
            grace_seconds: 7 * day,
            amounts: vec![Amount(10), Amount(20)],
            setup_sequence: 1,
            merge_ledger: 9,
            base_reserve: Amount(1),
        };
        let at = |days: u64| period_at(&plan, &terms, terms.start.plus_seconds(days * day));
        let shown = |days| at(days).map(|period| (period.number, period.cap_bytes));
        assert_eq!(shown(8), None);
        assert_eq!((shown(9), shown(11)), (Some((3, 10)), Some((3, 10))));
        assert_eq!((shown(12), shown(14)), (Some((4, 20)), Some((4, 20))));
        assert_eq!(shown(15), None);
    }
}
