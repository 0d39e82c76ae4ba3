//! From a home to the node that runs on it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hayloft_gateway::{Client, ConnectError};
use hayloft_node::NetworkName;

use crate::output::{Refusal, quoted};

/// The environment variable that names the home.
const HOME_VARIABLE: &str = "HAYLOFT_HOME";

/// Where a command acts.
pub(crate) struct Place {
    /// As given on the command line.
    pub(crate) home: Option<PathBuf>,
    /// As given on the command line.
    pub(crate) network: Option<NetworkName>,
}

impl Place {
    /// The home: as given, else from the environment, else the system's place for application data. Absolute.
    pub(crate) fn home(&self) -> Result<PathBuf> {
        let from_environment =
            || std::env::var_os(HOME_VARIABLE).filter(|home| !home.is_empty()).map(PathBuf::from);
        let by_system = || dirs::data_dir().map(|folder| folder.join("hayloft"));
        let home = self.home.clone().or_else(from_environment).or_else(by_system);
        let home = home.context("this system names no folder for application data: give one with --home")?;
        std::path::absolute(&home).with_context(|| format!("the home {} has no full path", home.display()))
    }

    /// The node that runs on the home, if one does.
    pub(crate) async fn running(&self) -> Result<Option<Client>> {
        match Client::connect(&self.home()?).await {
            Ok(client) => Ok(Some(client)),
            Err(ConnectError::NotRunning { .. }) => Ok(None),
            Err(error @ ConnectError::DoesNotAnswer { .. }) => {
                Err(Refusal { code: "no_answer", message: error.to_string() }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The node that runs on the home, or a refusal that says how to start one.
    pub(crate) async fn client(&self) -> Result<Client> {
        let client = self.running().await?.map_or_else(|| Err(not_running(&self.home()?)), Ok)?;
        if let Some(wanted) = &self.network {
            let actual = client.status().await?.network;
            if actual != wanted.as_str() {
                let message = format!("The node that runs here is on the network {actual}, not on {wanted}.");
                return Err(Refusal { code: "bad_request", message }.into());
            }
        }
        Ok(client)
    }
}

fn not_running(home: &Path) -> anyhow::Error {
    let message = format!(
        "No Hayloft node is running on {}. Start one with: hayloft --home {} node",
        home.display(),
        quoted(home)
    );
    Refusal { code: "not_running", message }.into()
}
