//! A node that is started with another ledger than the one that its escrows are on: that is a mistake, which costs nothing.

use hayloft_payments::wallet::EscrowState;

use super::bed::{BriskLedger, START, node, set_up};
use crate::{Clock, Node, NodeOptions, model::ErrorCode, money::MoneyError};

#[tokio::test]
async fn a_node_with_an_escrow_on_one_ledger_does_nothing_on_another_and_says_where_to_go_back_to() {
    let home = tempfile::tempdir().expect("a temp folder");
    let (ledger, other) = (BriskLedger::at(START).await, BriskLedger::at(START).await);
    let clock = Clock::by_hand(START);
    let first = node(home.path(), &ledger, &clock).await;
    let plan = set_up(&first.money_for_tests()).await;
    let before = first.money_for_tests().inner.store.outbox().anchor().await.expect("it can be read");
    first.shutdown().await.expect("closes");

    let astray = node(home.path(), &other, &clock).await;
    let money = astray.money_for_tests();
    let refused = money.outbox().await.err();
    assert!(
        matches!(&refused, Some(MoneyError::AnotherLedger(place)) if place.trim_end_matches('/') == ledger.url()),
        "{refused:?}"
    );
    let told = astray.wallet().await.expect_err("another ledger");
    assert_eq!(told.code, ErrorCode::Ledger);
    assert!(told.message.contains(&format!("--ledger {}", ledger.url())), "{}", told.message);
    let rows = money.inner.store.outbox();
    assert_eq!(rows.anchor().await.expect("it can be read"), before);
    let escrows = rows.escrows().await.expect("rows");
    assert!(escrows.iter().all(|row| row.state != EscrowState::Over) && escrows.len() == 1, "{escrows:?}");
    assert_eq!(other.waiting(), 0, "nothing was handed in");
    astray.shutdown().await.expect("closes");

    let back = node(home.path(), &ledger, &clock).await;
    let outbox = back.money_for_tests().outbox().await.expect("the ledger that is known");
    assert!(outbox.horizon().account(plan.escrow).await.expect("asked").is_some(), "the escrow stands");
    back.shutdown().await.expect("closes");
}

#[tokio::test]
async fn a_ledgers_address_that_is_none_is_refused_and_not_kept() {
    let home = tempfile::tempdir().expect("a temp folder");
    let open = |ledger: Option<&str>| {
        Node::open(NodeOptions {
            home: home.path().to_owned(),
            listen: vec!["/memory/0".into()],
            memory: true,
            disk_guard_bytes: Some(0),
            ledger: ledger.map(str::to_owned),
            ..NodeOptions::default()
        })
    };
    let refused = open(Some("http://x y")).await.err().expect("no address");
    assert!(refused.message.contains("web address"), "{}", refused.message);
    open(None).await.expect("it starts as before").shutdown().await.expect("closes");
}
