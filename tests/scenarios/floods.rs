//! Strangers who attack as hard as they can: whatever they do, the node's memory stays within a stated bound, and honest
//! owners put and get files meanwhile, old ones and such as come only now.
//!
//! Bounds are for what the attack adds to the memory the node had before, in a development build.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hayloft_gateway::Client;
use hayloft_tests::{Devnet, Memory, NodeProcess, farmers_seen, hayloft};
use rand::RngExt as _;

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
async fn newcomer(devnet: &Devnet) -> Result<NodeProcess> {
    let home = devnet.scratch()?.join("newcomer");
    hayloft(&home, ["--network", devnet.network(), "init"])?.done()?;
    let node = NodeProcess::start(&home, devnet.network(), &["--bootstrap", devnet.bootstrap()])?;
    farmers_seen(&node.client().await?, 1).await?;
    Ok(node)
}

/// Attacks the only farmer there is.
async fn farmer_withstands(attack: &str, bound_mib: u64) -> Result<()> {
    let devnet = Devnet::start(1, None)?;
    let owner = devnet.owner_home()?;
    let scratch = devnet.scratch()?;
    farmers_seen(&devnet.owner().await?, 1).await?;
    works(owner, &scratch, "before")?;
    let farmer = &devnet.farmers()[0];
    let before = Memory::forget_peak(farmer.pid)?;
    let flood = devnet.flood(attack, &Client::connect(&farmer.home).await?).await?;
    for round in ["one", "two"] {
        works_beside(owner, &scratch, round).await?;
    }
    let newcomer = newcomer(&devnet).await?;
    works_beside(newcomer.home(), &scratch, "three").await?;
    within(attack, flood.count(), before, Memory::of(farmer.pid)?, bound_mib)
}

fn within(attack: &str, count: u64, before: Memory, after: Memory, bound_mib: u64) -> Result<()> {
    let added = after.peak_bytes.saturating_sub(before.now_bytes) / MIB;
    println!("{attack}: {count} begun, {} MiB before, {added} MiB more at most", before.now_bytes / MIB);
    ensure!(count > 0, "the attack did not come about");
    ensure!(added <= bound_mib, "{attack} took {added} MiB, more than {bound_mib}");
    Ok(())
}

#[tokio::test]
async fn requests_that_drip_keep_nobody_waiting() -> Result<()> {
    farmer_withstands("drip-requests", 64).await
}

#[tokio::test]
async fn requests_that_never_end_take_no_memory() -> Result<()> {
    farmer_withstands("endless-requests", 96).await
}

#[tokio::test]
async fn frames_of_wrong_length_are_turned_away() -> Result<()> {
    farmer_withstands("wrong-lengths", 96).await
}

#[tokio::test]
async fn streams_filled_and_left_take_no_more_than_their_windows() -> Result<()> {
    farmer_withstands("full-windows", 256).await
}

#[tokio::test]
async fn half_open_tcp_connections_keep_nobody_out() -> Result<()> {
    farmer_withstands("half-open-tcp", 64).await
}

#[tokio::test]
async fn half_open_quic_connections_keep_nobody_out() -> Result<()> {
    farmer_withstands("half-open-quic", 96).await
}

#[tokio::test]
async fn thousands_of_connections_of_one_stranger_keep_nobody_out() -> Result<()> {
    farmer_withstands("connections-of-one", 64).await
}

#[tokio::test]
async fn more_strangers_than_places_keep_nobody_out() -> Result<()> {
    farmer_withstands("connections-of-many", 192).await
}

#[tokio::test]
async fn a_storm_of_requests_beyond_every_limit_is_weathered() -> Result<()> {
    farmer_withstands("request-storm", 96).await
}

#[tokio::test]
async fn dht_packets_without_number_take_no_memory() -> Result<()> {
    farmer_withstands("kad", 64).await
}

#[tokio::test]
async fn strangers_who_tell_too_much_of_themselves_take_no_memory() -> Result<()> {
    farmer_withstands("identify", 64).await
}

#[tokio::test]
async fn a_customer_that_reads_one_byte_a_second_keeps_nobody_waiting() -> Result<()> {
    farmer_withstands("slow-reader", 128).await
}

#[tokio::test]
async fn a_customer_that_writes_one_byte_a_second_or_too_many_keeps_nobody_waiting() -> Result<()> {
    farmer_withstands("slow-writer", 64).await
}

#[tokio::test]
async fn a_contract_of_tiny_shards_costs_little_to_revise() -> Result<()> {
    farmer_withstands("tiny-shards", 64).await
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
