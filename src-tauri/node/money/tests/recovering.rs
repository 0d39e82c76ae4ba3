//! An owner's node takes back what nobody settled, whatever has become of the escrow and whatever may be spent.

use hayloft_core::{Amount, spending::Limits};
use hayloft_payments::{Horizon, horizon::HorizonOptions, wallet::EscrowState};

use super::bed::{BriskLedger, START, node, set_up};
use crate::{Clock, money::Most};

#[tokio::test]
async fn what_nobody_settled_comes_back_though_the_escrow_is_gone_and_nothing_may_be_spent() {
    let home = tempfile::tempdir().expect("a temp folder");
    let (ledger, clock) = (BriskLedger::at(START).await, Clock::by_hand(START));
    let node = node(home.path(), &ledger, &clock).await;
    let money = node.money_for_tests();
    let horizon = Horizon::new(&HorizonOptions::local(ledger.url())).expect("an address");
    let plan = set_up(&money).await;

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
}
