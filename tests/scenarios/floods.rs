//! Strangers who attack as hard as they can: whatever they do, the node's memory stays within a stated bound, and honest
//! owners put and get files meanwhile, old ones and such as come only now.
//!
//! Attacks of one family meet the same farmer one after the other. Bounds are for what it holds at most beyond what it held
//! before the first of them, in a development build: what an attack leaves behind counts against the next.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_tests::{Devnet, Memory, NodeProcess, farmers_seen, hayloft};
use rand::RngExt as _;

/// How long to wait for news before it is looked once more.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const MIB: u64 = 1 << 20;
const FILE_BYTES: usize = 3 << 20;

fn noise() -> Vec<u8> {
    let mut bytes = vec![0; FILE_BYTES];
    rand::rng().fill(&mut bytes[..]);
    bytes
}

/// Stores a file and brings it back.
fn works(home: &Path, scratch: &Path, name: &str) -> Result<()> {
    let (file, back) = (scratch.join(name), scratch.join(format!("{name}-back")));
    let bytes = noise();
    std::fs::write(&file, &bytes)?;
    let text = |path: &PathBuf| path.to_str().map(str::to_owned).context("not Unicode");
    hayloft(home, ["put", &text(&file)?])?.done().context("an honest put failed")?;
    hayloft(home, ["get", name, "--output", &text(&back)?])?.done().context("an honest get failed")?;
    ensure!(std::fs::read(&back)? == bytes, "{name} came back changed");
    Ok(())
}

async fn works_beside(home: &Path, scratch: &Path, name: &str) -> Result<()> {
    let (home, scratch, name) = (home.to_owned(), scratch.to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || works(&home, &scratch, &name)).await?
}

/// An owner who was never here before.
async fn newcomer(devnet: &Devnet, name: &str) -> Result<NodeProcess> {
    let home = devnet.scratch()?.join(format!("{name}-newcomer"));
    hayloft(&home, ["--network", devnet.network(), "init"])?.done()?;
    let node = NodeProcess::start(&home, devnet.network(), &["--bootstrap", devnet.bootstrap()])?;
    farmers_seen(&node.client().await?, 1).await?;
    Ok(node)
}

/// Attacks the only farmer there is in these ways, each with the most MiB that it may take.
async fn farmer_withstands(attacks: &[(&str, u64)]) -> Result<()> {
    let devnet = Devnet::start(1, None)?;
    let owner = devnet.owner_home()?;
    let scratch = devnet.scratch()?;
    farmers_seen(&devnet.owner().await?, 1).await?;
    works(owner, &scratch, "before")?;
    let farmer = &devnet.farmers()[0];
    let quiet = Memory::of(farmer.pid)?;
    for (attack, bound_mib) in attacks {
        let begin = Instant::now();
        Memory::forget_peak(farmer.pid)?;
        let flood = devnet.flood(attack, &Client::connect(&farmer.home).await?).await?;
        let stands = begin.elapsed();
        works_beside(owner, &scratch, attack).await.with_context(|| format!("under {attack}"))?;
        let newcomer = newcomer(&devnet, attack).await.with_context(|| format!("under {attack}"))?;
        let works = works_beside(newcomer.home(), &scratch, &format!("{attack}-new")).await;
        works.with_context(|| format!("a newcomer's, under {attack}"))?;
        println!("{attack} stood after {stands:.1?} and was over after {:.1?}", begin.elapsed());
        within(attack, flood.count(), quiet, Memory::of(farmer.pid)?, *bound_mib)?;
    }
    Ok(())
}

fn within(attack: &str, count: u64, quiet: Memory, after: Memory, bound_mib: u64) -> Result<()> {
    let added = after.peak_bytes.saturating_sub(quiet.now_bytes) / MIB;
    println!("{attack}: {count} begun, {} MiB at rest, {added} MiB more at most", quiet.now_bytes / MIB);
    ensure!(count > 0, "{attack} did not come about");
    ensure!(added <= bound_mib, "{attack} took {added} MiB, more than {bound_mib}");
    Ok(())
}

#[tokio::test]
async fn requests_that_drip_never_end_or_lie_about_their_length_keep_nobody_waiting() -> Result<()> {
    farmer_withstands(&[("drip-requests", 96), ("endless-requests", 96), ("wrong-lengths", 96)]).await
}

#[tokio::test]
async fn half_open_connections_and_more_than_there_are_places_keep_nobody_out() -> Result<()> {
    let half_open = [("half-open-tcp", 64), ("half-open-quic", 96)];
    farmer_withstands(&[half_open[0], half_open[1], ("connections-of-one", 96), ("connections-of-many", 192)])
        .await
}

#[tokio::test]
async fn dht_packets_self_descriptions_and_filled_streams_without_number_take_no_memory() -> Result<()> {
    farmer_withstands(&[("kad", 64), ("identify", 64), ("full-windows", 256)]).await
}

#[tokio::test]
async fn customers_that_crawl_swamp_or_split_hairs_keep_nobody_waiting() -> Result<()> {
    let crawl = [("slow-writer", 96), ("slow-reader", 128)];
    farmer_withstands(&[crawl[0], crawl[1], ("tiny-shards", 128), ("request-storm", 128)]).await
}

#[tokio::test]
async fn an_auditor_that_is_flooded_with_contracts_follows_an_honest_owners_meanwhile() -> Result<()> {
    let devnet = Devnet::start(1, None)?;
    let (owner, scratch) = (devnet.owner().await?, devnet.scratch()?);
    farmers_seen(&owner, 1).await?;
    let auditor = devnet.auditor();
    let quiet = Memory::of(auditor.pid)?;
    Memory::forget_peak(auditor.pid)?;
    let flood = devnet.flood("follows", &Client::connect(&auditor.home).await?).await?;
    works_beside(devnet.owner_home()?, &scratch, "beside").await?;
    let followed = async {
        let mut news = owner.events().await?;
        loop {
            let history = owner.audit_history(None).await?;
            if history.followed.iter().any(|one| one.verdicts.is_some()) {
                return anyhow::Ok(());
            }
            let _ = tokio::time::timeout(ASK_AGAIN, news.next()).await;
        }
    };
    // An auditor that is busy is told again later and later, after half a minute in the end.
    tokio::time::timeout(Duration::from_secs(180), followed)
        .await
        .context("it was not followed in time")??;
    within("follows", flood.count(), quiet, Memory::of(auditor.pid)?, 192)
}

/// Attacks an owner by farmers it meets, while one honest farmer is there.
#[tokio::test]
async fn farmers_that_answer_as_badly_as_they_can_take_no_memory_of_an_owner() -> Result<()> {
    let devnet = Devnet::start(1, None)?;
    let owner = devnet.owner().await?;
    let scratch = devnet.scratch()?;
    farmers_seen(&owner, 1).await?;
    works(devnet.owner_home()?, &scratch, "before")?;
    let before = Memory::forget_peak(owner.pid())?;
    let flood = devnet.flood("hostile-farmers", &owner).await?;
    for round in ["one", "two"] {
        works_beside(devnet.owner_home()?, &scratch, round).await?;
    }
    within("hostile-farmers", flood.count(), before, Memory::of(owner.pid())?, 128)
}
