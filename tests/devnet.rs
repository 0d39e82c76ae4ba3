//! `hayloft devnet`: what it promises to scripts, and that it leaves nothing behind.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use hayloft_gateway::Client;
use hayloft_tests::{Devnet, end_of, hayloft, kill_9, terminate};

/// Begins to watch every node of a devnet; the future returns once all are gone.
async fn all_gone(devnet: &Devnet) -> Result<impl Future<Output = Result<()>> + use<>> {
    let mut homes: Vec<_> = devnet.farmers().iter().map(|farmer| farmer.home.clone()).collect();
    homes.push(devnet.bootstrap_home());
    homes.extend(devnet.owner_home().ok().map(ToOwned::to_owned));
    let mut ends = Vec::new();
    for home in homes {
        ends.push(end_of(&Client::connect(&home).await?).await?);
    }
    Ok(async move { try_join_all(ends).await.map(|_| ()) })
}

#[tokio::test]
async fn the_ready_line_names_every_node_and_the_owner_knows_all_farmers() -> Result<()> {
    let devnet = Devnet::start(4, Some(2))?;
    let line = devnet.line().as_object().context("no object")?;
    let fields: Vec<&str> = line.keys().map(String::as_str).collect();
    assert_eq!(fields, ["auditor", "bootstrap", "farmers", "network", "owner", "ready"]);
    assert_eq!(devnet.farmers().len(), 4);
    assert!(devnet.bootstrap().contains("/p2p/"));
    assert_eq!(devnet.owner().await?.status().await?.farmers, 4);
    let mut groups = BTreeMap::new();
    for farmer in devnet.farmers() {
        let client = Client::connect(&farmer.home).await?;
        assert_eq!((client.pid(), client.status().await?.device), (farmer.pid, farmer.id.clone()));
        let operator = client.farm_status().await?.settings.operator.context("no operator")?;
        *groups.entry(operator).or_insert(0) += 1;
    }
    assert_eq!(groups, BTreeMap::from([("group-1".to_owned(), 2), ("group-2".to_owned(), 2)]));
    Ok(())
}

#[tokio::test]
async fn a_devnet_that_is_killed_leaves_no_node_behind() -> Result<()> {
    let devnet = Devnet::start(2, None)?;
    let gone = all_gone(&devnet).await?;
    kill_9(devnet.pid())?;
    gone.await
}

#[tokio::test]
async fn a_devnet_that_is_asked_to_end_closes_its_nodes_and_succeeds() -> Result<()> {
    let mut devnet = Devnet::start_with(&["--farmers", "2", "--no-owner"])?;
    ensure!(devnet.line()["owner"].is_null());
    let gone = all_gone(&devnet).await?;
    terminate(devnet.pid())?;
    gone.await?;
    assert_eq!(devnet.wait()?, Some(0));
    // Closed, not killed: the doors are gone too.
    assert!(devnet.farmers().iter().all(|farmer| !farmer.home.join("api.json").exists()));
    Ok(())
}

#[test]
fn a_farmer_that_does_not_start_says_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    hayloft(&folder.path().join("farmer-1"), ["--network", "other", "init"])?.done()?;
    let words = ["--network", "mine", "devnet", "--farmers", "1", "--no-owner"];
    let (_, message) = hayloft(folder.path(), words)?.refused()?;
    ensure!(message.starts_with("farmer 1 did not start: ") && message.contains("other"), "{message}");
    Ok(())
}
