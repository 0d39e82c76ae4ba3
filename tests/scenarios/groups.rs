//! Failure groups: a whole group may vanish and nothing is lost.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use hayloft_gateway::Client;
use hayloft_tests::{Devnet, hayloft, kill_9};

/// Files stored one after the other, each a segment of its own.
const FILES: usize = 5;

/// Shards that each declared group holds.
async fn shards_by_group(devnet: &Devnet) -> Result<BTreeMap<String, u64>> {
    let mut groups = BTreeMap::new();
    for farmer in devnet.farmers() {
        let status = Client::connect(&farmer.home).await?.farm_status().await?;
        let group = status.settings.operator.context("no group")?;
        *groups.entry(group).or_insert(0) +=
            status.contracts.iter().map(|contract| contract.shards).sum::<u64>();
    }
    Ok(groups)
}

#[tokio::test]
async fn no_group_holds_more_shards_of_a_segment_than_the_redundancy_can_lose() -> Result<()> {
    let devnet = Devnet::start(12, Some(4))?;
    let owner = devnet.owner_home()?;
    let scratch = devnet.scratch()?;
    let mut before = shards_by_group(&devnet).await?;
    ensure!(before.len() == 4, "{before:?}");
    for number in 0..FILES {
        let file = scratch.join(format!("file-{number}"));
        std::fs::write(&file, vec![number as u8; 300_000])?;
        let put = hayloft(owner, [c("put"), file.as_os_str()])?.done()?;
        ensure!(put["segments"] == 1, "{put}");
        let (k, n) = (put["k"].as_u64().context("k")?, put["n"].as_u64().context("n")?);
        let after = shards_by_group(&devnet).await?;
        let gained: BTreeMap<_, _> = after.iter().map(|(group, now)| (group, now - before[group])).collect();
        ensure!(gained.values().sum::<u64>() == n, "{gained:?} of {n}");
        ensure!(gained.values().all(|&shards| shards <= n - k), "{gained:?} with {k} of {n}");
        before = after;
    }
    // The third of every four farmers is of the third group.
    for farmer in devnet.farmers().iter().skip(2).step_by(4) {
        kill_9(farmer.pid)?;
    }
    for number in 0..FILES {
        let output = scratch.join(format!("back-{number}"));
        let name = format!("file-{number}");
        hayloft(owner, [c("get"), name.as_ref(), c("--output"), output.as_os_str()])?.done()?;
        ensure!(std::fs::read(&output)? == vec![number as u8; 300_000], "{name} came back changed");
    }
    Ok(())
}

fn c(word: &str) -> &std::ffi::OsStr {
    word.as_ref()
}
