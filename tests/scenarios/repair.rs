//! What farmers lose is rebuilt with others on a network of real processes, by hand and without anybody's asking; the file is
//! whole throughout, also when processes are killed meanwhile, when a farmer lies, and when one leaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{ErrorCode, Job, JobKind, JobState};
use hayloft_tests::{
    Books, Devnet, Field, Member, exchange, farmers_seen, flip_in_one_percent, hayloft, job_end, kill_9,
    noise_file, settled, shard_files,
};
use rand::RngExt as _;
use serde_json::Value;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long to wait for news before it is looked once more.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A file that does not repeat, stored under this name.
fn stored(owner: &Path, scratch: &Path, name: &str, bytes: usize) -> Result<PathBuf> {
    let file = noise_file(scratch, name, bytes)?;
    hayloft(owner, ["put", file.to_str().context("a path")?])?.done()?;
    Ok(file)
}

/// Brings a file back and compares it.
fn comes_back(owner: &Path, file: &Path) -> Result<Value> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a name")?;
    let back = file.with_extension("back");
    let output = back.to_str().context("a path")?;
    let got = hayloft(owner, ["get", name, "--force", "--output", output])?.done()?;
    ensure!(std::fs::read(file)? == std::fs::read(&back)?, "{name} came back changed");
    Ok(got)
}

fn is_whole(health: &Value) -> Result<bool> {
    let segments = health["segments"].as_array().context("no segments")?;
    Ok(!segments.is_empty() && segments.iter().all(|segment| segment["alive"] == health["n"]))
}

/// Returns once all shards of a file are there; the owner tells whenever it has repaired something.
async fn becomes_whole(owner: &Client, name: &str) -> Result<()> {
    let mut news = owner.events().await?;
    let becomes = async {
        loop {
            let health = owner.health(name).await?;
            if health.segments.iter().all(|segment| segment.alive == segment.n) {
                return anyhow::Ok(());
            }
            // Whom it finds again it does not tell.
            let _ = tokio::time::timeout(ASK_AGAIN, news.next()).await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes).await.context("it is not repaired in time")?
}

#[tokio::test]
async fn shards_deleted_cut_swapped_or_changed_in_one_bit_are_found_by_audits_and_rebuilt() -> Result<()> {
    let devnet = Devnet::start(6, None)?;
    let (owner, scratch) = (devnet.owner_home()?, devnet.scratch()?);
    let files = [stored(owner, &scratch, "one", 3_000_000)?, stored(owner, &scratch, "two", 3_000_000)?];
    let of = |farmer: usize| shard_files(&devnet.farmers()[farmer].home);
    std::fs::remove_file(&of(0)?[0])?;
    let cut = of(1)?.remove(1);
    std::fs::OpenOptions::new().write(true).open(&cut)?.set_len(cut.metadata()?.len() - 1)?;
    let both = of(2)?;
    let [left, right] = &both[..] else { anyhow::bail!("two files, two shards") };
    exchange(left, right)?;
    flip_in_one_percent(&of(3)?[0])?;
    let mut failed = Vec::new();
    for name in ["one", "two"] {
        let report = hayloft(owner, ["audit", name])?.done()?;
        for verdict in report["verdicts"].as_array().context("no verdicts")? {
            if verdict["verdict"] == "failed" {
                ensure!(verdict["reason"].as_str().is_some_and(|reason| reason.ends_with('.')), "{verdict}");
                failed.push(verdict["farmer"].clone());
            }
        }
    }
    for farmer in &devnet.farmers()[..4] {
        ensure!(failed.iter().any(|failed| *failed == farmer.id), "{} passed: {failed:?}", farmer.id);
    }
    for farmer in &devnet.farmers()[4..] {
        ensure!(failed.iter().all(|failed| *failed != farmer.id), "an honest farmer failed: {failed:?}");
    }
    for file in &files {
        comes_back(owner, file)?;
    }
    for name in ["one", "two"] {
        let report = hayloft(owner, ["repair", name])?.done()?;
        ensure!(report["left_shards"] == 0, "{report}");
        let health = hayloft(owner, ["health", name])?.done()?;
        ensure!(is_whole(&health)?, "{health}");
        let verdicts = hayloft(owner, ["audit", name])?.done()?;
        let passed = verdicts["verdicts"].as_array().context("no verdicts")?;
        ensure!(passed.iter().all(|one| one["verdict"] == "passed"), "{verdicts}");
    }
    for file in &files {
        comes_back(owner, file)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_whose_farmers_vanish_is_repaired_by_itself_once_others_are_there() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "8", "--epoch", "3"])?;
    let (home, scratch, owner) = (devnet.owner_home()?, devnet.scratch()?, devnet.owner().await?);
    let file = stored(home, &scratch, "file", 3_000_000)?;
    ensure!(owner.health("file").await?.n == 8);
    for farmer in &devnet.farmers()[..4] {
        kill_9(farmer.pid)?;
    }
    // A farmer takes no shorter epochs than its own.
    let words = ["--farm", "1GB", "--disk-guard", "64MB", "--epoch", "3", "--bootstrap", devnet.bootstrap()];
    let fresh: Vec<_> =
        (0..4).map(|number| devnet.join(&format!("fresh-{number}"), &words)).collect::<Result<_>>()?;
    becomes_whole(&owner, "file").await?;
    // That is with each of the fresh ones: eight farmers have a shard each, and four of those that are left are old. They may
    // have data of the auditor's too.
    for farmer in &fresh {
        ensure!(!shard_files(farmer.home())?.is_empty(), "a fresh farmer has nothing");
    }
    ensure!(owner.jobs().await?.iter().any(|job| job.kind == JobKind::Repair), "nobody repaired it");
    comes_back(home, &file)?;
    Ok(())
}

/// Repairs a file; again if a farmer that was killed could not be reached yet.
async fn repaired(client: &Client, name: &str) -> Result<()> {
    let repaired = async {
        loop {
            let job = job_end(client, client.repair(name).await?).await?;
            match job.error {
                None => return anyhow::Ok(()),
                Some(error) => ensure!(error == ErrorCode::NotEnoughFarmers, "{job:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, repaired).await.context("it cannot be repaired")?
}

/// These farmers lose what they keep.
fn lose(farmers: &[Member]) -> Result<()> {
    for farmer in farmers {
        for shard in shard_files(farmer.home())? {
            std::fs::remove_file(shard)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_and_farmers_killed_while_a_file_is_repaired_lose_nothing_and_leave_nothing_behind()
-> Result<()> {
    const ROUNDS: usize = 8;
    let mut field = Field::new(6).await?;
    let scratch = field.scratch()?;
    let file = stored(field.owner.home(), &scratch, "file", 20_000_000)?;
    for round in 0..ROUNDS {
        lose(&field.farmers[..2])?;
        let client = field.owner.client().await?;
        let newest = client.jobs().await?.first().map_or(0, |job| job.id);
        let asked = client.repair("file").await;
        let moment = Duration::from_millis(rand::rng().random_range(0..600));
        // Not a wait for something, but the moment at which it happens.
        if let Ok(id) = asked {
            let _ = tokio::time::timeout(moment, job_end(&client, id)).await;
        }
        if round % 2 == 0 {
            field.owner.kill_9()?;
            field.owner.start()?;
        } else {
            let farmer = 2 + round % 4;
            field.farmers[farmer].kill_9()?;
            field.farmers[farmer].start()?;
        }
        let client = field.owner.client().await?;
        farmers_seen(&client, 6).await?;
        let repairs: Vec<Job> = client.jobs().await?.into_iter().filter(|job| job.id > newest).collect();
        for job in repairs {
            job_end(&client, job.id).await?;
        }
        comes_back(field.owner.home(), &file)?;
        // A repair leaves out what no farmer takes just now: one that was killed may not be found again yet.
        let whole = async {
            loop {
                repaired(&client, "file").await?;
                if is_whole(&hayloft(field.owner.home(), ["health", "file"])?.done()?)? {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.context("it is not whole again")??;
    }
    comes_back(field.owner.home(), &file)?;
    let client = field.owner.client().await?;
    client.remove(vec!["file".into()]).await?;
    all_is_gone(&field).await?;
    tokio::time::timeout(PATIENCE, settled(field.owner.home()))
        .await
        .context("the owner has more to say")??;
    field.owner.stop();
    field.farmers.iter_mut().for_each(Member::stop);
    let books = Books::read(&field).await?;
    books.agree()?;
    ensure!(books.shards() == 0 && books.unsettled.is_empty(), "{books:?}");
    Ok(())
}

/// Returns once no farmer keeps anything.
async fn all_is_gone(field: &Field) -> Result<()> {
    for farmer in &field.farmers {
        let client = farmer.client().await?;
        let mut news = client.events().await?;
        let gone = async {
            loop {
                let status = client.farm_status().await?;
                if status.used_bytes == 0 && status.reserved_bytes == 0 {
                    return anyhow::Ok(());
                }
                news.next().await.context("a farmer has ended")?;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.context("a farmer keeps what nobody knows of")??;
    }
    Ok(())
}

#[tokio::test]
async fn a_farmer_that_lies_to_a_repair_is_gone_round() -> Result<()> {
    let devnet = Devnet::start(5, None)?;
    let _liar = devnet.liar("wrong-bytes")?;
    let (home, scratch, owner) = (devnet.owner_home()?, devnet.scratch()?, devnet.owner().await?);
    farmers_seen(&owner, 6).await?;
    let file = stored(home, &scratch, "file", 3_000_000)?;
    let lost = devnet.farmers().iter().take(3);
    for farmer in lost {
        for shard in shard_files(&farmer.home)? {
            std::fs::remove_file(shard)?;
        }
    }
    let job = job_end(&owner, owner.repair("file").await?).await?;
    ensure!(job.state == JobState::Done, "{job:?}");
    // What is placed with the liar anew is no better than what it had.
    let health = owner.health("file").await?;
    ensure!(health.segments.iter().all(|segment| segment.alive + 1 >= segment.n), "{health:?}");
    comes_back(home, &file)?;
    Ok(())
}

#[tokio::test]
async fn a_farmer_leaves_and_nothing_is_lost_and_one_that_stays_after_all_keeps_what_it_has() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "5", "--epoch", "3"])?;
    let (home, scratch, owner) = (devnet.owner_home()?, devnet.scratch()?, devnet.owner().await?);
    let file = stored(home, &scratch, "file", 3_000_000)?;
    let [leaver, stayer] = &devnet.farmers()[..2] else { anyhow::bail!("five farmers") };
    let status = hayloft(&stayer.home, ["farm", "leave"])?.done()?;
    ensure!(status["accepting"] == false && status["leaving"]["shards"].as_u64() >= Some(1), "{status}");
    let status = hayloft(&stayer.home, ["farm", "leave", "--cancel"])?.done()?;
    ensure!(status["accepting"] == true && status["leaving"].is_null(), "{status}");
    hayloft(&leaver.home, ["farm", "leave"])?.done()?;
    // A farmer takes no shorter epochs than its own.
    let words = ["--farm", "1GB", "--disk-guard", "64MB", "--epoch", "3", "--bootstrap", devnet.bootstrap()];
    let fresh = devnet.join("fresh", &words)?;
    let client = Client::connect(&leaver.home).await?;
    let mut news = client.events().await?;
    let empty = async {
        while client.farm_status().await?.leaving.context("it leaves")?.shards > 0 {
            news.next().await.context("the farmer has ended")?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, empty).await.context("its shards are not moved in time")??;
    kill_9(leaver.pid)?;
    ensure!(!shard_files(fresh.home())?.is_empty(), "the fresh farmer has its shard");
    ensure!(!shard_files(&stayer.home)?.is_empty(), "the one that stays keeps nothing");
    let health = owner.health("file").await?;
    ensure!(health.segments.iter().all(|segment| segment.alive == segment.n), "{health:?}");
    comes_back(home, &file)?;
    Ok(())
}
