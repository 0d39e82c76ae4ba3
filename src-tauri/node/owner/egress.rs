//! Paying for reads, as the owner's device: it counts what comes under a contract that has a price for it, and vouches for it
//! bit by bit, soon enough that its farmer never has to wait.
//!
//! Invariants: a voucher is kept before it leaves; this device never vouches for more than came, but for what a farmer says it
//! served and this device cannot have counted: before it lost count, and in reads that were broken off. That is at most
//! [`AHEAD_BYTES`] each time, and never more than was asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use hayloft_core::{
    ContractId, DeviceId, NetworkName,
    contract::Terms,
    keys::DeviceKey,
    record::DeviceCertificate,
    voucher::{AHEAD_BYTES, Voucher},
};
use hayloft_net::{
    NetError,
    messages::{Refusal, RefusalCode},
};
use hayloft_store::funding::Funds;

use super::{lock, wire::Wire};
use crate::money::{Money, MoneyError};

/// After so many bytes a voucher is due.
const STEP_BYTES: u64 = AHEAD_BYTES / 4;

/// Vouches for what comes. Clones share it.
#[derive(Clone)]
pub(crate) struct Vouching {
    inner: Arc<Inner>,
}

struct Inner {
    device: Arc<DeviceKey>,
    network: NetworkName,
    certificate: DeviceCertificate,
    wire: Wire,
    money: Money,
    funds: Funds,
    store: hayloft_store::Owner,
    /// Terms of contracts that have a price for it; none of the others.
    terms: Mutex<HashMap<ContractId, Option<Arc<Terms>>>>,
    counts: Mutex<HashMap<(ContractId, u32), Arc<Count>>>,
}

/// What came under a contract in a settlement period.
#[derive(Default)]
struct Count {
    state: Mutex<State>,
    /// Held while a voucher is made and sent, and while the count is begun.
    turn: tokio::sync::Mutex<bool>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    came: u64,
    vouched: u64,
    /// Bytes that reads under way are still to bring.
    coming: u64,
    /// Bytes that may have been served and did not come: asked for by reads that were broken off. No farmer goes further
    /// ahead than [`AHEAD_BYTES`] in all.
    in_doubt: u64,
    /// Reads under way.
    reading: u32,
}

impl State {
    /// Begins a read of so many bytes; false, and nothing changes, if the period does not pay for all that may have to be
    /// vouched for then.
    fn begin(&mut self, bytes: u64, cap_bytes: u64) -> bool {
        let all = [self.came, self.coming, self.in_doubt, bytes].into_iter().fold(0, u64::saturating_add);
        if all > cap_bytes {
            return false;
        }
        self.coming += bytes;
        self.reading += 1;
        true
    }

    fn come(&mut self, bytes: u64) {
        self.came = self.came.saturating_add(bytes);
        self.coming = self.coming.saturating_sub(bytes);
    }

    /// Ends a read of which so much did not come.
    fn end(&mut self, left: u64) {
        self.coming = self.coming.saturating_sub(left);
        self.in_doubt = self.in_doubt.saturating_add(left).min(AHEAD_BYTES);
        self.reading = self.reading.saturating_sub(1);
    }

    /// The farmer says that it served so much in all: what is in doubt is believed, unless it may be on its way.
    fn clear(&mut self, served: u64) {
        if self.reading > 0 {
            return;
        }
        let uncounted = served.saturating_sub(self.came);
        self.came = self.came.saturating_add(uncounted.min(self.in_doubt));
        self.in_doubt = 0;
    }
}

/// Counts one download; what is left is vouched for when it ends, whichever way.
pub(crate) struct Meter {
    line: Line,
    /// Bytes still to come.
    left: u64,
}

/// Where vouchers go.
#[derive(Clone)]
struct Line {
    inner: Arc<Inner>,
    farmer: DeviceId,
    contract: ContractId,
    period: u32,
    count: Arc<Count>,
}

impl Vouching {
    pub(crate) fn new(
        (device, certificate): (Arc<DeviceKey>, DeviceCertificate),
        network: NetworkName,
        (wire, money): (Wire, Money),
        (store, funds): (hayloft_store::Owner, Funds),
    ) -> Self {
        let (terms, counts) = (Mutex::default(), Mutex::default());
        let inner = Inner { device, network, certificate, wire, money, funds, store, terms, counts };
        Self { inner: Arc::new(inner) }
    }

    /// The terms of a contract, if they have a price for reads; a revision under way is not waited for.
    async fn terms(&self, contract: ContractId) -> Result<Option<Arc<Terms>>, NetError> {
        if let Some(known) = lock(&self.inner.terms).get(&contract) {
            return Ok(known.clone());
        }
        let stored = self.inner.store.contract(contract).await.map_err(|error| {
            tracing::warn!(%error, "the terms of a contract could not be read");
            NetError::Cancelled
        })?;
        let terms = stored.map(|stored| stored.terms.terms).filter(|terms| terms.egress_price.0 > 0);
        Ok(lock(&self.inner.terms).entry(contract).or_insert(terms.map(Arc::new)).clone())
    }

    /// Counts what comes under a contract from now on; none if that is free now.
    ///
    /// # Errors
    /// [`NetError`] if the farmer does not say what it served before, or the period does not pay for so much more.
    pub(crate) async fn meter(&self, contract: ContractId, bytes: u64) -> Result<Option<Meter>, NetError> {
        let Some(terms) = self.terms(contract).await? else { return Ok(None) };
        let terms = &*terms;
        let Some(period) = self.inner.money.period_now(terms).await.map_err(unknown)? else {
            return Ok(None);
        };
        let key = (terms.id(), period.number);
        let count = {
            let mut counts = lock(&self.inner.counts);
            // Older ones are held by the reads that still count in them.
            counts.retain(|(of, number), _| *of != key.0 || number.saturating_add(1) >= key.1);
            counts.entry(key).or_default().clone()
        };
        let line = Line {
            inner: self.inner.clone(),
            farmer: terms.farmer,
            contract: terms.id(),
            period: period.number,
            count,
        };
        line.begin(terms).await?;
        line.clear_doubt().await?;
        if !lock(&line.count.state).begin(bytes, period.cap_bytes) {
            let sentence =
                "What pays for this contract does not pay for so many reads until its next period.";
            return Err(NetError::Refused(Refusal {
                code: RefusalCode::NotVouched,
                sentence: sentence.into(),
            }));
        }
        Ok(Some(Meter { line, left: bytes }))
    }
}

impl Meter {
    /// Bytes came.
    pub(crate) fn came(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        let due = {
            let mut state = lock(&self.line.count.state);
            state.come(bytes);
            state.came.saturating_sub(state.vouched) >= STEP_BYTES
        };
        if due {
            tokio::spawn(self.line.clone().settle_up(STEP_BYTES));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let is_last = {
            let mut state = lock(&self.line.count.state);
            state.end(self.left);
            state.reading == 0
        };
        if let Some(runtime) = tokio::runtime::Handle::try_current().ok().filter(|_| is_last) {
            runtime.spawn(self.line.clone().settle_up(1));
        }
    }
}

impl Line {
    /// Finds out what was vouched for and came before this process.
    async fn begin(&self, terms: &Terms) -> Result<(), NetError> {
        let mut begun = self.count.turn.lock().await;
        if *begun {
            return Ok(());
        }
        let Inner { device, money, funds, wire, .. } = &*self.inner;
        // Vouchers that this device forgot are shown by whom they were given to.
        money.learn_vouchers(terms, self.farmer).await.map_err(unknown)?;
        let kept =
            funds.vouchers_of(self.contract, self.period).await.map_err(|error| unknown(error.into()))?;
        let own = kept.iter().map(|signed| signed.voucher).find(|voucher| voucher.device == device.id());
        let given = own.map_or(0, |voucher| voucher.bytes);
        let (vouched, ahead) = wire.tab(self.farmer, self.contract, self.period).await?;
        let served = vouched.saturating_add(ahead).min(given.saturating_add(AHEAD_BYTES));
        let (came, vouched) = (served.max(given), vouched.min(given));
        {
            let mut state = lock(&self.count.state);
            (state.came, state.vouched) = (came, vouched);
        }
        *begun = true;
        drop(begun);
        self.clone().settle_up(1).await;
        Ok(())
    }

    /// Asks what was served of reads that were broken off, while nothing else is on its way, and vouches for it.
    async fn clear_doubt(&self) -> Result<(), NetError> {
        let State { in_doubt, reading, .. } = *lock(&self.count.state);
        if in_doubt == 0 || reading > 0 {
            return Ok(());
        }
        self.clone().settle_up(1).await;
        let (vouched, ahead) = self.inner.wire.tab(self.farmer, self.contract, self.period).await?;
        lock(&self.count.state).clear(vouched.saturating_add(ahead));
        self.clone().settle_up(1).await;
        Ok(())
    }

    /// Vouches for what came, if that is at least so much; one voucher after the other.
    async fn settle_up(self, least: u64) {
        let _turn = self.count.turn.lock().await;
        let State { came, vouched, .. } = *lock(&self.count.state);
        if came.saturating_sub(vouched) < least {
            return;
        }
        let Inner { device, network, certificate, funds, wire, .. } = &*self.inner;
        let (contract, period) = (self.contract, self.period);
        let signed = Voucher { contract, period, device: device.id(), bytes: came }.sign(device, network);
        if let Err(error) = funds.vouch(&signed, certificate).await {
            tracing::warn!(%error, "a voucher could not be kept, and was not given");
            return;
        }
        match wire.vouch(self.farmer, signed).await {
            Ok(()) => {
                let mut state = lock(&self.count.state);
                state.vouched = state.vouched.max(came);
            }
            Err(error) => tracing::debug!(farmer = %self.farmer, %error, "a voucher was not taken"),
        }
    }
}

fn unknown(error: MoneyError) -> NetError {
    tracing::warn!(%error, "it is not known what pays for reads");
    NetError::Cancelled
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: u64 = 10 * AHEAD_BYTES;

    #[test]
    fn reads_under_way_and_in_doubt_count_towards_what_a_period_pays_for() {
        let mut state = State::default();
        assert!(state.begin(CAP / 2, CAP));
        assert!(!state.begin(CAP / 2 + 1, CAP), "what is under way will come");
        assert!(state.begin(CAP / 2, CAP));
        state.come(CAP / 2);
        assert!(!state.begin(1, CAP), "what came was under way before");
        state.end(0);
        state.end(CAP / 2);
        assert_eq!((state.came, state.coming, state.in_doubt, state.reading), (CAP / 2, 0, AHEAD_BYTES, 0));
        assert!(!state.begin(CAP / 2, CAP), "a mebibyte of it may have been served");
        assert!(state.begin(CAP / 2 - AHEAD_BYTES, CAP));
    }

    #[test]
    fn a_farmer_is_believed_a_mebibyte_however_many_reads_were_broken_off() {
        let mut state = State::default();
        for _ in 0..5 {
            assert!(state.begin(AHEAD_BYTES, CAP));
            state.end(AHEAD_BYTES);
        }
        state.clear(u64::MAX);
        assert_eq!((state.came, state.in_doubt), (AHEAD_BYTES, 0));
        state.clear(u64::MAX);
        assert_eq!(state.came, AHEAD_BYTES);
    }
}
