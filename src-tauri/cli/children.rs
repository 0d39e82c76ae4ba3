//! Nodes, and a ledger, as child processes of this one.
//!
//! Invariant: a child outlives its parent by no more than a moment, whatever kills the parent, because the child ends when
//! the pipe to its standard input closes, and the system closes it with the parent. No signal is relied upon.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{ledger, node};

/// How long a child may take to say that it is up.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a child may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Where a child's own words go, in its home.
const LOG_NAME: &str = "node.log";

/// A node that runs as a child process.
pub(crate) type NodeChild = ChildOf<node::Ready>;
/// A ledger that runs as a child process.
pub(crate) type LedgerChild = ChildOf<ledger::Ready>;

/// Something of this command's that runs as a child process, and what it said when it was up.
pub(crate) struct ChildOf<R> {
    /// What it is called in words to the person.
    pub(crate) title: String,
    /// What it said when it was up.
    pub(crate) ready: R,
    process: Child,
    lifeline: Option<ChildStdin>,
    // Held open: a child whose stdout is closed could not speak.
    _stdout: BufReader<ChildStdout>,
}

impl NodeChild {
    /// Starts `hayloft node` on `home` with `words` and waits until it is up.
    pub(crate) async fn start(
        title: String,
        home: PathBuf,
        network: &str,
        words: Vec<String>,
    ) -> Result<Self> {
        let first = ["--network", network, "--json", "node", "--until-stdin-closes"].map(str::to_owned);
        Self::spawned(title, &home, first.into_iter().chain(words).collect()).await
    }
}

impl LedgerChild {
    /// Starts `hayloft ledger` on `home` and waits until it is up.
    pub(crate) async fn start(title: String, home: PathBuf) -> Result<Self> {
        let words = ["--json", "ledger", "--until-stdin-closes"].map(str::to_owned);
        Self::spawned(title, &home, words.to_vec()).await
    }
}

impl<R: DeserializeOwned> ChildOf<R> {
    async fn spawned(title: String, home: &Path, words: Vec<String>) -> Result<Self> {
        let mut process = spawn(home, &words).with_context(|| format!("{title} could not be started"))?;
        let lifeline = process.stdin.take();
        let stdout = process.stdout.take().context("a child without an output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = tokio::time::timeout(START_LIMIT, stdout.read_line(&mut line)).await;
        let ready = match read {
            Err(_) => {
                bail!("{title} was not up after {} seconds{}", START_LIMIT.as_secs(), last_words(home))
            }
            Ok(result) => {
                result?;
                match serde_json::from_str(&line) {
                    Ok(ready) => ready,
                    Err(_) => {
                        bail!("{title} did not start{}", refusal(&line).unwrap_or_else(|| last_words(home)))
                    }
                }
            }
        };
        Ok(Self { title, ready, process, lifeline, _stdout: stdout })
    }
}

impl<R> ChildOf<R> {
    /// Returns how the process ended, once it has.
    pub(crate) async fn ended(&mut self) -> String {
        self.process.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Lets go of the process and waits until it is gone; kills it if it will not go.
    pub(crate) async fn close(mut self) {
        drop(self.lifeline.take());
        if tokio::time::timeout(CLOSE_LIMIT, self.process.wait()).await.is_err() {
            // It may have ended in this very moment.
            let _ = self.process.kill().await;
        }
    }
}

fn spawn(home: &Path, words: &[String]) -> Result<Child> {
    std::fs::create_dir_all(home)?;
    let log = std::fs::File::create(home.join(LOG_NAME))?;
    let child = Command::new(std::env::current_exe()?)
        .arg("--home")
        .arg(home)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Why a child refused to start, as it said in place of that it is up.
fn refusal(line: &str) -> Option<String> {
    let said: serde_json::Value = serde_json::from_str(line).ok()?;
    said["error"]["message"].as_str().map(|message| format!(": {message}"))
}

fn last_words(home: &Path) -> String {
    let log = std::fs::read_to_string(home.join(LOG_NAME)).unwrap_or_default();
    log.lines().last().map_or_else(String::new, |line| format!(": {line}"))
}
