//! Serving for pay: what goes out under a contract that has a price for it is counted, and no more goes out than one mebibyte
//! beyond what the owner's devices have vouched for.
//!
//! What was not vouched for counts in its own settlement period and as long as a voucher for that may still come: a device that
//! is gone for good holds up no other in the next period.
//!
//! Where no settlement period runs that an escrow pays for, serving is free: what is kept in the grace is never held back.
//! Deliberately absent: what a voucher is and what counts (`core::voucher`), and what a period pays for (`money`).

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use hayloft_core::{
    ContractId, DeviceId, OwnerId,
    contract::Terms,
    record::DeviceCertificate,
    voucher::{SignedVoucher, Tab, Voucher, VoucherError},
};
use hayloft_net::messages::{Answer, Refusal, RefusalCode};
use tokio::{sync::Notify, time::Instant};

use super::{Shared, refuse};
use crate::{
    money::{MoneyError, Period, is_certified},
    owner::lock,
};

/// How long what is asked for waits for a voucher.
const PATIENCE: Duration = Duration::from_secs(5);
/// Vouchers for so many periods before the one that runs are taken.
const LATE_PERIODS: u32 = 1;
/// So much is counted at once.
pub(super) const COUNTED_BYTES: u64 = 64 * 1024;

/// What was served and is not vouched for, by contract and settlement period.
#[derive(Debug, Default)]
pub(super) struct Tabs {
    open: Mutex<BTreeMap<(ContractId, u32), Tab>>,
    vouched: Notify,
    /// One voucher is taken in after the other.
    turn: tokio::sync::Mutex<()>,
}

impl Tabs {
    fn serve(&self, meter: &Meter, bytes: u64) -> bool {
        let mut open = lock(&self.open);
        let over = (meter.contract, 0)..(meter.contract, meter.period.saturating_sub(LATE_PERIODS));
        let over: Vec<(ContractId, u32)> = open.range(over).map(|(place, _)| *place).collect();
        over.iter().for_each(|place| drop(open.remove(place)));
        let tab = open.entry((meter.contract, meter.period)).or_default();
        let serves = tab.serve(meter.device, bytes);
        if tab.is_even() {
            open.remove(&(meter.contract, meter.period));
        }
        serves
    }

    fn ahead(&self, contract: ContractId, period: u32, device: DeviceId) -> u64 {
        lock(&self.open).get(&(contract, period)).map_or(0, |tab| tab.ahead(device))
    }

    fn vouched(&self, voucher: &Voucher, bytes: u64) {
        let place = (voucher.contract, voucher.period);
        let mut open = lock(&self.open);
        if let Some(tab) = open.get_mut(&place) {
            tab.vouched(voucher.device, bytes);
            if tab.is_even() {
                open.remove(&place);
            }
        }
        drop(open);
        self.vouched.notify_waiters();
    }

    /// Counts bytes that are about to go out, as soon as that is not too far ahead; false if it stays so for too long.
    pub(super) async fn may_serve(&self, meter: &Meter, bytes: u64) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            let vouched = self.vouched.notified();
            if self.serve(meter, bytes) {
                return true;
            }
            if tokio::time::timeout_at(until, vouched).await.is_err() {
                return self.serve(meter, bytes);
            }
        }
    }
}

/// Whose serving is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    contract: ContractId,
    period: u32,
    device: DeviceId,
}

impl Shared {
    /// How serving a device under a contract is counted; none if it is free now.
    pub(super) async fn meter(&self, terms: &Terms, device: DeviceId) -> Result<Option<Meter>, Refusal> {
        if terms.egress_price.0 == 0 {
            return Ok(None);
        }
        let period = self.parts.money.period_now(terms).await.map_err(own)?;
        Ok(period.map(|period| Meter { contract: terms.id(), period: period.number, device }))
    }

    /// What a device has vouched for in a period, and owes a voucher for.
    pub(super) async fn tab(
        &self,
        owner: OwnerId,
        device: DeviceId,
        contract: ContractId,
        number: u32,
    ) -> Result<Answer, Refusal> {
        let terms = self.contract_of(owner, contract).await?.terms.terms;
        let period = self.parts.money.period(&terms, number).await.map_err(own)?.ok_or_else(no_period)?;
        let book = self.parts.money.book(&terms, &period).await.map_err(own)?;
        Ok(Answer::Tab { vouched: book.vouched(device), ahead: self.tabs.ahead(contract, number, device) })
    }

    /// Takes a voucher in: of the period that runs, or one that ended shortly before.
    pub(super) async fn vouch(
        &self,
        owner: OwnerId,
        device: DeviceId,
        certificate: &DeviceCertificate,
        signed: &SignedVoucher,
    ) -> Result<Answer, Refusal> {
        let voucher = &signed.voucher;
        let terms = self.contract_of(owner, voucher.contract).await?.terms.terms;
        if voucher.device != device {
            return Err(refused(VoucherError::BadSignature));
        }
        let money = &self.parts.money;
        let now = money.period_now(&terms).await.map_err(own)?.ok_or_else(no_period)?;
        let period = match now.number.checked_sub(voucher.period) {
            Some(0) => now,
            Some(..=LATE_PERIODS) => {
                money.period(&terms, voucher.period).await.map_err(own)?.ok_or_else(no_period)?
            }
            _ => return Err(refused(VoucherError::WrongPeriod)),
        };
        if !is_certified(&terms, device, certificate, &period) {
            return Err(refuse::refuse(
                RefusalCode::NotVouched,
                "The certificate is for a time outside of that settlement period.",
            ));
        }
        self.enter(&terms, &period, certificate, signed).await
    }

    async fn enter(
        &self,
        terms: &Terms,
        period: &Period,
        certificate: &DeviceCertificate,
        signed: &SignedVoucher,
    ) -> Result<Answer, Refusal> {
        let voucher = &signed.voucher;
        let _one_at_a_time = self.tabs.turn.lock().await;
        let mut book = self.parts.money.book(terms, period).await.map_err(own)?;
        let before = book.vouched(voucher.device);
        book.accept(signed, &self.parts.network).map_err(refused)?;
        let kept = self.parts.store.funds().vouch(signed, certificate).await;
        kept.map_err(|error| own(error.into()))?;
        self.tabs.vouched(voucher, voucher.bytes - before);
        let ahead = self.tabs.ahead(voucher.contract, voucher.period, voucher.device);
        Ok(Answer::Tab { vouched: voucher.bytes, ahead })
    }
}

pub(super) fn not_vouched() -> Refusal {
    refuse::refuse(
        RefusalCode::NotVouched,
        "More was served than was vouched for: no more goes out before a voucher comes.",
    )
}

fn no_period() -> Refusal {
    refuse::refuse(RefusalCode::NotVouched, "No settlement period of that number is paid for.")
}

fn refused(error: VoucherError) -> Refusal {
    refuse::refuse(RefusalCode::NotVouched, format!("Refused: {error}."))
}

fn own(error: MoneyError) -> Refusal {
    tracing::warn!(%error, "a voucher could not be looked at");
    refuse::refuse(RefusalCode::Internal, "This farmer cannot count what it serves just now.")
}
