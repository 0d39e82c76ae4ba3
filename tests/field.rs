//! A network whose nodes can each be killed and started again on the same home.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hayloft_gateway::Client;
use tempfile::TempDir;

use crate::{NodeProcess, farmers_seen, hayloft};

/// One node with its home and how it is started.
pub struct Member {
    home: PathBuf,
    network: String,
    words: Vec<String>,
    process: Option<NodeProcess>,
}

impl Member {
    fn new(home: PathBuf, network: &str, words: &[&str]) -> Result<Self> {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        let mut member = Self { home, network: network.to_owned(), words, process: None };
        member.start()?;
        Ok(member)
    }

    /// Starts it on its home, unless it runs.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(&mut self) -> Result<()> {
        if self.process.is_none() {
            let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
            self.process = Some(NodeProcess::start(&self.home, &self.network, &words)?);
        }
        Ok(())
    }

    /// Kills it so that it can do nothing about it, and returns when it is gone.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill_9(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), NodeProcess::kill_9)
    }

    /// Lets it close, and returns when it is gone.
    pub fn stop(&mut self) {
        drop(self.process.take());
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its process.
    ///
    /// # Errors
    /// If it does not run.
    pub fn process(&self) -> Result<&NodeProcess> {
        self.process.as_ref().context("the node does not run")
    }

    /// A connection to it.
    ///
    /// # Errors
    /// If it does not run or does not answer.
    pub async fn client(&self) -> Result<Client> {
        self.process()?.client().await
    }
}

/// An owner and farmers that know each other through a node that is never killed; gone with this value.
pub struct Field {
    /// The owner.
    pub owner: Member,
    /// The farmers.
    pub farmers: Vec<Member>,
    network: String,
    _bootstrap: NodeProcess,
    // Last, so that the processes are gone before their homes.
    folder: TempDir,
}

impl Field {
    /// A network of so many farmers, all known to the owner.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn new(farmers: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let network = format!("field-{:08x}", rand::random::<u32>());
        let home = |name: &str| folder.path().join(name);
        let bootstrap = NodeProcess::start(&home("bootstrap"), &network, &[])?;
        let address = bootstrap.addresses().into_iter().next().context("no address")?;
        let known = ["--bootstrap", address.as_str()];
        let farm = [&known[..], &["--farm", "1GB", "--disk-guard", "64MB"]].concat();
        let farmers =
            (1..=farmers).map(|number| Member::new(home(&format!("farmer-{number}")), &network, &farm));
        let farmers = farmers.collect::<Result<Vec<_>>>()?;
        hayloft(&home("owner"), ["--network", &network, "init"])?.done()?;
        let owner = Member::new(home("owner"), &network, &known)?;
        farmers_seen(&owner.client().await?, u32::try_from(farmers.len())?).await?;
        Ok(Self { owner, farmers, network, _bootstrap: bootstrap, folder })
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// A folder for a test's own files, gone with the network.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn scratch(&self) -> Result<PathBuf> {
        let folder = self.folder.path().join("scratch");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
