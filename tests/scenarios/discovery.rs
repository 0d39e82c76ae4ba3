//! Discovery is real: it outlives the node that everybody joined by.

use anyhow::{Context, Result, ensure};
use hayloft_gateway::Client;
use hayloft_tests::{Devnet, NodeProcess, end_of, farmers_seen, hayloft, kill_9};

#[tokio::test]
async fn farmers_that_know_only_a_farmer_are_found_and_used_when_the_bootstrap_node_is_gone() -> Result<()> {
    let devnet = Devnet::start(3, None)?;
    let bootstrap = Client::connect(&devnet.bootstrap_home()).await?;
    let gone = end_of(&bootstrap).await?;
    kill_9(bootstrap.pid())?;
    gone.await?;

    let known = Client::connect(&devnet.farmers()[0].home).await?.status().await?.addresses;
    let known = known.first().context("a farmer without an address")?;
    let late: Vec<NodeProcess> = (1..=3)
        .map(|number| {
            devnet.join(
                &format!("late-{number}"),
                &["--farm", "256MB", "--disk-guard", "64MB", "--bootstrap", known],
            )
        })
        .collect::<Result<_>>()?;
    let owner = devnet.owner().await?;
    farmers_seen(&owner, 6).await?;

    let file = devnet.scratch()?.join("file");
    std::fs::write(&file, vec![7; 1 << 20])?;
    let put = hayloft(devnet.owner_home()?, ["put", path(&file)?])?.done()?;
    ensure!(put["farmers"].as_u64() > Some(3), "only old farmers were used: {put}");
    let mut used = 0;
    for farmer in &late {
        let contracts = farmer.client().await?.farm_status().await?.contracts;
        used += contracts.iter().map(|contract| contract.shards).sum::<u64>();
    }
    ensure!(used >= 2, "the new farmers hold {used} shards");
    Ok(())
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("not Unicode")
}
