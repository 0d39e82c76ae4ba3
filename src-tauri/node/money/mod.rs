//! Money in the node: the wallet of its home, and what its roles do on the ledger.
//!
//! Two accounts at most. The **wallet** is the owner's: its key comes from the recovery phrase (SEP-0005), or was brought
//! here; a home without an identity has none of its own. The **payout** account is what farming is paid to and what a farmer
//! or auditor signs with; its key lies in the home, so that a farmer that starts by itself can settle. Where there is no
//! identity, the payout account is the wallet too.
//!
//! Invariants: everything that is handed in goes through the outbox, and payments and setups keep the spending limits of this
//! home; without a ledger
//! nothing here does anything, and contracts without a price never ask for one.
//! Deliberately absent: what is owed (`core::settlement`), and how the ledger is spoken to (`payments`).

mod account;
mod cosign;
mod egress;
mod error;
mod escrows;
mod evidence;
mod link;
mod settle;
mod setup;
mod task;
#[cfg(test)]
pub(crate) mod tests;
mod trade;
mod wallet;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use hayloft_core::{Amount, NetworkName, keys::StellarKey, record::DeviceCertificate, spending::Limits};
use hayloft_net::Net;
use hayloft_payments::{Address, Outbox, Wallet, escrow::Payouts};
use hayloft_store::Store;
use tokio::sync::{Notify, broadcast};
use zeroize::Zeroizing;

pub(crate) use self::{
    cosign::{Party, Refused, last_end},
    egress::{Period, is_certified},
    error::MoneyError,
    setup::{GRACE_EPOCHS, Others, PERIOD_EPOCHS, PERIODS, Prices, paid_until},
    wallet::{kept_limits, shown_limits},
};
use self::{evidence::Verified, link::Link, settle::Seen};
use crate::{
    Clock, identity,
    model::{ApiError, Event},
    owner::lock,
};

/// Money in this node. Clones are the same.
#[derive(Clone)]
pub struct Money {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    net: Net,
    clock: Clock,
    events: broadcast::Sender<Event>,
    network: NetworkName,
    link: Link,
    keys: Mutex<Keys>,
    /// Whether accounts are made by themselves where lumens are given away: for owners and farmers.
    wants_lumens: AtomicBool,
    most: Mutex<Most>,
    /// Settlement periods that an escrow pays for.
    periods: u32,
    /// What each escrow has paid, as far as its history was read.
    payouts: tokio::sync::Mutex<BTreeMap<Address, Payouts>>,
    /// What is wrong with the ledger just now.
    problem: Mutex<Option<String>>,
    /// What the last turn found of each escrow.
    seen: Mutex<BTreeMap<Address, Seen>>,
    /// Escrows that the ledger does not show as they were planned.
    broken: Mutex<BTreeSet<Address>>,
    /// One escrow is set up after the other: each takes the wallet's next number.
    setups: tokio::sync::Mutex<()>,
    /// One settlement is looked at after the other.
    signing: tokio::sync::Mutex<()>,
    /// Receipts that were found right.
    verified: Mutex<Verified>,
    /// One receipt is looked at after the other.
    proving: Arc<tokio::sync::Mutex<()>>,
    /// Something is to be done before the next turn.
    wake: Notify,
    /// The ledger began anew.
    anew: Notify,
}

/// The keys at hand.
#[derive(Default)]
struct Keys {
    /// From the phrase, once the seed is unsealed.
    phrase: Option<StellarKey>,
    /// Brought here.
    brought: Option<StellarKey>,
    /// What farming is paid to, once it was needed.
    payout: Option<StellarKey>,
    /// The owner's word for this device, once the seed is unsealed.
    certificate: Option<DeviceCertificate>,
}

/// What a home says about its money.
pub(crate) struct MoneyOptions<'a> {
    /// Where the ledger is, if not where the network's is.
    pub(crate) ledger: Option<&'a str>,
    /// What may be spent.
    pub(crate) most: Most,
    /// Settlement periods that an escrow pays for.
    pub(crate) periods: u32,
}

/// What may be spent, and on what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Most {
    /// By payments.
    pub(crate) spending: Limits,
    /// A farmer's price for a TB-month.
    pub(crate) price: Option<Amount>,
}

impl Money {
    /// The money of a home; nothing is asked of the ledger yet.
    ///
    /// # Errors
    /// [`ApiError`] if the ledger's address is none, or a key cannot be read.
    pub(crate) fn open(
        (store, net): (Store, Net),
        network: NetworkName,
        clock: Clock,
        events: broadcast::Sender<Event>,
        options: &MoneyOptions<'_>,
    ) -> Result<Self, ApiError> {
        let link = Link::new(&network, options.ledger, store.outbox())?;
        let brought = store.home().wallet_secret().map_err(MoneyError::from)?;
        let brought = brought.map(|secret| StellarKey::from_bytes(&secret));
        let keys = Mutex::new(Keys { brought, ..Keys::default() });
        let inner = Inner {
            store,
            net,
            clock,
            events,
            network,
            link,
            keys,
            wants_lumens: AtomicBool::new(false),
            most: Mutex::new(options.most),
            periods: options.periods,
            payouts: tokio::sync::Mutex::default(),
            problem: Mutex::default(),
            seen: Mutex::default(),
            broken: Mutex::default(),
            setups: tokio::sync::Mutex::default(),
            signing: tokio::sync::Mutex::default(),
            verified: Mutex::default(),
            proving: Arc::default(),
            wake: Notify::new(),
            anew: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes over the key that the phrase yields, and the owner's word for this device.
    pub(crate) fn unlocked(&self, key: &StellarKey, certificate: DeviceCertificate) {
        let mut keys = lock(&self.inner.keys);
        (keys.phrase, keys.certificate) = (Some(key.clone()), Some(certificate));
        drop(keys);
        self.wants_lumens();
    }

    /// From now on accounts are made by themselves, where lumens are given away.
    pub(crate) fn wants_lumens(&self) {
        self.inner.wants_lumens.store(true, Ordering::SeqCst);
        self.inner.wake.notify_one();
    }

    /// Whether a ledger is known.
    pub(crate) fn has_ledger(&self) -> bool {
        self.inner.link.has_ledger()
    }

    /// Returns once the ledger began anew.
    pub(crate) async fn anew(&self) {
        self.inner.anew.notified().await;
    }

    /// Takes over what may be spent.
    pub(crate) fn limit(&self, most: Most) {
        *lock(&self.inner.most) = most;
    }

    pub(crate) fn most(&self) -> Most {
        *lock(&self.inner.most)
    }

    fn limits(&self) -> Limits {
        self.most().spending
    }

    /// The key of the wallet.
    fn wallet_key(&self) -> Result<StellarKey, MoneyError> {
        let key = {
            let keys = lock(&self.inner.keys);
            keys.brought.clone().or_else(|| keys.phrase.clone())
        };
        match key {
            Some(key) => Ok(key),
            None if self.has_identity() => Err(MoneyError::Locked),
            None => self.payout_key(),
        }
    }

    fn has_identity(&self) -> bool {
        !matches!(identity::look(self.inner.store.home()), Ok(None))
    }

    /// The key of the account that farming is paid to; made the first time.
    pub(crate) fn payout_key(&self) -> Result<StellarKey, MoneyError> {
        let mut keys = lock(&self.inner.keys);
        if let Some(key) = &keys.payout {
            return Ok(key.clone());
        }
        let secret: Zeroizing<[u8; 32]> = self.inner.store.home().payout_secret()?;
        Ok(keys.payout.insert(StellarKey::from_bytes(&secret)).clone())
    }

    /// The payout account if it was ever needed and is not the wallet itself.
    fn other_payout(&self, wallet: &Wallet, outbox: &Outbox) -> Result<Option<Wallet>, MoneyError> {
        if !self.inner.store.home().has_payout_secret() {
            return Ok(None);
        }
        let payout = Wallet::new(self.payout_key()?, outbox.clone());
        Ok(Some(payout).filter(|payout| payout.address() != wallet.address()))
    }

    async fn outbox(&self) -> Result<Outbox, MoneyError> {
        self.inner.link.outbox().await
    }

    /// The wallet on its ledger.
    pub(crate) async fn wallet(&self) -> Result<Wallet, MoneyError> {
        let key = self.wallet_key()?;
        Ok(Wallet::new(key, self.outbox().await?))
    }
}
