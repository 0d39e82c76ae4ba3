//! `hayloft ledger`: a local ledger in the foreground, until told to stop.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use hayloft_ledger::{Closing, Ledger, LedgerOptions};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::connect::Place;
use crate::output::Output;
use crate::stop;

/// Where a home keeps its ledger.
const FOLDER: &str = "ledger";

/// What a ledger says once it is up: the one JSON document of `hayloft ledger --json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
    /// Its address.
    pub(crate) ledger: String,
    pub(crate) passphrase: String,
    pub(crate) home: PathBuf,
    pub(crate) pid: u32,
}

/// Runs a ledger until it is asked to stop.
pub(crate) async fn run(place: &Place, wish: args::Ledger, output: Output) -> Result<()> {
    let home = place.home()?;
    let closing = Closing::Every(Duration::from_millis(wish.close_every));
    let options = LedgerOptions { listen: wish.listen, closing, ..LedgerOptions::new(home.join(FOLDER)) };
    let stop = stop::asked(wish.until_stdin_closes);
    tokio::pin!(stop);
    let ledger = Ledger::start(options).await?;
    let ready = Ready {
        ready: true,
        ledger: ledger.url().to_owned(),
        passphrase: ledger.passphrase().to_owned(),
        home,
        pid: std::process::id(),
    };
    let told = output.result(&ready, || {
        format!(
            "A ledger is up at {}. Stop it with Ctrl-C. Its network passphrase:\n  {}",
            ledger.url(),
            ledger.passphrase()
        )
    });
    if told.is_ok() {
        stop.await;
    }
    ledger.shutdown().await;
    told
}
