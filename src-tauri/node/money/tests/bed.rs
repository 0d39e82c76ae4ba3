//! A ledger whose time a test sets, and an owner's node on it.

use std::{ops::Deref, path::Path, sync::Arc};

use hayloft_core::{
    Amount, DeviceId, OwnerId, Timestamp,
    contract::{MIN_GRACE_SECONDS, Terms},
    keys::StellarKey,
    spending::Limits,
};
use hayloft_ledger::{Closing, Ledger, LedgerOptions};
use hayloft_payments::{Address, escrow::Plan, lumens::LUMEN, wallet::Fate};
use tokio::task::JoinHandle;

use crate::{Clock, Node, NodeOptions, money::Money};

pub(super) const START: Timestamp = Timestamp(1_900_000_000);
pub(super) const DAY: u64 = 24 * 3600;

/// A ledger that closes as soon as something waits, for as long as this is there.
pub(crate) struct BriskLedger {
    ledger: Arc<Ledger>,
    closing: JoinHandle<()>,
    _home: tempfile::TempDir,
}

impl BriskLedger {
    /// Its first close is at this time.
    pub(crate) async fn at(now: Timestamp) -> Self {
        let home = tempfile::tempdir().expect("a temp folder");
        let options =
            LedgerOptions { closing: Closing::ByHand, ..LedgerOptions::new(home.path().to_owned()) };
        let ledger = Arc::new(Ledger::start(options).await.expect("a ledger"));
        ledger.set_time(Some(now.0));
        ledger.close_ledger().await.expect("closes");
        let closing = tokio::spawn({
            let ledger = ledger.clone();
            async move {
                loop {
                    ledger.until_waiting(1).await;
                    ledger.close_ledger().await.expect("closes");
                }
            }
        });
        Self { ledger, closing, _home: home }
    }
}

impl Deref for BriskLedger {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for BriskLedger {
    fn drop(&mut self) {
        self.closing.abort();
    }
}

/// A node without any role that looks at the ledger there.
pub(super) async fn node(home: &Path, ledger: &Ledger, clock: &Clock) -> Node {
    let options = NodeOptions {
        home: home.to_owned(),
        network: Some("scene".parse().expect("a name")),
        listen: vec!["/memory/0".into()],
        memory: true,
        ledger: Some(ledger.url().to_owned()),
        disk_guard_bytes: Some(0),
        clock: clock.clone(),
        ..NodeOptions::default()
    };
    Node::open(options).await.expect("opens")
}

/// An escrow of three periods that the node's wallet pays into, for a farmer that nobody is.
pub(super) async fn set_up(money: &Money) -> Plan {
    set_up_for(money, Address::of(&StellarKey::from_bytes(&rand::random())), Amount(1)).await.1
}

/// The same for a farmer with this account, at this price.
pub(super) async fn set_up_for(money: &Money, farmer: Address, storage_price: Amount) -> (Terms, Plan) {
    let wallet = money.wallet().await.expect("a wallet");
    wallet.fund().await.expect("funded");
    let key = StellarKey::from_bytes(&rand::random());
    let auditor = Address::of(&StellarKey::from_bytes(&rand::random()));
    let newest = wallet.outbox().horizon().newest_ledger().await.expect("a ledger");
    let terms = Terms {
        network: "scene".parse().expect("a name"),
        owner: OwnerId([1; 32]),
        farmer: DeviceId([2; 32]),
        start: START,
        epoch_seconds: DAY as u32,
        storage_price,
        egress_price: Amount(0),
        audit_share_ppm: 600_000,
        auditor: Some(DeviceId([3; 32])),
        escrow: Some(Address::of(&key).0),
        grace_seconds: MIN_GRACE_SECONDS,
        nonce: [4; 32],
    };
    let plan = Plan {
        escrow: Address::of(&key),
        owner: wallet.address(),
        farmer,
        auditor,
        start: START,
        period_seconds: 3 * DAY,
        grace_seconds: 7 * DAY,
        amounts: vec![Amount(LUMEN); 3],
        setup_sequence: wallet.outbox().next_sequence(wallet.address()).await.expect("a number"),
        merge_ledger: Plan::merge_ledger_after(newest.number),
        base_reserve: newest.base_reserve,
    };
    money.inner.store.funds().keep(plan.escrow.0, &terms).await.expect("kept");
    let fate = wallet.set_up(&plan, &key, &Limits::default(), START).await.expect("handed in");
    assert!(matches!(fate, Fate::Applied { .. }), "{fate:?}");
    (terms, plan)
}
