//! A farmer's quota holds whoever asks, and however many at once.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{JobState, PresetName, PutRequest};
use hayloft_tests::{Devnet, NodeProcess, farmers_seen, hayloft};

/// Less than the two owners' files together, more than each.
const QUOTA: &str = "60MB";
const QUOTA_BYTES: u64 = 60_000_000;
const FILE_BYTES: usize = 40_000_000;
const MONTH_SECONDS: u64 = 30 * 24 * 60 * 60;

async fn owner(devnet: &Devnet, name: &str) -> Result<(NodeProcess, PathBuf)> {
    let home = devnet.scratch()?.parent().context("no folder")?.join(name);
    hayloft(&home, ["--network", devnet.network(), "init"])?.done()?;
    let node = devnet.join(name, &["--bootstrap", devnet.bootstrap()])?;
    let file = devnet.scratch()?.join(name);
    std::fs::write(&file, vec![1; FILE_BYTES])?;
    farmers_seen(&node.client().await?, 1).await?;
    Ok((node, file))
}

/// Stores a file, and tells whether it was taken.
async fn put(node: &Client, file: PathBuf) -> Result<bool> {
    let mut news = node.events().await?;
    let request = PutRequest {
        paths: vec![file],
        name: None,
        keep_seconds: MONTH_SECONDS,
        renew: false,
        replace: false,
        preset: PresetName::Standard,
        price: None,
    };
    let job = node.put(request).await?;
    loop {
        match node.job(job).await?.state {
            JobState::Done => return Ok(true),
            JobState::Failed => return Ok(false),
            _ => news.next().await.context("the owner has ended")?,
        };
    }
}

#[tokio::test]
async fn two_owners_at_once_never_get_more_than_the_quota() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "1", "--no-owner", "--farm-size", QUOTA])?;
    let farmer = Client::connect(&devnet.farmers()[0].home).await?;
    let ((one, one_file), (two, two_file)) = (owner(&devnet, "one").await?, owner(&devnet, "two").await?);
    let (one, two) = (one.client().await?, two.client().await?);

    let mut news = farmer.events().await?;
    let watching = async {
        loop {
            let status = farmer.farm_status().await?;
            let taken = status.used_bytes + status.reserved_bytes;
            ensure!(taken <= QUOTA_BYTES, "{taken} bytes of {QUOTA_BYTES} are taken");
            news.next().await.context("the farmer has ended")?;
        }
    };
    let putting = async { tokio::try_join!(put(&one, one_file), put(&two, two_file)) };
    let (one_stored, two_stored) = tokio::select! {
        never = watching => return never,
        stored = putting => stored?,
    };
    ensure!(!(one_stored && two_stored), "both files cannot have found room");
    let status = farmer.farm_status().await?;
    ensure!(status.used_bytes <= QUOTA_BYTES, "{status:?}");
    // What is listed is whole, and nothing else is.
    for (node, stored) in [(&one, one_stored), (&two, two_stored)] {
        ensure!(node.files().await?.len() == usize::from(stored));
    }
    Ok(())
}
