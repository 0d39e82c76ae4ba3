//! A network whose nodes are far apart: each is behind a line of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{Event, GetRequest, Job, JobState, PresetName, PutRequest};
use tempfile::TempDir;

use crate::{
    bed::{NodeProcess, farmers_seen},
    hayloft,
    line::{Line, Lines},
};

const NETWORK: &str = "afar";
const KEEP_SECONDS: u64 = 30 * 24 * 60 * 60;

/// A node and its line.
pub struct Distant {
    /// The node.
    pub node: NodeProcess,
    /// What is between it and all others.
    pub line: Line,
}

/// An owner, farmers, and a node that all joined by; gone with this value.
pub struct Afar {
    /// The owner, an identity made.
    pub owner: Distant,
    /// The farmers.
    pub farmers: Vec<Distant>,
    _bootstrap: Distant,
    // Last, so that the processes are gone before their lines and homes.
    _lines: Lines,
    folder: TempDir,
}

impl Afar {
    /// So many farmers; with nothing in the way of anybody yet. `seed` decides which packets lossy lines will lose.
    ///
    /// # Errors
    /// If it does not come up; the reason is on this test's stderr.
    pub fn start(farmers: u16, seed: u64) -> Result<Self> {
        let (lines, folder) = (Lines::new()?, tempfile::tempdir()?);
        let seed = |number: u16| seed.wrapping_mul(1000) + u64::from(number);
        let bootstrap = distant(&lines, &folder.path().join("bootstrap"), seed(0), &[])?;
        let by = bootstrap.node.addresses();
        let by = by.first().context("the bootstrap node has no address")?.as_str();
        let start = |number: u16| {
            let home = folder.path().join(format!("farmer-{number}"));
            let words = ["--bootstrap", by, "--farm", "256MB", "--disk-guard", "64MB"];
            distant(&lines, &home, seed(number), &words)
        };
        let start = &start;
        let started: Result<Vec<Distant>> = std::thread::scope(|scope| {
            let all: Vec<_> = (1..=farmers).map(|number| scope.spawn(move || start(number))).collect();
            all.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a start panicked"))?).collect()
        });
        let farmers = started?;
        let home = folder.path().join("owner");
        hayloft(&home, ["--network", NETWORK, "init"])?.done()?;
        let owner = distant(&lines, &home, seed(u16::MAX), &["--bootstrap", by])?;
        Ok(Self { owner, farmers, _bootstrap: bootstrap, _lines: lines, folder })
    }

    /// Returns once the owner knows all farmers.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn all_known(&self) -> Result<Client> {
        let client = self.owner.node.client().await?;
        farmers_seen(&client, u32::try_from(self.farmers.len())?).await?;
        Ok(client)
    }

    /// A file of so many random bytes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn file(&self, name: &str, bytes: usize) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        let mut content = vec![0; bytes];
        rand::RngExt::fill(&mut rand::rng(), &mut content[..]);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// The farmer with this device id in hex.
    pub fn farmer(&self, id: &str) -> Option<&Distant> {
        self.farmers.iter().find(|farmer| farmer.node.id() == id)
    }
}

fn distant(lines: &Lines, home: &Path, seed: u64, words: &[&str]) -> Result<Distant> {
    let line = Line::new(seed);
    let node = NodeProcess::start_behind(lines, &line, home, NETWORK, words)?;
    Ok(Distant { node, line })
}

/// Begins to store a file.
///
/// # Errors
/// If the node refuses.
pub async fn begin_put(client: &Client, file: &Path) -> Result<u32> {
    let request = PutRequest {
        paths: vec![file.to_owned()],
        name: None,
        keep_seconds: KEEP_SECONDS,
        renew: false,
        replace: false,
        preset: PresetName::Standard,
        price: None,
    };
    Ok(client.put(request).await?)
}

/// Begins to bring a file back.
///
/// # Errors
/// If the node refuses.
pub async fn begin_get(client: &Client, name: &str, output: &Path) -> Result<u32> {
    let request =
        GetRequest { name: name.into(), output: output.to_owned(), overwrite: true, offset: 0, bytes: None };
    Ok(client.get(request).await?)
}

/// Watches a job to its end, and gives it. `look` sees it each time it tells how far it is.
///
/// # Errors
/// If the node ends first, or the job did not succeed.
pub async fn watch(client: &Client, job: u32, look: impl FnMut(&Job)) -> Result<Job> {
    let ended = outcome(client, job, look).await?;
    ensure!(ended.state == JobState::Done, "{ended:?}");
    Ok(ended)
}

/// As [`watch`], however the job ends.
///
/// # Errors
/// If the node ends first.
pub async fn outcome(client: &Client, job: u32, mut look: impl FnMut(&Job)) -> Result<Job> {
    let mut news = client.events().await?;
    let mut now = client.job(job).await?;
    loop {
        look(&now);
        if !matches!(now.state, JobState::Running) {
            return Ok(now);
        }
        now = loop {
            match news.next().await.context("the node has ended")? {
                Event::Job(job) if job.id == now.id => break job,
                _ => {}
            }
        };
    }
}
