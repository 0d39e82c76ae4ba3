//! Networks and single nodes as processes of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use hayloft_gateway::Client;
use hayloft_node::model::{PresetName, PutRequest};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::kill_9;
use crate::{
    binary, go_on,
    line::{Line, Lines, Place},
    run_command::built,
};

/// How long a process may take to be gone after it was killed.
const END_LIMIT: Duration = Duration::from_secs(30);

/// How long finding farmers may take: while nobody asks for farmers, a node lets more and more time pass between looks.
const FIND_LIMIT: Duration = Duration::from_secs(180);
/// How long to wait for news before farmers are asked for once more.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A farmer of a devnet, or its auditor.
#[derive(Debug, Clone, Deserialize)]
pub struct Farmer {
    /// Its home.
    pub home: PathBuf,
    /// Its process.
    pub pid: u32,
    /// Its device id in hex.
    pub id: String,
}

#[derive(Debug, Deserialize)]
struct Owner {
    home: PathBuf,
}

#[derive(Debug, Deserialize)]
struct ReadyLine {
    network: String,
    bootstrap: String,
    owner: Option<Owner>,
    auditor: Farmer,
    farmers: Vec<Farmer>,
}

/// A whole network, gone with this value.
pub struct Devnet {
    process: LivingProcess,
    ready: ReadyLine,
    line: Value,
    // Last, so that the processes are gone before their homes.
    folder: TempDir,
}

impl Devnet {
    /// A network of `farmers`, spread over `groups` declared operators, with an owner who knows them all.
    ///
    /// # Errors
    /// If it does not come up; the reason is on this test's stderr.
    pub fn start(farmers: u16, groups: Option<u16>) -> Result<Self> {
        let mut words = vec!["--farmers".to_owned(), farmers.to_string()];
        words.extend(groups.into_iter().flat_map(|groups| ["--groups".to_owned(), groups.to_string()]));
        Self::start_with(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A network as `hayloft devnet WORDS` makes it.
    ///
    /// # Errors
    /// If it does not come up; the reason is on this test's stderr.
    pub fn start_with(words: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary()?);
        command
            .arg("--home")
            .arg(folder.path())
            .args(["--json", "devnet", "--until-stdin-closes"])
            .args(words);
        let (process, line) = LivingProcess::start(command).context("the devnet did not start")?;
        Ok(Self { process, ready: serde_json::from_value(line.clone())?, line, folder })
    }

    /// The ready line as it was printed.
    pub fn line(&self) -> &Value {
        &self.line
    }

    /// The network's name.
    pub fn network(&self) -> &str {
        &self.ready.network
    }

    /// The bootstrap node's address.
    pub fn bootstrap(&self) -> &str {
        &self.ready.bootstrap
    }

    /// All farmers, in the order they were started.
    pub fn farmers(&self) -> &[Farmer] {
        &self.ready.farmers
    }

    /// The auditor.
    pub fn auditor(&self) -> &Farmer {
        &self.ready.auditor
    }

    /// The owner's home.
    ///
    /// # Errors
    /// If it was started without one.
    pub fn owner_home(&self) -> Result<&Path> {
        Ok(&self.ready.owner.as_ref().context("this devnet has no owner")?.home)
    }

    /// The owner's node.
    ///
    /// # Errors
    /// If there is none or it does not answer.
    pub async fn owner(&self) -> Result<Client> {
        Ok(Client::connect(self.owner_home()?).await?)
    }

    /// The bootstrap node's home.
    pub fn bootstrap_home(&self) -> PathBuf {
        self.folder.path().join("bootstrap")
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

    /// A further node on this network, which is told `words` more.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn join(&self, name: &str, words: &[&str]) -> Result<NodeProcess> {
        NodeProcess::start(&self.folder.path().join(name), self.network(), words)
    }

    /// A farmer on this network that breaks its word in the way that `lie` names.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn liar(&self, lie: &str) -> Result<Liar> {
        let mut command = Command::new(built("hayloft-liar")?);
        command.args([self.network(), self.bootstrap(), lie]);
        let (process, line) = LivingProcess::start(command).context("the liar did not start")?;
        let id = line["id"].as_str().context("a liar without an id")?.to_owned();
        Ok(Liar { _process: process, id })
    }

    /// A stranger who attacks the node behind `client` in the way that `attack` names; the attack stands.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn flood(&self, attack: &str, client: &Client) -> Result<Flood> {
        let addresses = client.status().await?.addresses;
        let mut command = Command::new(built("hayloft-flood")?);
        command.arg(self.network()).arg(attack).args(addresses);
        // It waits until its attack stands, which must not hold up the test's own runtime.
        let started = tokio::task::spawn_blocking(|| LivingProcess::start(command)).await?;
        let (process, line) = started.context("the flood did not begin")?;
        Ok(Flood { _process: process, count: line["begun"].as_u64().context("a flood without a count")? })
    }

    /// Kills the ledger, and founds another one at its address, which knows nothing of what was.
    ///
    /// # Errors
    /// If there is none, or the new one does not come up.
    #[cfg(target_os = "linux")]
    pub fn wipe_ledger(&self) -> Result<Ledger> {
        let url = self.line["ledger"].as_str().context("this devnet has no ledger")?;
        let address = url.strip_prefix("http://").context("not a local ledger")?;
        let home = self.folder.path().join("ledger");
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid()))?;
        let is_ledger = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == b"ledger")
        };
        let mut pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        kill_9(pids.find(is_ledger).context("no ledger runs")?)?;
        std::fs::remove_dir_all(&home)?;
        Ledger::start(&home, address)
    }

    /// The process of `hayloft devnet` itself.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Waits until `hayloft devnet` has ended by itself, and gives its exit code.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        Ok(self.process.child.wait()?.code())
    }
}

/// A ledger of no devnet, gone with this value.
pub struct Ledger {
    process: LivingProcess,
    url: String,
}

impl Ledger {
    /// Starts one and waits until it is up. Port 0 takes a free one.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(home: &Path, listen: &str) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.arg("--home").arg(home).args([
            "--json",
            "ledger",
            "--until-stdin-closes",
            "--listen",
            listen,
        ]);
        let (process, line) = LivingProcess::start(command).context("the ledger did not start")?;
        let url = line["ledger"].as_str().context("it does not say where it is")?.to_owned();
        Ok(Self { process, url })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }
}

/// One node, gone with this value.
pub struct NodeProcess {
    process: LivingProcess,
    home: PathBuf,
    line: Value,
    place: Option<Place>,
}

impl NodeProcess {
    /// Starts `hayloft node WORDS` on loopback and waits until it is up.
    ///
    /// # Errors
    /// If it does not come up; the reason is on this test's stderr.
    pub fn start(home: &Path, network: &str, words: &[&str]) -> Result<Self> {
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1".to_owned(), "/ip4/127.0.0.1/tcp/0".to_owned()];
        Self::start_on(home, network, &listen, words)
    }

    /// Starts `hayloft node WORDS` as the one process that sees a small disk, and waits until it is up.
    ///
    /// # Errors
    /// If it does not come up; the reason is on this test's stderr.
    #[cfg(target_os = "linux")]
    pub fn start_on_disk(
        disk: &crate::SmallDisk,
        home: &Path,
        network: &str,
        words: &[&str],
    ) -> Result<Self> {
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1".to_owned(), "/ip4/127.0.0.1/tcp/0".to_owned()];
        let command = disk.under(&command(home, network, &listen, words)?);
        let (process, line) = LivingProcess::start(command)
            .context("the node did not start: `unshare --mount` and a tmpfs are needed")?;
        let node = Self { process, home: home.to_owned(), line, place: None };
        let inside =
            home.strip_prefix(disk.folder()).map(|within| disk.seen_from_outside(&node).join(within));
        Ok(Self { home: inside.unwrap_or_else(|_| home.to_owned()), ..node })
    }

    /// Starts `hayloft node WORDS` behind a line and waits until it is up; [`NodeProcess::addresses`] are then those
    /// by which others reach it over that line.
    ///
    /// # Errors
    /// If it does not come up; the reason is on this test's stderr.
    pub fn start_behind(
        lines: &Lines,
        line: &Line,
        home: &Path,
        network: &str,
        words: &[&str],
    ) -> Result<Self> {
        let place = lines.place(line)?;
        let node = Self::start_on(home, network, &[place.listen()], words)?;
        Ok(Self { place: Some(place), ..node })
    }

    fn start_on(home: &Path, network: &str, listen: &[String], words: &[&str]) -> Result<Self> {
        let command = command(home, network, listen, words)?;
        let (process, line) = LivingProcess::start(command).context("the node did not start")?;
        Ok(Self { process, home: home.to_owned(), line, place: None })
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Its device id in hex.
    pub fn id(&self) -> &str {
        self.line["id"].as_str().unwrap_or_default()
    }

    /// Its addresses, each ending in `/p2p/…`.
    pub fn addresses(&self) -> Vec<String> {
        let own: Vec<String> = serde_json::from_value(self.line["addresses"].clone()).unwrap_or_default();
        let peer = own.first().and_then(|address| address.rsplit('/').next());
        match (&self.place, peer) {
            (Some(place), Some(peer)) => vec![place.reached_by(peer)],
            _ => own,
        }
    }

    /// A connection to it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.home).await?)
    }

    /// Kills it so that it can do nothing about it, and returns when it is gone.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill_9(mut self) -> Result<()> {
        self.process.child.kill()?;
        self.process.child.wait()?;
        Ok(())
    }
}

fn command(home: &Path, network: &str, listen: &[String], words: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("--home").arg(home).args(["--network", network, "--json", "node"]);
    command.args(["--until-stdin-closes", "--no-mdns"]).args(words);
    for address in listen {
        command.args(["--listen", address]);
    }
    Ok(command)
}

/// A farmer that breaks its word, gone with this value.
pub struct Liar {
    _process: LivingProcess,
    id: String,
}

impl Liar {
    /// Its device id in hex.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// An attack from a process of its own, over with this value.
pub struct Flood {
    _process: LivingProcess,
    count: u64,
}

impl Flood {
    /// Connections, streams or requests of the attack.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// A process that is asked to end when dropped, by closing its standard input, and waited for.
struct LivingProcess {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl LivingProcess {
    /// Starts `command` and reads the one JSON line by which it says that it is up.
    fn start(mut command: Command) -> Result<(Self, Value)> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("a process without an output")?);
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        let process = Self { child, _stdout: stdout };
        read?;
        let line: Value = serde_json::from_str(&line).with_context(|| format!("it said: {line:?}"))?;
        ensure!(line["error"].is_null(), "it was refused: {line}");
        Ok((process, line))
    }
}

impl Drop for LivingProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // One that a test has paused would never see it.
        let _ = go_on(self.child.id());
        // A process that was killed by the test has ended already.
        let _ = self.child.wait();
    }
}

/// Returns once the node behind `client` has seen valid offers of `farmers` farmers.
///
/// # Errors
/// If that takes too long.
pub async fn farmers_seen(client: &Client, farmers: u32) -> Result<()> {
    let mut news = client.events().await?;
    let seen = async {
        while client.status().await?.farmers < farmers {
            // A price is worked out from the farmers at hand, so the node looks for them, as it does before each put.
            let _ = client.quote(any_file()?).await;
            if let Ok(news) = tokio::time::timeout(ASK_AGAIN, news.next()).await {
                news.context("the node has ended")?;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(FIND_LIMIT, seen)
        .await
        .with_context(|| format!("no {farmers} farmers were found"))?
}

fn any_file() -> Result<PutRequest> {
    Ok(PutRequest {
        paths: vec![binary()?],
        name: None,
        keep_seconds: 24 * 60 * 60,
        renew: false,
        replace: false,
        preset: PresetName::Standard,
        price: None,
    })
}

/// Returns once the node behind `client` has ended, however it ended. To be begun before it is told to end.
///
/// # Errors
/// If it is not gone in good time.
pub async fn end_of(client: &Client) -> Result<impl Future<Output = Result<()>> + use<>> {
    // The connection breaks when the process is gone: nothing has to be asked again and again.
    let news = client.events().await?;
    Ok(async move {
        tokio::time::timeout(END_LIMIT, news.count()).await.context("the node is still running")?;
        Ok(())
    })
}
