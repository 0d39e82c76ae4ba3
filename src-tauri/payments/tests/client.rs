//! The client and a ledger that keeps Stellar's rules.

use std::time::Duration;

use hayloft_core::Amount;
use hayloft_ledger::{Closing, Ledger, LedgerOptions};

use super::bed::{Bed, random_key};
use crate::{
    Address, Horizon, HorizonError,
    envelope::{Do, Lock, Step},
    horizon::{
        Cursor, Deed, HorizonOptions, Limits, MAX_LIMIT, Order, Page, Predicate, Submission,
        anchor::{Continuity, Sign},
    },
    lumens::LUMEN,
    network::{Kind, NetworkError},
};

const GIFT: Amount = Amount(10_000 * LUMEN);

#[tokio::test]
async fn an_account_is_found_with_all_that_it_holds_or_not_at_all() {
    let bed = Bed::new().await;
    let (key, other) = (bed.party().await, Address([7; 32]));
    let address = Address::of(&key);
    assert_eq!(bed.horizon.account(Address::of(&random_key())).await.unwrap(), None);
    let before = bed.account(address).await;
    assert_eq!((before.balance, before.subentries, before.thresholds), (GIFT, 0, [0; 3]));
    let signer = Step { by: None, deed: Do::Sign { who: Lock::Transaction([9; 32]), weight: 3 } };
    let lock = Step {
        by: None,
        deed: Do::Lock { amount: Amount(50), claimants: vec![(other, bed.time(77)), (address, bed.time(0))] },
    };
    let draft = bed.draft(address, vec![signer, lock]).await;
    let id = draft.balance_id(1);
    assert!(matches!(
        bed.submit(&draft.unsigned().signed(&key, &bed.network)).await,
        Submission::Applied { .. }
    ));
    let after = bed.account(address).await;
    assert_eq!((after.sequence, after.subentries, after.sponsoring), (before.sequence + 1, 1, 2));
    assert_eq!(after.balance, Amount(GIFT.0 - 250));
    let ledger = bed.horizon.newest_ledger().await.unwrap();
    assert_eq!(after.reserve(ledger.base_reserve), Amount(5 * 5_000_000));
    assert_eq!(after.free(ledger.base_reserve), Amount(GIFT.0 - 250 - 25_000_000));
    assert!(after.signers.iter().any(|signer| signer.weight == 3));

    let found = bed.horizon.balance(id).await.unwrap().unwrap();
    let listed = bed.horizon.balances(other, &Page::default()).await.unwrap();
    assert_eq!((listed.as_slice(), found.amount), (&[found.clone()][..], Some(Amount(50))));
    let claimant = found.claimants.iter().find(|claimant| claimant.who == other).unwrap();
    assert_eq!(claimant.when, Predicate::from(bed.time(77)));
    assert_eq!(bed.horizon.balances(Address([8; 32]), &Page::default()).await.unwrap(), []);
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_and_hold_everything_once() {
    let bed = Bed::new().await;
    let (key, other) = (bed.party().await, bed.party().await);
    for amount in 1..=5 {
        bed.pay(&key, Address::of(&other), Amount(amount)).await;
    }
    for (order, expected) in [(Order::OldestFirst, [1, 2, 3, 4, 5]), (Order::NewestFirst, [5, 4, 3, 2, 1])] {
        let mut page = Some(Page { order, limit: 2, ..Page::default() });
        let mut seen = Vec::new();
        while let Some(asked) = page {
            let records = bed.horizon.payments(Address::of(&key), &asked).await.unwrap();
            page = asked.after(&records);
            seen.extend(records.into_iter().filter_map(|record| match record.deed {
                Deed::Paid { amount, .. } => Some(amount.0),
                _ => None,
            }));
        }
        assert_eq!(seen, expected);
    }
    let all = bed.horizon.transactions(Address::of(&key), &Page::default()).await.unwrap();
    assert_eq!(all.len(), 6);
    let operations = bed.horizon.operations(Address::of(&key), &Page::default()).await.unwrap();
    assert_eq!(operations.len(), 6);
    let newest = bed.horizon.newest_ledger().await.unwrap();
    let ledgers = bed.horizon.ledgers(&Page { limit: MAX_LIMIT, ..Page::default() }).await.unwrap();
    assert_eq!((ledgers.len(), ledgers.last()), (newest.number as usize, Some(&newest)));
    assert!(ledgers.windows(2).all(|pair| pair[1].previous == Some(pair[0].hash)));
    assert_eq!(bed.horizon.ledger(newest.number).await.unwrap(), Some(newest.clone()));
    assert_eq!(bed.horizon.ledger(newest.number + 1).await.unwrap(), None);
    assert_eq!(bed.horizon.fees().await.unwrap().base, Amount(100));
}

#[tokio::test]
async fn a_transaction_is_answered_once_its_ledger_closed_and_its_twin_alike() {
    let bed = Bed::new().await;
    let (key, other) = (bed.party().await, bed.party().await);
    let step = |amount| Step { by: None, deed: Do::Pay { to: Address::of(&other), amount } };
    let draft = bed.draft(Address::of(&key), vec![step(Amount(3))]).await;
    let signed = draft.clone().unsigned().signed(&key, &bed.network);
    let hash = draft.hash(&bed.network);
    assert_eq!(bed.horizon.transaction(&hash).await.unwrap(), None);
    let first = bed.submit(&signed).await;
    let Submission::Applied { ledger } = first else { panic!("{first:?}") };
    assert_eq!(bed.submit(&signed).await, first, "nothing is paid by handing it in again");
    let recorded = bed.horizon.transaction(&hash).await.unwrap().unwrap();
    assert_eq!((recorded.ledger, recorded.successful, recorded.fee), (ledger, true, Amount(100)));
    assert_eq!(recorded.envelope, signed.to_bytes());
    assert_eq!(bed.balance(Address::of(&other)).await, Amount(GIFT.0 + 3));

    // Another one with the number that is used.
    let late = draft.clone();
    let late = crate::Draft { steps: vec![step(Amount(4))], ..late };
    let declined = bed.submit(&late.clone().unsigned().signed(&key, &bed.network)).await;
    let Submission::Declined(codes) = declined else { panic!("{declined:?}") };
    assert_eq!((codes.transaction.as_str(), codes.operations.len()), ("tx_bad_seq", 0));
    assert_eq!(bed.horizon.transaction(&late.hash(&bed.network)).await.unwrap(), None);
    // One that fails in its ledger: its number and its fee are gone.
    let step = Step { by: None, deed: Do::Pay { to: Address([7; 32]), amount: Amount(1) } };
    let failing = bed.draft(Address::of(&key), vec![step]).await;
    let declined = bed.submit(&failing.clone().unsigned().signed(&key, &bed.network)).await;
    let Submission::Declined(codes) = declined else { panic!("{declined:?}") };
    assert_eq!(codes.operations, ["op_no_destination"]);
    let recorded = bed.horizon.transaction(&failing.hash(&bed.network)).await.unwrap().unwrap();
    assert!(!recorded.successful);
}

#[tokio::test]
async fn payments_are_told_as_they_happen_and_once_also_over_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let options = LedgerOptions { closing: Closing::ByHand, ..LedgerOptions::new(home.path().to_owned()) };
    let ledger = Ledger::start(options.clone()).await.unwrap();
    let address: std::net::SocketAddr = ledger.url().strip_prefix("http://").unwrap().parse().unwrap();
    let limits = Limits { reconnect: Duration::from_millis(10), ..Limits::default() };
    let horizon = Horizon::new(&HorizonOptions { limits, ..HorizonOptions::local(ledger.url()) }).unwrap();
    let somebody = Address::of(&random_key());
    let mut events = horizon.payment_events(somebody, Cursor::Start);
    let befriended = tokio::spawn({
        let horizon = horizon.clone();
        async move { horizon.befriend(somebody).await }
    });
    ledger.until_waiting(1).await;
    ledger.close_ledger().await.unwrap();
    befriended.await.unwrap().unwrap();
    let told = events.next().await.unwrap();
    assert_eq!(told.deed, Deed::Created { account: somebody, balance: GIFT });

    let mut ledgers = horizon.ledger_events(Cursor::Start);
    for number in 1..=2 {
        assert_eq!(ledgers.next().await.unwrap().number, number);
    }
    ledger.shutdown().await;
    let ledger = Ledger::start(LedgerOptions { listen: address, ..options }).await.unwrap();
    let number = ledger.close_ledger().await.unwrap();
    loop {
        // While the ledger is away, that is told; then it goes on.
        if let Ok(record) = ledgers.next().await {
            assert_eq!(record.number, number);
            break;
        }
    }
    ledger.shutdown().await;
}

#[tokio::test]
async fn a_ledger_that_began_anew_is_noticed() {
    let bed = Bed::new().await;
    let anchor = bed.horizon.anchor().await.unwrap();
    bed.at(5).await;
    assert_eq!(bed.horizon.continuity(&anchor).await.unwrap(), Continuity::Same);
    let other = Bed::new().await;
    assert_eq!(other.horizon.continuity(&anchor).await.unwrap(), Continuity::Reset(Sign::Passphrase));
    let mut forked = anchor;
    forked.hash[0] ^= 1;
    assert_eq!(bed.horizon.continuity(&forked).await.unwrap(), Continuity::Reset(Sign::History));
}

#[tokio::test]
async fn a_local_ledger_is_not_taken_for_the_test_network() {
    let bed = Bed::new().await;
    let options = HorizonOptions { kind: Kind::Test, ..HorizonOptions::local(bed.ledger.url()) };
    let asked = Horizon::new(&options).unwrap().network().await;
    assert!(matches!(asked, Err(HorizonError::Network(NetworkError::Other))));
}
