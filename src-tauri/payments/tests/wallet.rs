//! A wallet on a ledger.

use hayloft_core::{Amount, Timestamp, keys::StellarKey, spending::Limits};
use hayloft_store::outbox::{EscrowState, Fate, Role};

use super::{
    bed::{BASE_FEE, Bed, random_key},
    outbox::store,
};
use crate::{
    Address, Outbox, Wallet,
    escrow::Plan,
    horizon::Page,
    lumens::LUMEN,
    wallet::{Holdings, Kind, WalletError, csv},
};

const NO_LIMITS: Limits = Limits { per_day: None, in_all: None };
const GIFT: u64 = 10_000 * LUMEN;

async fn wallet(bed: &Bed, key: StellarKey) -> (tempfile::TempDir, Wallet) {
    let (folder, store) = store().await;
    let outbox = Outbox::new(bed.horizon.clone(), bed.network.clone(), store.outbox());
    (folder, Wallet::new(key, outbox))
}

fn now(bed: &Bed) -> Timestamp {
    Timestamp(bed.ledger.newest().1)
}

async fn plan(bed: &Bed, wallet: &Wallet, escrow: &StellarKey) -> Plan {
    let newest = bed.horizon.newest_ledger().await.unwrap();
    Plan {
        escrow: Address::of(escrow),
        owner: wallet.address(),
        farmer: Address::of(&bed.party().await),
        auditor: Address::of(&bed.party().await),
        start: now(bed),
        period_seconds: 10,
        grace_seconds: 100,
        amounts: vec![Amount(3 * LUMEN); 2],
        setup_sequence: wallet.outbox().next_sequence(wallet.address()).await.unwrap(),
        merge_ledger: Plan::merge_ledger_after(newest.number),
        base_reserve: newest.base_reserve,
    }
}

#[tokio::test]
async fn a_new_wallet_funds_itself_once() {
    let bed = Bed::new().await;
    let (_folder, wallet) = wallet(&bed, random_key()).await;
    assert_eq!(wallet.holdings().await.unwrap(), Holdings::default());
    bed.closing(wallet.fund()).await.unwrap();
    wallet.fund().await.unwrap();
    let holdings = wallet.holdings().await.unwrap();
    assert_eq!(holdings, Holdings { free: Amount(GIFT - LUMEN), reserved: Amount(LUMEN) });
}

#[tokio::test]
async fn lumens_are_sent_to_accounts_that_exist_and_told_with_what_they_were_for() {
    let bed = Bed::new().await;
    let (_folder, wallet) = wallet(&bed, bed.party().await).await;
    let other = bed.party().await;
    let to = Address::of(&other);
    let send = async |to, amount, memo: Option<&str>| {
        bed.closing(wallet.send(to, Amount(amount), memo, &NO_LIMITS, now(&bed))).await
    };
    assert!(matches!(send(to, 0, None).await, Err(WalletError::BadAmount)));
    assert!(matches!(send(to, u64::MAX, None).await, Err(WalletError::BadAmount)));
    assert!(matches!(send(wallet.address(), 1, None).await, Err(WalletError::ToItself)));
    assert!(matches!(send(Address([9; 32]), 1, None).await, Err(WalletError::NoDestination)));
    assert!(matches!(send(to, 1, Some(&"x".repeat(29))).await, Err(WalletError::LongMemo)));
    let all = send(to, GIFT - LUMEN, None).await;
    assert!(matches!(all, Err(WalletError::TooLittle { .. })), "{all:?}");
    let fate = send(to, 7, Some("for hay")).await.unwrap();
    assert!(matches!(fate, Fate::Applied { .. }));
    bed.pay(&other, wallet.address(), Amount(3)).await;
    let entries = wallet.history(&Page::default()).await.unwrap();
    let told: Vec<(Kind, bool, Option<Amount>)> =
        entries.iter().map(|entry| (entry.kind.clone(), entry.incoming, entry.amount)).collect();
    let memo = Some("for hay".to_owned());
    assert_eq!(
        told,
        [
            (Kind::Funded, true, Some(Amount(GIFT))),
            (Kind::Sent { memo }, false, Some(Amount(7))),
            (Kind::Received, true, Some(Amount(3))),
        ]
    );
    assert_eq!(csv(&entries).lines().count(), 4);
}

#[tokio::test]
async fn what_is_in_escrow_is_told_apart_and_comes_back_when_nobody_settles() {
    let bed = Bed::new().await;
    let (_folder, wallet) = wallet(&bed, bed.party().await).await;
    let escrow = random_key();
    let plan = plan(&bed, &wallet, &escrow).await;
    let tight = Limits { per_day: Some(Amount(LUMEN)), in_all: None };
    let refused = bed.closing(wallet.set_up(&plan, &escrow, &tight, now(&bed))).await;
    assert!(matches!(refused, Err(WalletError::Send(_))), "{refused:?}");
    let before = wallet.holdings().await.unwrap();
    let fate = bed.closing(wallet.set_up(&plan, &escrow, &NO_LIMITS, now(&bed))).await.unwrap();
    assert!(matches!(fate, Fate::Applied { .. }));
    let after = wallet.holdings().await.unwrap();
    assert_eq!(after.reserved.0 - before.reserved.0, plan.locks().0);
    let in_escrow = wallet.in_escrow().await.unwrap();
    assert_eq!(in_escrow.0, plan.whole().0 + plan.reserve().0);
    let fee = 8 * u64::from(BASE_FEE);
    assert_eq!(before.free.0, after.free.0 + in_escrow.0 + plan.locks().0 + fee);
    assert_eq!(wallet.escrows().await.unwrap(), [(plan.clone(), Role::Owner, EscrowState::Seen)]);

    bed.at(110).await;
    let one = bed.closing(wallet.recover(&plan, &NO_LIMITS, now(&bed))).await.unwrap();
    assert!(matches!(one, Some(Fate::Applied { .. })));
    assert_eq!(wallet.recover(&plan, &NO_LIMITS, now(&bed)).await.unwrap(), None);
    assert_eq!(wallet.in_escrow().await.unwrap().0, 3 * LUMEN + plan.reserve().0);
    let kinds: Vec<Kind> =
        wallet.history(&Page::default()).await.unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Funded, Kind::Escrow]);
}

#[tokio::test]
async fn an_escrow_that_was_never_handed_in_is_over_only_once_its_setup_can_no_longer_get_in() {
    let bed = Bed::new().await;
    let (_folder, wallet) = wallet(&bed, bed.party().await).await;
    let state = async || {
        wallet.reconcile().await.unwrap();
        wallet.escrows().await.unwrap().last().unwrap().2
    };
    let escrow = random_key();
    let late = plan(&bed, &wallet, &escrow).await;
    wallet.keep(&late, Role::Owner, EscrowState::Expected).await.unwrap();
    // A turn that looks between the plan and its row.
    assert_eq!(state().await, EscrowState::Expected);
    let setup = late.setup_signed_by_escrow(&escrow, &bed.network, Amount(100), bed.time(300));
    bed.submit(&wallet.sign(setup)).await;
    assert_eq!(state().await, EscrowState::Seen);
    assert_eq!(wallet.in_escrow().await.unwrap().0, late.whole().0 + late.reserve().0);

    let forgotten = plan(&bed, &wallet, &random_key()).await;
    wallet.keep(&forgotten, Role::Owner, EscrowState::Expected).await.unwrap();
    let of = async |plan: &Plan| {
        wallet.reconcile().await.unwrap();
        let escrows = wallet.escrows().await.unwrap();
        escrows.into_iter().find(|(kept, ..)| kept == plan).unwrap().2
    };
    assert_eq!(of(&forgotten).await, EscrowState::Expected);
    while bed.ledger.newest().0 < forgotten.merge_ledger {
        assert_eq!(of(&forgotten).await, EscrowState::Expected);
        bed.ledger.close_ledger().await.unwrap();
    }
    assert_eq!(of(&forgotten).await, EscrowState::Over);

    let outrun = plan(&bed, &wallet, &random_key()).await;
    wallet.keep(&outrun, Role::Owner, EscrowState::Expected).await.unwrap();
    let (to, limits) = (outrun.farmer, NO_LIMITS);
    bed.closing(wallet.send(to, Amount(1), None, &limits, now(&bed))).await.unwrap();
    assert_eq!(of(&outrun).await, EscrowState::Over, "another transaction has its number");
}

#[tokio::test]
async fn an_escrow_is_not_over_while_anything_is_locked_for_it() {
    let bed = Bed::new().await;
    let (_folder, wallet) = wallet(&bed, bed.party().await).await;
    let escrow = random_key();
    let plan = plan(&bed, &wallet, &escrow).await;
    bed.closing(wallet.set_up(&plan, &escrow, &NO_LIMITS, now(&bed))).await.unwrap();
    // This node was away all the time, and somebody handed the merge in.
    wallet.keep(&plan, Role::Owner, EscrowState::Expected).await.unwrap();
    bed.at(plan.merges().seconds_since(bed.time(0))).await;
    while bed.ledger.newest().0 <= plan.merge_ledger {
        bed.ledger.close_ledger().await.unwrap();
    }
    bed.submit(&plan.merge().unsigned()).await;
    assert_eq!(bed.horizon.account(plan.escrow).await.unwrap(), None);
    wallet.reconcile().await.unwrap();
    assert_eq!(wallet.escrows().await.unwrap()[0].2, EscrowState::Seen);
    let fate = bed.closing(wallet.recover(&plan, &NO_LIMITS, now(&bed))).await.unwrap();
    assert!(matches!(fate, Some(Fate::Applied { .. })), "{fate:?}");
}
