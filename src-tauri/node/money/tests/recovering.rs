//! An owner's node takes back what nobody settled, whatever has become of the escrow and whatever may be spent.

use std::sync::Arc;

use hayloft_core::{
    Amount, DeviceId, OwnerId, Timestamp,
    contract::{MIN_GRACE_SECONDS, Terms},
    keys::StellarKey,
    spending::Limits,
};
use hayloft_ledger::{Closing, Ledger, LedgerOptions};
use hayloft_payments::{
    Address, Horizon,
    escrow::Plan,
    horizon::HorizonOptions,
    lumens::LUMEN,
    wallet::{EscrowState, Fate},
};

use crate::{
    Clock, Node, NodeOptions,
    money::{Money, Most},
};

const START: Timestamp = Timestamp(1_900_000_000);
const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn what_nobody_settled_comes_back_though_the_escrow_is_gone_and_nothing_may_be_spent() {
    let homes: [tempfile::TempDir; 2] = std::array::from_fn(|_| tempfile::tempdir().expect("a temp folder"));
    let options =
        LedgerOptions { closing: Closing::ByHand, ..LedgerOptions::new(homes[0].path().to_owned()) };
    let ledger = Arc::new(Ledger::start(options).await.expect("a ledger"));
    ledger.set_time(Some(START.0));
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
    let clock = Clock::by_hand(START);
    let options = NodeOptions {
        home: homes[1].path().to_owned(),
        network: Some("scene".parse().expect("a name")),
        listen: vec!["/memory/0".into()],
        memory: true,
        ledger: Some(ledger.url().to_owned()),
        disk_guard_bytes: Some(0),
        clock: clock.clone(),
        ..NodeOptions::default()
    };
    let node = Node::open(options).await.expect("opens");
    let money = node.money_for_tests();
    let horizon = Horizon::new(&HorizonOptions::local(ledger.url())).expect("an address");
    let plan = set_up(&money, &horizon).await;

    // The node was away until all was over; somebody handed the merge in.
    ledger.set_time(Some(plan.merges().0));
    while ledger.newest().0 <= plan.merge_ledger {
        ledger.close_ledger().await.expect("closes");
    }
    let network = horizon.network().await.expect("a network");
    let merge = plan.merge();
    horizon.submit(&merge.clone().unsigned(), &merge.hash(&network)).await.expect("handed in");
    assert_eq!(horizon.account(plan.escrow).await.expect("asked"), None);
    let nothing = Limits { per_day: Some(Amount(0)), in_all: Some(Amount(0)) };
    money.limit(Most { spending: nothing, price: None });
    clock.set(plan.merges());

    let outbox = money.outbox().await.expect("an outbox");
    let wallet = money.wallet().await.expect("a wallet");
    let before = horizon.account(wallet.address()).await.expect("asked").expect("it is there").balance;
    money.settle_all(&outbox).await.expect("a turn");
    let after = horizon.account(wallet.address()).await.expect("asked").expect("it is there").balance;
    assert_eq!(after.0, before.0 + plan.whole().0 - 3 * 100, "all of it but the fee");
    money.settle_all(&outbox).await.expect("a turn");
    let rows = outbox.rows().escrows().await.expect("rows");
    assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), [EscrowState::Over]);
    closing.abort();
}

/// An escrow of three periods that the node's wallet pays into.
async fn set_up(money: &Money, horizon: &Horizon) -> Plan {
    let wallet = money.wallet().await.expect("a wallet");
    wallet.fund().await.expect("funded");
    let key = StellarKey::from_bytes(&rand::random());
    let [farmer, auditor] = std::array::from_fn(|_| Address::of(&StellarKey::from_bytes(&rand::random())));
    let newest = horizon.newest_ledger().await.expect("a ledger");
    let terms = Terms {
        network: "scene".parse().expect("a name"),
        owner: OwnerId([1; 32]),
        farmer: DeviceId([2; 32]),
        start: START,
        epoch_seconds: DAY as u32,
        storage_price: Amount(1),
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
    plan
}
