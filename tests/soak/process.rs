//! A node or a liar as a process of its own, which may be killed, paused and started again.
//!
//! Invariant: none outlives the soak, whatever ends it. Each ends when the pipe to its standard input closes; a paused one
//! could not notice that, so another process stands by that wakes it when its own pipe closes.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hayloft_gateway::Client;
use hayloft_tests::{binary, built, kill_9, pause, terminate};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

/// How long a process may take to be up or to be gone, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// What nodes write into their logs.
const LOG_FILTER: &str = "warn,hayloft_node=info";

/// What a node needs to be started, and started again.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) home: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) network: String,
    pub(crate) words: Vec<String>,
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    line: Value,
    // Held open: a node whose standard output is closed could not speak.
    _stdout: BufReader<ChildStdout>,
}

/// A paused process goes on when this is dropped.
pub(crate) struct Pause(Child);

impl Place {
    /// Starts the node and returns once it is up.
    pub(crate) async fn start(&self) -> Result<Process> {
        let mut command = Command::new(binary()?);
        command.arg("--home").arg(&self.home).args(["--network", &self.network, "--json", "node"]);
        command.args(["--until-stdin-closes", "--no-mdns"]);
        command.args(["--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        command.args(&self.words);
        Process::start(command, &self.log).await.with_context(|| format!("{}", self.home.display()))
    }

    /// A connection to the node that runs there.
    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.home).await?)
    }
}

impl Process {
    /// Starts a farmer that breaks its word in the way that `lie` names.
    pub(crate) async fn liar(network: &str, bootstrap: &str, lie: &str, log: &Path) -> Result<Self> {
        let mut command = Command::new(built("hayloft-liar")?);
        command.args([network, bootstrap, lie]);
        Self::start(command, log).await.with_context(|| format!("a liar of the kind {lie}"))
    }

    async fn start(mut command: Command, log: &Path) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .env("HAYLOFT_LOG", LOG_FILTER)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.kill_on_drop(true).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("a process without an output")?);
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line));
        read.await.context("it did not come up in time")??;
        let line: Value = serde_json::from_str(&line).with_context(|| format!("it said: {line:?}"))?;
        ensure!(line["error"].is_null(), "it was refused: {line}");
        Ok(Self { child, line, _stdout: stdout })
    }

    /// Its device id in hex.
    pub(crate) fn id(&self) -> String {
        self.line["id"].as_str().unwrap_or_default().to_owned()
    }

    /// The address to join by.
    pub(crate) fn address(&self) -> Option<String> {
        let addresses: Vec<String> = serde_json::from_value(self.line["addresses"].clone()).ok()?;
        addresses.into_iter().find(|address| address.contains("/quic-v1/"))
    }

    /// Its number; none if it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it so that it can do nothing about it.
    pub(crate) async fn kill(self) -> Result<()> {
        kill_9(self.pid().context("it had ended by itself")?)?;
        self.gone().await
    }

    /// Asks it to end, as the system does at shutdown.
    pub(crate) async fn terminate(self) -> Result<()> {
        terminate(self.pid().context("it had ended by itself")?)?;
        self.gone().await
    }

    /// Lets go of it.
    pub(crate) async fn close(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.gone().await
    }

    async fn gone(mut self) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not end")??;
        Ok(())
    }

    /// Lets it stand still until the value is dropped.
    pub(crate) fn pause(&self) -> Result<Pause> {
        let pid = self.pid().context("it had ended by itself")?;
        let mut waker = Command::new("sh");
        waker.args(["-c", "read -r _; kill -CONT \"$0\"", &pid.to_string()]);
        let waker = waker.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        pause(pid)?;
        Ok(Pause(waker))
    }
}

impl Pause {
    /// Lets the process go on.
    pub(crate) async fn end(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().await?;
        Ok(())
    }
}
