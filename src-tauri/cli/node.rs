//! `hayloft node`: a node in the foreground, with its local API, until told to stop.

use std::path::PathBuf;

use anyhow::Result;
use hayloft_gateway::Gateway;
use hayloft_node::model::{OwnerStatus, Status};
use hayloft_node::{Node, NodeOptions};
use serde::{Deserialize, Serialize};

use crate::args;
use crate::connect::Place;
use crate::output::Output;
use crate::{passphrase, stop};

/// What a node says once it is up: the one JSON document of `hayloft node --json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) ready: bool,
    pub(crate) network: String,
    pub(crate) home: PathBuf,
    pub(crate) pid: u32,
    pub(crate) id: String,
    pub(crate) addresses: Vec<String>,
}

/// Runs a node until it is asked to stop.
pub(crate) async fn run(place: &Place, wish: args::Node, output: Output) -> Result<()> {
    let home = place.home()?;
    let stop = stop::asked(wish.until_stdin_closes);
    tokio::pin!(stop);
    let node = tokio::select! {
        node = open(place, &wish) => node?,
        () = &mut stop => return Ok(()),
    };
    let gateway = Gateway::start(node.clone(), home.clone()).await?;
    let result = tell(&node, home, output).await;
    if result.is_ok() {
        tokio::select! {
            () = &mut stop => {}
            () = gateway.stop_asked() => {}
        }
    }
    gateway.close().await;
    node.shutdown().await?;
    result
}

async fn open(place: &Place, wish: &args::Node) -> Result<Node> {
    let passphrase = wish.passphrase_file.as_deref().map(passphrase::from_file).transpose()?;
    let options = NodeOptions {
        home: place.home()?,
        network: place.network.clone(),
        listen: wish.listen.clone(),
        bootstrap: wish.bootstrap.clone(),
        mdns: !wish.no_mdns,
        passphrase: passphrase.map(|text| text.to_string()),
        audit: wish.audit.then_some(true).or(wish.no_audit.then_some(false)),
        vet: wish.vet.then_some(true).or(wish.no_vet.then_some(false)),
        auditor: wish.auditor.clone(),
        ledger: wish.ledger.clone(),
        repair: wish.repair.then_some(true).or(wish.no_repair.then_some(false)),
        epoch_seconds: wish.epoch,
        disk_guard_bytes: wish.disk_guard,
        ..NodeOptions::default()
    };
    let node = Node::open(options).await?;
    let prepared = prepare(&node, wish).await;
    if prepared.is_err() {
        // The reason counts, not what else goes wrong while closing.
        let _ = node.shutdown().await;
    }
    prepared.map(|()| node)
}

/// Farming as asked, and the seed unsealed if somebody can type its passphrase.
async fn prepare(node: &Node, wish: &args::Node) -> Result<()> {
    if let Some(quota_bytes) = wish.farm {
        let mut farm = node.farm_status().await?.settings;
        farm.enabled = true;
        farm.quota_bytes = quota_bytes;
        farm.storage_price = wish.price.unwrap_or(farm.storage_price);
        farm.operator = wish.operator.clone().or(farm.operator);
        node.farm_set(farm).await?;
    }
    let sealed = matches!(node.status().await?.owner, Some(OwnerStatus { unlocked: false, .. }));
    if sealed && !wish.until_stdin_closes {
        match tokio::task::spawn_blocking(passphrase::ask_existing).await?? {
            Some(passphrase) => node.unlock(&passphrase).await?,
            None => eprintln!(
                "The identity is sealed: files cannot be moved until its passphrase is given: hayloft unlock"
            ),
        }
    }
    Ok(())
}

async fn tell(node: &Node, home: PathBuf, output: Output) -> Result<()> {
    let status = node.status().await?;
    let ready = Ready {
        ready: true,
        network: status.network.clone(),
        home,
        pid: std::process::id(),
        id: status.device.clone(),
        addresses: status.addresses.clone(),
    };
    output.result(&ready, || sentence(&status))
}

fn sentence(status: &Status) -> String {
    let farming = if status.farming { ", offering space" } else { "" };
    let auditing = if status.auditing { ", auditing farmers" } else { "" };
    let addresses: String = status.addresses.iter().map(|address| format!("\n  {address}")).collect();
    format!(
        "Node {} is up on {}{farming}{auditing}. Stop it with Ctrl-C. It is reached at:{addresses}",
        status.device, status.network
    )
}
