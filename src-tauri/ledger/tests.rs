//! The ledger as a whole, in this process, with ledgers that close when a test says so.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::{Closing, Ledger, LedgerError, LedgerOptions};

const SOMEBODY: &str = "GATTMQEODSDX45WZK2JFIYETXWYCU5GRJ5I3Z7P2UDYD6YFVONDM4CX4";

async fn start(home: &Path) -> Ledger {
    let options = LedgerOptions { closing: Closing::ByHand, ..LedgerOptions::new(home.to_owned()) };
    Ledger::start(options).await.unwrap()
}

async fn get(url: String) -> (u16, Value) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Asks for an account for somebody, and answers once its transaction waits.
async fn ask_friendbot(ledger: &Ledger) -> tokio::task::JoinHandle<(u16, Value)> {
    let asked = tokio::spawn(get(format!("{}/friendbot?addr={SOMEBODY}", ledger.url())));
    ledger.until_waiting(1).await;
    asked
}

async fn execute(home: &Path, sql: &'static str) {
    let path = format!("sqlite://{}", home.join("ledger.db").display());
    let mut connection = SqliteConnection::connect(&path).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn ledgers_close_by_hand_at_the_time_that_is_set_and_never_before() {
    let home = tempfile::tempdir().unwrap();
    let ledger = start(home.path()).await;
    let (number, began) = ledger.newest();
    ledger.set_time(Some(began + 1000));
    let asked = ask_friendbot(&ledger).await;
    assert_eq!((ledger.newest(), ledger.waiting()), ((number, began), 1));
    ledger.close_ledger().await.unwrap();
    let (status, record) = asked.await.unwrap();
    assert_eq!((status, &record["ledger"]), (200, &Value::from(number + 1)));
    assert_eq!((ledger.newest(), ledger.waiting()), ((number + 1, began + 1000), 0));
    ledger.set_time(Some(began));
    ledger.close_ledger().await.unwrap();
    assert_eq!(ledger.newest(), (number + 2, began + 1000));
    ledger.shutdown().await;
}

#[tokio::test]
async fn a_ledger_started_again_goes_on_where_it_was_and_no_two_share_a_folder() {
    let home = tempfile::tempdir().unwrap();
    let ledger = start(home.path()).await;
    let asked = ask_friendbot(&ledger).await;
    ledger.close_ledger().await.unwrap();
    assert_eq!(asked.await.unwrap().0, 200);
    let options = LedgerOptions::new(home.path().to_owned());
    assert!(matches!(Ledger::start(options).await, Err(LedgerError::Busy { .. })));
    let (passphrase, newest) = (ledger.passphrase().to_owned(), ledger.newest());
    let before = get(format!("{}/accounts/{SOMEBODY}", ledger.url())).await.1;
    ledger.shutdown().await;

    let ledger = start(home.path()).await;
    assert_eq!((ledger.passphrase(), ledger.newest()), (passphrase.as_str(), newest));
    let after = get(format!("{}/accounts/{SOMEBODY}", ledger.url())).await.1;
    assert_eq!((&after["sequence"], &after["balances"]), (&before["sequence"], &before["balances"]));
    ledger.close_ledger().await.unwrap();
    let one = get(format!("{}/ledgers/{}", ledger.url(), newest.0)).await.1;
    let next = get(format!("{}/ledgers/{}", ledger.url(), newest.0 + 1)).await.1;
    assert_eq!(one["hash"], next["prev_hash"]);
    ledger.shutdown().await;
}

#[tokio::test]
async fn two_networks_never_have_the_same_passphrase() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (start(one.path()).await, start(other.path()).await);
    assert_ne!(one.passphrase(), other.passphrase());
    let root = get(format!("{}/", one.url())).await.1;
    assert_eq!(root["network_passphrase"], one.passphrase());
    one.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_is_not_closed_and_its_transactions_may_be_offered_again() {
    let home = tempfile::tempdir().unwrap();
    let ledger = start(home.path()).await;
    let newest = ledger.newest();
    execute(home.path(), "ALTER TABLE operation_accounts RENAME TO elsewhere").await;
    let asked = ask_friendbot(&ledger).await;
    assert!(ledger.close_ledger().await.is_err());
    assert_eq!(asked.await.unwrap().0, 503);
    assert_eq!((ledger.newest(), ledger.waiting()), (newest, 0));
    execute(home.path(), "ALTER TABLE elsewhere RENAME TO operation_accounts").await;
    let asked = ask_friendbot(&ledger).await;
    assert_eq!(ledger.close_ledger().await.unwrap(), newest.0 + 1);
    assert_eq!(asked.await.unwrap().0, 200);
    ledger.shutdown().await;
}

#[tokio::test]
async fn whoever_waits_when_the_ledger_shuts_down_is_told() {
    let home = tempfile::tempdir().unwrap();
    let ledger = start(home.path()).await;
    let asked = ask_friendbot(&ledger).await;
    ledger.shutdown().await;
    assert_eq!(asked.await.unwrap().0, 503);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error_and_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.db");
    std::fs::write(&path, [7; 8192]).unwrap();
    let options = LedgerOptions::new(home.path().to_owned());
    assert!(matches!(Ledger::start(options).await, Err(LedgerError::Database(_))));
    assert_eq!(std::fs::read(&path).unwrap(), [7; 8192]);
}

#[tokio::test]
async fn a_stream_ends_with_a_goodbye_when_the_ledger_shuts_down() {
    let home = tempfile::tempdir().unwrap();
    let ledger = start(home.path()).await;
    let client = reqwest::Client::new();
    let request =
        client.get(format!("{}/ledgers?cursor=now", ledger.url())).header("accept", "text/event-stream");
    let answer = request.send().await.unwrap();
    let text = tokio::spawn(answer.text());
    let number = ledger.close_ledger().await.unwrap();
    let next = ledger.close_ledger().await.unwrap();
    ledger.shutdown().await;
    let text = text.await.unwrap().unwrap();
    assert!(text.starts_with("retry: 1000\nevent: open\ndata: \"hello\"\n\n"), "{text}");
    // It was opened before the first of the two closed.
    for number in [number, next] {
        assert!(text.contains(&format!("\n\nid: {}\ndata: {{", u64::from(number) << 32)), "{number}: {text}");
    }
    assert!(text.ends_with("event: close\ndata: \"byebye\"\n\n"), "{text}");
}
