//! How many transactions a second the local ledger sustains: ten thousand accounts, each paying another, sent over HTTP by as
//! many clients as wait for a ledger that closes every second. The ledger is a process of its own; who sends shares its cores.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hayloft_core::{Amount, keys::StellarKey};
use hayloft_payments::{
    Address, Draft, Horizon, Network,
    envelope::{Do, Memo, Signed, Step, Window},
    horizon::{HorizonError, HorizonOptions, Submission},
};
use hayloft_tests::Ledger;

use crate::{
    coding::LONG_ENOUGH,
    table::{Table, Target},
    usage::{cpu_seconds, memory_mb},
};

const ACCOUNTS: usize = 10_000;
/// Accounts that one transaction can make.
const MADE_AT_ONCE: usize = 100;
/// Transactions of each account.
const ROUNDS: i64 = 6;
/// Requests under way: more than a second's worth, since each waits for its ledger.
const AT_ONCE: usize = 4_000;
/// Thousands of connections at once overflow the socket's queue.
const TRIES: usize = 20;
const FUNDS: Amount = Amount(500_000_000);
const FEE: u32 = 100;

/// Adds the rate, and what the ledger takes for it.
pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let verified = verifications_per_second()?;
    let home = tempfile::tempdir()?;
    let ledger = Ledger::start(home.path(), "127.0.0.1:0")?;
    let horizon = Horizon::new(&HorizonOptions::local(ledger.url()))?;
    let network = horizon.network().await?;
    let keys: Vec<StellarKey> = (0..ACCOUNTS).map(key).collect();
    let born = found(&horizon, &network, &keys).await?;
    let transactions: Vec<Signed> = (1..=ROUNDS)
        .flat_map(|round| (0..ACCOUNTS).map(move |index| (round, index)))
        .map(|(round, index)| {
            let to = Address(keys[(index + 1) % ACCOUNTS].public());
            let pay = vec![Do::Pay { to, amount: Amount(1) }];
            signed(&keys[index], &network, born[index] + round, pay)
        })
        .collect();
    let (begun, before) = (Instant::now(), cpu_seconds(ledger.pid())?);
    let next = AtomicUsize::new(0);
    try_join_all((0..AT_ONCE).map(async |_| {
        while let Some(signed) = transactions.get(next.fetch_add(1, Ordering::Relaxed)) {
            submit(&horizon, &network, signed).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let rate = transactions.len() as f64 / begun.elapsed().as_secs_f64();
    let spent = (cpu_seconds(ledger.pid())? - before) * 1e6 / transactions.len() as f64;
    let note = format!(
        "{} of {ACCOUNTS} accounts, {:.2} × one core's Ed25519 verifications; processor of the ledger: {spent:.0} µs each",
        transactions.len(),
        rate / verified,
    );
    table.figure("ledger: transactions per second", rate, "", Target::AtLeast(2000.0), note);
    let note = format!("with {AT_ONCE} requests under way");
    let peak = memory_mb(ledger.pid(), "VmHWM")?;
    table.figure("ledger: peak memory", peak, "MB", Target::None, note);
    Ok(())
}

fn key(index: usize) -> StellarKey {
    StellarKey::from_bytes(blake3::hash(&index.to_be_bytes()).as_bytes())
}

fn signed(key: &StellarKey, network: &Network, sequence: i64, deeds: Vec<Do>) -> Signed {
    let draft = Draft {
        source: Address(key.public()),
        sequence,
        fee: FEE * deeds.len() as u32,
        window: Window::default(),
        memo: Memo::None,
        steps: deeds.into_iter().map(|deed| Step { by: None, deed }).collect(),
    };
    draft.unsigned().signed(key, network)
}

/// Returns the ledger that it is in.
async fn submit(horizon: &Horizon, network: &Network, signed: &Signed) -> Result<u32> {
    let hash = signed.draft().hash(network);
    let mut tries = 0;
    loop {
        tries += 1;
        match horizon.submit(signed, &hash).await {
            Ok(Submission::Applied { ledger }) => return Ok(ledger),
            Err(HorizonError::Unreachable(_)) if tries < TRIES => {}
            other => anyhow::bail!("a transaction was not taken: {other:?}"),
        }
    }
}

/// Makes the accounts and gives their sequence numbers.
async fn found(horizon: &Horizon, network: &Network, keys: &[StellarKey]) -> Result<Vec<i64>> {
    let makers: Vec<StellarKey> = (ACCOUNTS..ACCOUNTS + ACCOUNTS / MADE_AT_ONCE).map(key).collect();
    let made = makers.iter().zip(keys.chunks(MADE_AT_ONCE)).map(async |(maker, keys)| {
        let address = Address(maker.public());
        horizon.befriend(address).await?;
        let account = horizon.account(address).await?.context("the friendbot made no account")?;
        let create = |key: &StellarKey| Do::Create { account: Address(key.public()), balance: FUNDS };
        let creation = signed(maker, network, account.sequence + 1, keys.iter().map(create).collect());
        let ledger = submit(horizon, network, &creation).await?;
        // A new account's sequence number has the number of its ledger in the upper half.
        anyhow::Ok(vec![i64::from(ledger) << 32; keys.len()])
    });
    Ok(try_join_all(made).await?.concat())
}

/// Of Ed25519, by the same library that the ledger uses, on one core.
fn verifications_per_second() -> Result<f64> {
    let (key, network) = (key(0), Network::new("a bench", hayloft_payments::network::Kind::Local)?);
    let signed = signed(&key, &network, 1, vec![Do::Merge { into: Address(key.public()) }]);
    let me = std::process::id();
    let (begun, mut count) = (cpu_seconds(me)?, 0.0);
    while cpu_seconds(me)? - begun < LONG_ENOUGH {
        for _ in 0..1000 {
            ensure!(signed.is_signed_by(Address(key.public()), &network), "a signature does not fit");
        }
        count += 1000.0;
    }
    Ok(count / (cpu_seconds(me)? - begun))
}
