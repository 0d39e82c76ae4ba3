//! Audits on a network of real processes: what is lost is caught with the reason, silence is missed and then failed, the
//! auditor goes on without the owner and over its own death, and its receipts hold for anybody.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{EpochVerdict, FollowedContract, VerdictWord};
use hayloft_tests::{Devnet, hayloft, kill_9, noise_file, shard_files};
use serde_json::Value;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// A file of three megabytes that does not repeat, stored as `file`.
fn stored(devnet: &Devnet) -> Result<()> {
    let file = noise_file(&devnet.scratch()?, "file", 3_000_000)?;
    hayloft(devnet.owner_home()?, ["put", file.to_str().context("a path")?])?.done()?;
    Ok(())
}

fn audit(devnet: &Devnet) -> Result<Vec<Value>> {
    let report = hayloft(devnet.owner_home()?, ["audit", "file"])?.done()?;
    Ok(report["verdicts"].as_array().context("no verdicts")?.clone())
}

fn of<'a>(verdicts: &'a [Value], farmer: &str) -> Result<&'a Value> {
    verdicts.iter().find(|one| one["farmer"] == farmer).with_context(|| format!("{farmer}: {verdicts:?}"))
}

/// The contract with a farmer, once its auditor's verdicts are as wanted. The auditor tells of each of its verdicts.
async fn judged(
    devnet: &Devnet,
    owner: &Client,
    farmer: &str,
    wanted: impl Fn(&[EpochVerdict]) -> bool,
) -> Result<FollowedContract> {
    let becomes = async {
        let auditor = Client::connect(&devnet.auditor().home).await?;
        let mut news = auditor.events().await?;
        loop {
            let history = owner.audit_history(None).await?;
            let contract = history.followed.into_iter().find(|one| one.farmer == farmer);
            if let Some(contract) = contract
                && contract.verdicts.as_ref().is_some_and(|verdicts| wanted(verdicts))
            {
                return Ok(contract);
            }
            news.next().await.context("the auditor has ended")?;
        }
    };
    tokio::time::timeout(PATIENCE, becomes).await.context("the auditor did not judge in time")?
}

fn is(verdict: VerdictWord) -> impl Fn(&EpochVerdict) -> bool {
    move |one| one.verdict == verdict
}

#[test]
fn what_a_disk_lost_is_caught_with_the_reason_and_nobody_else_is() -> Result<()> {
    // Of so many pieces four may be lost before anything is rebuilt.
    const FARMERS: u16 = 12;
    let devnet = Devnet::start(FARMERS, None)?;
    stored(&devnet)?;
    let whole = audit(&devnet)?;
    ensure!(
        whole.len() == usize::from(FARMERS) && whole.iter().all(|one| one["verdict"] == "passed"),
        "{whole:?}"
    );
    ensure!(
        whole.iter().all(|one| one["proof_bytes"].as_u64().is_some_and(|bytes| bytes < 300)),
        "{whole:?}"
    );
    ensure!(whole.iter().all(|one| one["reason"].is_null()), "{whole:?}");

    let farmers = devnet.farmers();
    let shard = |farmer: usize| -> Result<PathBuf> {
        shard_files(&farmers[farmer].home)?.first().cloned().with_context(|| format!("no shard at {farmer}"))
    };
    std::fs::remove_file(shard(0)?)?;
    let cut = shard(1)?;
    let len = cut.metadata()?.len();
    std::fs::OpenOptions::new().write(true).open(&cut)?.set_len(len / 2)?;
    let flipped = shard(2)?;
    let mut bytes = std::fs::read(&flipped)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&flipped, bytes)?;
    std::fs::copy(shard(4)?, shard(3)?)?;

    let verdicts = audit(&devnet)?;
    for (index, farmer) in farmers.iter().enumerate() {
        let one = of(&verdicts, &farmer.id)?;
        let expected = if index < 4 { "failed" } else { "passed" };
        ensure!(one["verdict"] == expected, "farmer {index}: {one}");
        ensure!(one["reason"].is_string() == (index < 4), "farmer {index}: {one}");
    }
    let reason = of(&verdicts, &farmers[2].id)?["reason"].to_string();
    ensure!(reason.contains("does not fit"), "{reason}");
    let history = hayloft(devnet.owner_home()?, ["audit", "--history", "file"])?.done()?;
    ensure!(history["own"].as_array().is_some_and(|own| own.len() == 2 * usize::from(FARMERS)), "{history}");
    let all = hayloft(devnet.owner_home()?, ["audit", "--all"])?.done()?;
    let all = all["verdicts"].as_array().context("no verdicts")?.clone();
    for (index, farmer) in farmers.iter().enumerate() {
        let one = of(&all, &farmer.id)?;
        ensure!((one["verdict"] == "failed") == (index < 4), "farmer {index}: {one}");
    }
    Ok(())
}

#[tokio::test]
async fn an_auditor_judges_each_epoch_and_its_receipt_holds_in_an_empty_home() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "3", "--epoch", "3"])?;
    stored(&devnet)?;
    let owner = devnet.owner().await?;
    let farmer = &devnet.farmers()[0];
    let passed =
        |verdicts: &[EpochVerdict]| verdicts.iter().filter(|one| is(VerdictWord::Passed)(one)).count() > 1;
    let contract = judged(&devnet, &owner, &farmer.id, passed).await?;
    ensure!(contract.auditor == devnet.auditor().id, "{contract:?}");
    let verdicts = contract.verdicts.context("verdicts")?;
    let epoch = verdicts.iter().find(|one| is(VerdictWord::Passed)(one)).context("a pass")?.epoch.to_string();

    let receipt = devnet.scratch()?.join("receipt.json");
    let path = receipt.to_str().context("a path")?;
    let words = ["audit", "export", &farmer.id, "--epoch", &epoch, "--output", path];
    hayloft(devnet.owner_home()?, words)?.done()?;
    let empty = tempfile::tempdir()?;
    let shown = hayloft(empty.path(), ["audit", "verify", path])?.done()?;
    ensure!(shown["verdict"] == "passed" && shown["farmer"] == farmer.id.as_str(), "{shown}");
    ensure!(shown["publicly_random"] == false && shown["stands_for_epoch"] == true, "{shown}");
    ensure!(std::fs::read_dir(empty.path())?.next().is_none(), "verifying leaves nothing in the home");

    let text = std::fs::read_to_string(&receipt)?;
    let at = text.find("\"receipt\": \"").context("the proof's place")? + 400;
    let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    let forged = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
    std::fs::write(&receipt, forged)?;
    hayloft(empty.path(), ["audit", "verify", path])?.refused()?;
    Ok(())
}

#[tokio::test]
async fn a_silent_farmer_is_missed_and_then_failed_and_others_are_not() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "3", "--epoch", "2"])?;
    stored(&devnet)?;
    let owner = devnet.owner().await?;
    let (gone, there) = (&devnet.farmers()[0], &devnet.farmers()[1]);
    judged(&devnet, &owner, &gone.id, |verdicts| verdicts.iter().any(is(VerdictWord::Passed))).await?;
    kill_9(gone.pid)?;
    judged(&devnet, &owner, &gone.id, |verdicts| verdicts.iter().any(is(VerdictWord::Missed))).await?;
    let failed =
        judged(&devnet, &owner, &gone.id, |verdicts| verdicts.iter().any(is(VerdictWord::Failed))).await?;
    let verdicts = failed.verdicts.context("verdicts")?;
    let failed = verdicts.iter().find(|one| is(VerdictWord::Failed)(one)).context("failed")?;
    ensure!(failed.reason.as_deref() == Some("The farmer did not answer."), "{failed:?}");
    let other = judged(&devnet, &owner, &there.id, |verdicts| !verdicts.is_empty()).await?;
    let verdicts = other.verdicts.context("verdicts")?;
    ensure!(!verdicts.iter().any(is(VerdictWord::Failed)), "{verdicts:?}");
    Ok(())
}

/// Audits passed that a farmer's auditor tells it of.
async fn passed(farmer: &Client) -> Result<u64> {
    let status = farmer.farm_status().await?;
    Ok(status.standings.iter().map(|one| one.passed).sum())
}

/// Returns once the farmer hears of more passed audits than that.
async fn passed_more(farmer: &Client, than: u64) -> Result<u64> {
    let becomes = async {
        let mut news = farmer.events().await?;
        loop {
            let now = passed(farmer).await?;
            if now > than {
                return Ok(now);
            }
            news.next().await.context("the farmer has ended")?;
        }
    };
    tokio::time::timeout(PATIENCE, becomes).await.context("no audit passed in time")?
}

#[tokio::test]
async fn audits_go_on_while_the_owner_is_away_and_over_the_auditors_own_death() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "3", "--epoch", "2"])?;
    stored(&devnet)?;
    let owner = devnet.owner().await?;
    let farmer = &devnet.farmers()[0];
    judged(&devnet, &owner, &farmer.id, |verdicts| verdicts.iter().any(is(VerdictWord::Passed))).await?;
    kill_9(owner.pid())?;
    let farmer = Client::connect(&farmer.home).await?;
    let alone = passed_more(&farmer, 0).await?;
    let alone = passed_more(&farmer, alone).await?;
    kill_9(devnet.auditor().pid)?;
    let again = devnet.join("auditor", &["--bootstrap", devnet.bootstrap(), "--epoch", "2"])?;
    ensure!(again.id() == devnet.auditor().id, "the same auditor");
    passed_more(&farmer, alone).await?;
    Ok(())
}
