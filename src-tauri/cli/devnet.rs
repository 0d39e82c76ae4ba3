//! `hayloft devnet`: a whole network on this computer, for trying things out and for tests.
//!
//! Each node is a process of its own with a home of its own, on loopback, on ports the system chose. Each is given the
//! address of the bootstrap node and nothing else: how they find each other is the real thing. The owner is told of the one
//! auditor, which its contracts name. Where keeping costs something, one more process is the ledger.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all, select_all, try_join_all};
use hayloft_gateway::Client;
use hayloft_node::{NetworkName, identity};
use serde::Serialize;

use crate::args;
use crate::children::{LedgerChild, NodeChild};
use crate::connect::Place;
use crate::farm::xlm;
use crate::output::{Output, Refusal, counted, quoted};
use crate::stop;

/// How long the owner may take to find every farmer.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(90);
/// How often the owner is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Remembers the network's name in a folder that is used again.
const NETWORK_FILE: &str = "network";

/// The ready line: the shape that scripts read.
#[derive(Serialize)]
struct ReadyLine<'a> {
    ready: bool,
    network: &'a str,
    bootstrap: &'a str,
    owner: Option<OwnerEntry<'a>>,
    auditor: NodeEntry<'a>,
    farmers: Vec<NodeEntry<'a>>,
    /// Where its ledger is; nothing where keeping costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<&'a str>,
}

#[derive(Serialize)]
struct OwnerEntry<'a> {
    home: &'a Path,
    pid: u32,
}

#[derive(Serialize)]
struct NodeEntry<'a> {
    home: &'a Path,
    pid: u32,
    id: &'a str,
}

impl<'a> NodeEntry<'a> {
    fn of(child: &'a NodeChild) -> Self {
        Self { home: &child.ready.home, pid: child.ready.pid, id: &child.ready.id }
    }
}

/// The running network.
struct Devnet {
    network: NetworkName,
    /// A home for whoever joins.
    guest: PathBuf,
    bootstrap_address: String,
    auditor_address: String,
    bootstrap: NodeChild,
    owner: Option<NodeChild>,
    auditor: NodeChild,
    farmers: Vec<NodeChild>,
    ledger: Option<LedgerChild>,
}

/// Where a devnet keeps its homes: a folder the person named, or one that vanishes with it.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// Runs a network until asked to stop, or until whoever holds its standard input is gone.
pub(crate) async fn run(place: &Place, wish: args::Devnet, output: Output) -> Result<()> {
    let folder = folder(place)?;
    let network = network(place, folder.path())?;
    let stop = stop::asked(wish.until_stdin_closes);
    tokio::pin!(stop);
    let mut devnet = tokio::select! {
        devnet = Devnet::start(folder.path(), network, &wish) => devnet?,
        () = &mut stop => return Ok(()),
    };
    let told = output.result(&devnet.ready_line(), || devnet.sentence());
    if told.is_ok() {
        devnet.stand(stop, output).await;
    }
    devnet.close().await;
    told
}

fn folder(place: &Place) -> Result<Folder> {
    let Some(home) = &place.home else {
        let folder = tempfile::Builder::new().prefix("hayloft-devnet-").tempdir();
        return folder.map(Folder::Temporary).context("no temporary folder can be made");
    };
    let home = std::path::absolute(home)?;
    std::fs::create_dir_all(&home)
        .with_context(|| format!("the folder {} cannot be made", home.display()))?;
    Ok(Folder::Kept(home))
}

/// The name given, the one the folder remembers, or a new one.
fn network(place: &Place, folder: &Path) -> Result<NetworkName> {
    let file = folder.join(NETWORK_FILE);
    let remembered = std::fs::read_to_string(&file).ok().map(|name| name.trim().parse()).transpose();
    let remembered: Option<NetworkName> =
        remembered.with_context(|| format!("{} holds no network's name", file.display()))?;
    let network = match (&place.network, remembered) {
        (Some(wanted), Some(kept)) if *wanted != kept => {
            let message = format!("The devnet in {} is on {kept}, not on {wanted}.", folder.display());
            return Err(Refusal { code: "bad_request", message }.into());
        }
        (_, Some(kept)) => kept,
        (Some(wanted), None) => wanted.clone(),
        (None, None) => format!("devnet-{:08x}", rand::random::<u32>()).parse()?,
    };
    std::fs::write(&file, network.as_str())
        .with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(network)
}

impl Devnet {
    async fn start(folder: &Path, network: NetworkName, wish: &args::Devnet) -> Result<Self> {
        let name = network.as_str();
        let ledger = match wish.price {
            None => None,
            Some(_) => Some(LedgerChild::start("the ledger".into(), folder.join("ledger")).await?),
        };
        let basic = basic(wish, ledger.as_ref());
        let bootstrap =
            NodeChild::start("the bootstrap node".into(), folder.join("bootstrap"), name, basic.clone())
                .await?;
        let bootstrap_address =
            quic_first(&bootstrap.ready.addresses).context("the bootstrap node has no address")?;
        let mut words = basic.clone();
        words.extend(["--bootstrap".into(), bootstrap_address.clone(), "--audit".into()]);
        let auditor = NodeChild::start("the auditor".into(), folder.join("auditor"), name, words).await?;
        let auditor_address = quic_first(&auditor.ready.addresses).context("the auditor has no address")?;
        let farmers = (0..wish.farmers).map(|index| {
            let home = folder.join(format!("farmer-{}", index + 1));
            NodeChild::start(
                format!("farmer {}", index + 1),
                home,
                name,
                farmer_words(index, wish, basic.clone(), &bootstrap_address),
            )
        });
        let owner = async {
            if wish.no_owner {
                return Ok(None);
            }
            let mut words = basic.clone();
            words.extend(["--bootstrap".into(), bootstrap_address.clone()]);
            words.extend(["--auditor".into(), auditor_address.clone()]);
            start_owner(folder.join("owner"), &network, words).await.map(Some)
        };
        let (farmers, owner) = tokio::try_join!(try_join_all(farmers), owner)?;
        let guest = folder.join("guest");
        let devnet = Self {
            network,
            guest,
            bootstrap_address,
            auditor_address,
            bootstrap,
            owner,
            auditor,
            farmers,
            ledger,
        };
        devnet.wait_for_discovery().await?;
        Ok(devnet)
    }

    /// Returns once the owner knows every farmer.
    async fn wait_for_discovery(&self) -> Result<()> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let client = Client::connect(&owner.ready.home).await?;
        let mut found = 0;
        let search = async {
            while found < self.farmers.len() {
                tokio::time::sleep(ASK_AGAIN).await;
                found = client.status().await?.farmers as usize;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(DISCOVERY_LIMIT, search).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!(
                    "The owner found {found} of {} farmers in {} seconds.",
                    self.farmers.len(),
                    DISCOVERY_LIMIT.as_secs()
                );
                Err(Refusal { code: "not_enough_farmers", message }.into())
            }
        }
    }

    fn ready_line(&self) -> ReadyLine<'_> {
        let owner =
            self.owner.as_ref().map(|owner| OwnerEntry { home: &owner.ready.home, pid: owner.ready.pid });

        ReadyLine {
            ready: true,
            network: self.network.as_str(),
            bootstrap: &self.bootstrap_address,
            owner,
            auditor: NodeEntry::of(&self.auditor),
            farmers: self.farmers.iter().map(NodeEntry::of).collect(),
            ledger: self.ledger.as_ref().map(|ledger| ledger.ready.ledger.as_str()),
        }
    }

    fn sentence(&self) -> String {
        let ledger = self.ledger.as_ref().map(|ledger| ledger.ready.ledger.as_str());
        let mut said = format!(
            "The network {} is up with {}. Stop it with Ctrl-C.\nJoin with: {}",
            self.network,
            counted(self.farmers.len() as u64, "farmer"),
            join_line(
                &self.guest,
                &self.network,
                &self.bootstrap_address,
                ledger.zip(Some(self.auditor_address.as_str()))
            )
        );
        if let Some(owner) = &self.owner {
            said += &format!("\nStore with: hayloft --home {} put PATH", quoted(&owner.ready.home));
        }
        if let Some(ledger) = ledger {
            said += &format!("\nIts ledger: {ledger}");
        }
        said
    }

    /// Stays until `stop`, and says so when a node ends before that.
    async fn stand(&mut self, stop: impl Future<Output = ()>, output: Output) {
        let first = [&mut self.bootstrap, &mut self.auditor].into_iter();
        let watched = first.chain(&mut self.owner).chain(&mut self.farmers);
        let mut alive: Vec<BoxFuture<'_, (String, String)>> =
            watched.map(|child| async move { (child.ended().await, child.title.clone()) }.boxed()).collect();
        if let Some(ledger) = &mut self.ledger {
            alive.push(async move { (ledger.ended().await, ledger.title.clone()) }.boxed());
        }
        tokio::pin!(stop);
        while !alive.is_empty() {
            tokio::select! {
                () = &mut stop => return,
                ((how, title), _, rest) = select_all(alive) => {
                    output.note(format_args!("{title} has ended: {how}"));
                    alive = rest;
                }
            }
        }
        stop.await;
    }

    async fn close(self) {
        let all = [self.bootstrap, self.auditor].into_iter().chain(self.owner).chain(self.farmers);
        join_all(all.map(NodeChild::close)).await;
        // Last, so that nobody misses it.
        if let Some(ledger) = self.ledger {
            ledger.close().await;
        }
    }
}

/// What a node is started with that joins; where keeping costs something it needs the ledger, and an auditor for its contracts.
fn join_line(home: &Path, network: &NetworkName, bootstrap: &str, priced: Option<(&str, &str)>) -> String {
    let priced = priced
        .map_or_else(String::new, |(ledger, auditor)| format!(" --ledger {ledger} --auditor {auditor}"));
    format!("hayloft --home {} --network {network} node --bootstrap {bootstrap}{priced}", quoted(home))
}

async fn start_owner(home: PathBuf, network: &NetworkName, words: Vec<String>) -> Result<NodeChild> {
    let is_new = !home.exists();
    if is_new {
        identity::create(&home, Some(network.clone()), "", false).await?;
    }
    NodeChild::start("the owner".into(), home, network.as_str(), words).await
}

fn farmer_words(index: u16, wish: &args::Devnet, mut words: Vec<String>, bootstrap: &str) -> Vec<String> {
    words.extend(["--bootstrap".into(), bootstrap.to_owned()]);
    words.extend(["--farm".into(), wish.farm_size.to_string()]);
    words.extend(["--disk-guard".into(), wish.disk_guard.to_string()]);
    if let Some(price) = wish.price {
        words.extend(["--price".into(), xlm(price)]);
    }
    if let Some(groups) = wish.groups {
        words.extend(["--operator".into(), format!("group-{}", index % groups + 1)]);
    }
    words
}

/// What every node is told.
fn basic(wish: &args::Devnet, ledger: Option<&LedgerChild>) -> Vec<String> {
    let words = ["--no-mdns", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let epoch = wish.epoch.into_iter().flat_map(|seconds| ["--epoch".into(), seconds.to_string()]);
    let ledger = ledger.into_iter().flat_map(|child| ["--ledger".into(), child.ready.ledger.clone()]);
    words.map(str::to_owned).into_iter().chain(epoch).chain(ledger).collect()
}

fn quic_first(addresses: &[String]) -> Option<String> {
    addresses.iter().find(|address| address.contains("/quic-v1/")).or(addresses.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_has_the_shape_that_scripts_read() {
        let line = ReadyLine {
            ready: true,
            network: "devnet-1",
            bootstrap: "/ip4/127.0.0.1/udp/1/quic-v1/p2p/x",
            owner: Some(OwnerEntry { home: Path::new("/o"), pid: 1 }),
            auditor: NodeEntry { home: Path::new("/a"), pid: 3, id: "0a" },
            farmers: vec![NodeEntry { home: Path::new("/f"), pid: 2, id: "00ff" }],
            ledger: None,
        };
        let expected = concat!(
            r#"{"ready":true,"network":"devnet-1","bootstrap":"/ip4/127.0.0.1/udp/1/quic-v1/p2p/x","#,
            r#""owner":{"home":"/o","pid":1},"auditor":{"home":"/a","pid":3,"id":"0a"},"#,
            r#""farmers":[{"home":"/f","pid":2,"id":"00ff"}]}"#
        );
        assert_eq!(serde_json::to_string(&line).unwrap(), expected);
        let priced = ReadyLine { ledger: Some("http://127.0.0.1:1"), ..line };
        let expected = expected.replace("}]}", r#"}],"ledger":"http://127.0.0.1:1"}"#);
        assert_eq!(serde_json::to_string(&priced).unwrap(), expected);
    }

    #[test]
    fn whoever_joins_is_told_of_a_home_of_its_own_and_of_what_a_price_takes() {
        let (network, auditor) = ("devnet-1".parse().unwrap(), "/ip4/b");
        let home = Path::new("/tmp/dev net/guest");
        assert_eq!(
            join_line(home, &network, "/ip4/a", None),
            "hayloft --home '/tmp/dev net/guest' --network devnet-1 node --bootstrap /ip4/a"
        );
        let priced = join_line(home, &network, "/ip4/a", Some(("http://l", auditor)));
        assert!(priced.ends_with(" --ledger http://l --auditor /ip4/b"), "{priced}");
    }

    #[test]
    fn a_folder_that_is_used_again_keeps_its_network() {
        let folder = tempfile::tempdir().unwrap();
        let place =
            |network: Option<&str>| Place { home: None, network: network.map(|name| name.parse().unwrap()) };
        let first = network(&place(None), folder.path()).unwrap();
        assert!(first.as_str().starts_with("devnet-"));
        assert_eq!(network(&place(None), folder.path()).unwrap(), first);
        assert!(network(&place(Some("other")), folder.path()).is_err());
    }
}
