//! What the app is started with: arguments, then the environment, then the platform's defaults.

use std::path::{Path, PathBuf};

use clap::Parser;
use hayloft_node::{NetworkName, NodeOptions};
use tauri::{AppHandle, Manager};

/// Hayloft's window with a storage node inside.
#[derive(Debug, Clone, Parser)]
#[command(name = "hayloft-app", version)]
pub(crate) struct Options {
    /// Folder of this node: keys, database and, unless set otherwise, the shards it keeps.
    #[arg(long, value_name = "DIR", env = "HAYLOFT_HOME")]
    home: Option<PathBuf>,
    /// Network to join; a home stays on the one it was made for.
    #[arg(long, value_name = "NAME", env = "HAYLOFT_NETWORK")]
    network: Option<NetworkName>,
    /// Address of a node that is already there, ending in /p2p/…; may be given several times.
    #[arg(long, value_name = "ADDR", env = "HAYLOFT_BOOTSTRAP", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// Addresses to listen on.
    #[arg(long, value_name = "ADDR", env = "HAYLOFT_LISTEN", value_delimiter = ',')]
    listen: Vec<String>,
    /// Where the ledger is, on networks that have one of their own.
    #[arg(long, value_name = "URL", env = "HAYLOFT_LEDGER")]
    ledger: Option<String>,
    /// Auditor that new contracts name, by an address ending in /p2p/….
    #[arg(long, value_name = "ADDR", env = "HAYLOFT_AUDITOR")]
    auditor: Option<String>,
    /// Length of an epoch in new contracts, in seconds.
    #[arg(long, value_name = "SECONDS", env = "HAYLOFT_EPOCH", hide = true)]
    epoch: Option<u32>,
    /// Do not look for nodes on the local network.
    #[arg(long, env = "HAYLOFT_NO_MDNS")]
    no_mdns: bool,
    /// Start in the tray, without a window.
    #[arg(long)]
    pub(crate) hidden: bool,
}

impl Options {
    /// The home folder that was named, if one was.
    pub(crate) fn named_home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// What the node is opened with.
    ///
    /// # Errors
    /// If no home was named and the platform has no folder for application data.
    pub(crate) fn node(&self, app: &AppHandle) -> tauri::Result<NodeOptions> {
        let home = self.home.clone().map_or_else(|| default_home(app), Ok)?;
        Ok(NodeOptions {
            home: std::path::absolute(home)?,
            network: self.network.clone(),
            listen: self.listen.clone(),
            bootstrap: self.bootstrap.clone(),
            mdns: !self.no_mdns,
            ledger: self.ledger.clone(),
            auditor: self.auditor.clone(),
            epoch_seconds: self.epoch,
            ..NodeOptions::default()
        })
    }
}

/// The same folder that the command line uses.
fn default_home(app: &AppHandle) -> tauri::Result<PathBuf> {
    Ok(app.path().data_dir()?.join("hayloft"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_bootstrap_addresses_are_taken() {
        let options =
            Options::try_parse_from(["hayloft-app", "--bootstrap", "/a", "--bootstrap", "/b", "--hidden"]);
        let options = options.expect("these are right");
        assert_eq!(options.bootstrap, ["/a", "/b"]);
        assert!(options.hidden);
    }

    #[test]
    fn a_wrong_network_name_is_refused_at_the_start() {
        assert!(Options::try_parse_from(["hayloft-app", "--network", "No Such Name"]).is_err());
    }
}
