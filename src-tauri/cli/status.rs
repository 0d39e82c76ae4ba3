//! `hayloft status`.

use anyhow::Result;
use hayloft_node::model::{OwnerStatus, Protection, Status};

use crate::connect::Place;
use crate::output::{Output, counted};

/// Shows what the running node is and how it is connected.
pub(crate) async fn show(place: &Place, output: Output) -> Result<()> {
    let status = place.client().await?.status().await?;
    output.result(&status, || text(&status))
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        format!("Network    {}", status.network),
        format!("Node       {}", status.device),
        format!("Home       {}", status.home.display()),
        format!(
            "Owner      {}",
            status.owner.as_ref().map_or_else(|| "none; make one with: hayloft init".into(), owner)
        ),
        format!("Farming    {}", if status.farming { "yes" } else { "no" }),
        format!(
            "Connected  to {}; {} known",
            counted(u64::from(status.peers), "node"),
            counted(u64::from(status.farmers), "farmer")
        ),
    ];
    lines.extend(status.addresses.iter().map(|address| format!("Address    {address}")));
    lines.extend(status.notices.iter().map(|notice| format!("Notice     {notice}")));
    lines.join("\n")
}

fn owner(owner: &OwnerStatus) -> String {
    let state = if owner.unlocked { "unlocked" } else { "sealed" };
    let protection = match owner.protection {
        Protection::Keychain => "kept in the system's keychain",
        Protection::Passphrase => "protected by a passphrase",
        Protection::None => "not protected",
    };
    format!("{} ({state}, {protection})", owner.owner)
}
