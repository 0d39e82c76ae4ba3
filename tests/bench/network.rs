//! A whole network: how fast it is up and found, what an idle farmer takes, how files go out and come back.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hayloft_gateway::Client;
use hayloft_tests::{Devnet, farmers_seen, kill_9};

use crate::{
    Wish,
    table::{Reference, Table, Target},
    transfers::{self, Moved, Owner},
    usage::{self, Spent},
};

const FARMERS: u16 = 40;
const KILLED: usize = 24;
/// Farmers that are gone before a repair.
const GONE: usize = 5;
const GIB: u64 = 1 << 30;
const SMALL_FILES: usize = 10_000;
const SMALL_BYTES: usize = 4096;
/// Farmers for which the standard preset takes 5 of n.
const FARMERS_FOR_FIVE: u16 = 13;
const IDLE: Duration = Duration::from_secs(60);
/// Until connections that nobody uses have closed.
const SETTLE: Duration = Duration::from_secs(70);
/// Nodes started one after the other.
const STARTS: usize = 5;
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a newcomer may take to find all farmers.
const FIND_LIMIT: Duration = Duration::from_secs(60);

/// Adds all that needs a network.
pub(crate) async fn measure(wish: &Wish, table: &mut Table) -> Result<()> {
    if wish.wants("network") || wish.wants("small") {
        forty(wish, table).await?;
    }
    if wish.wants("comparison") {
        comparison(table).await?;
    }
    if wish.wants("repair") {
        repair(table).await?;
    }
    Ok(())
}

fn start(farmers: u16) -> Result<(Devnet, f64)> {
    let begun = Instant::now();
    let farmers = farmers.to_string();
    let words = ["--farmers", &farmers, "--farm-size", "5GB", "--disk-guard", "1GB"];
    let devnet = Devnet::start_with(&words)?;
    Ok((devnet, begun.elapsed().as_secs_f64()))
}

async fn forty(wish: &Wish, table: &mut Table) -> Result<()> {
    let (devnet, up) = start(FARMERS)?;
    let owner = Owner::of(&devnet).await?;
    if wish.wants("network") {
        let note = "from nothing until the owner knows them all".to_owned();
        table.figure("network of 40 farmers", up, "s", Target::None, note);
        idle(&devnet, table).await?;
        start_up(&devnet, table).await?;
    }
    let file = owner.noise("one", GIB)?;
    if wish.wants("network") {
        put_and_get(&owner, &file, "1 GiB", table).await?;
        again(&owner, table).await?;
    } else {
        // Farmers' databases have their usual size before the overhead is counted.
        owner.put(&file).await?;
    }
    if wish.wants("small") {
        small_files(&owner, table).await?;
    }
    if wish.large {
        let large = owner.noise("eight", 8 * GIB)?;
        put_and_get(&owner, &large, "8 GiB", table).await?;
    }
    if wish.wants("network") {
        after_the_kill(&devnet, &owner, &file, table).await?;
    }
    Ok(())
}

/// How soon a node is up, and how soon a newcomer knows all farmers.
async fn start_up(devnet: &Devnet, table: &mut Table) -> Result<()> {
    let start = |number: usize| {
        let begun = Instant::now();
        let node = devnet.join(&format!("newcomer-{number}"), &["--bootstrap", devnet.bootstrap()])?;
        anyhow::Ok((begun.elapsed().as_secs_f64(), node))
    };
    let (starts, mut nodes): (Vec<f64>, Vec<_>) = (0..STARTS).map(start).collect::<Result<_>>()?;
    let newcomer = nodes.pop().context("no node was started")?;
    drop(nodes);
    let (middle, most) = middle_and_most(starts);
    let note = format!("on an empty home, the middle of {STARTS}; the slowest: {most:.2} s");
    table.figure("node ready", middle, "s", Target::AtMost(1.0), note);
    let client = newcomer.client().await?;
    let begun = Instant::now();
    client.create_identity("", false).await?;
    let made = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let found = tokio::time::timeout(FIND_LIMIT, all_found(&client)).await;
    found.context("not all farmers were found")??;
    let note = format!("by a newcomer who knows one address; its identity took {made:.2} s before");
    table.figure("40 farmers found", begun.elapsed().as_secs_f64(), "s", Target::AtMost(2.0), note);
    Ok(())
}

async fn all_found(client: &Client) -> Result<()> {
    let file = std::env::current_exe()?;
    let looking = tokio::spawn({
        let (client, file) = (client.clone(), file.clone());
        async move { client.quote(transfers::to_put(file)).await }
    });
    while client.status().await?.farmers < u32::from(FARMERS) {
        tokio::time::sleep(ASK_AGAIN).await;
    }
    looking.abort();
    Ok(())
}

/// What a farmer takes while nobody asks anything of it.
async fn idle(devnet: &Devnet, table: &mut Table) -> Result<()> {
    let pids: Vec<u32> = devnet.farmers().iter().map(|farmer| farmer.pid).collect();
    tokio::time::sleep(SETTLE).await;
    let spent = Spent::so_far(&pids);
    tokio::time::sleep(IDLE).await;
    let cores: Vec<f64> = spent.each_since().iter().map(|cpu| cpu / IDLE.as_secs_f64() * 100.0).collect();
    let (middle, most) = middle_and_most(cores);
    let note = format!("of a core over {} s; the busiest of 40: {most:.2} %", IDLE.as_secs());
    table.figure("idle farmer, processor", middle, "%", Target::AtMost(0.3), note);
    let memory: Result<Vec<f64>> = pids.iter().map(|&pid| usage::memory_mb(pid, "VmRSS")).collect();
    let own: Result<Vec<f64>> = pids.iter().map(|&pid| usage::memory_mb(pid, "RssAnon")).collect();
    let (middle, most) = middle_and_most(memory?);
    let note = format!(
        "the largest of 40: {most:.1} MB; without the program itself: {:.1} MB",
        middle_and_most(own?).0
    );
    table.figure("idle farmer, memory", middle, "MB", Target::AtMost(40.0), note);
    Ok(())
}

fn middle_and_most(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}

async fn put_and_get(owner: &Owner, file: &Path, size: &str, table: &mut Table) -> Result<()> {
    let moved = owner.put(file).await?;
    moved.tell(&format!("put {size} to 40 farmers"), Target::AtLeast(80.0), table);
    let memory = |what: &str, moved: &Moved, table: &mut Table| {
        let what = format!("owner's peak memory, {what} {size}");
        table.figure(&what, moved.peak_mb, "MB", Target::AtMost(250.0), String::new());
    };
    memory("put", &moved, table);
    let moved = owner.get(file).await?;
    moved.tell(&format!("get {size} from 40 farmers"), Target::AtLeast(200.0), table);
    let what = format!("first byte of {size}");
    table.figure(&what, moved.first_byte, "s", Target::AtMost(0.1), String::new());
    memory("get", &moved, table);
    Ok(())
}

/// A first put has each farmer check the owner's audit key too.
async fn again(owner: &Owner, table: &mut Table) -> Result<()> {
    let moved = owner.put(&owner.noise("again", GIB)?).await?;
    moved.tell("put another 1 GiB", Target::AtLeast(80.0), table);
    let note = "after two puts and a get".to_owned();
    table.figure("owner's peak memory by then", moved.peak_mb, "MB", Target::AtMost(250.0), note);
    Ok(())
}

async fn after_the_kill(devnet: &Devnet, owner: &Owner, file: &Path, table: &mut Table) -> Result<()> {
    if !owner.has(file).await? {
        owner.put(file).await?;
    }
    for farmer in &devnet.farmers()[..KILLED] {
        kill_9(farmer.pid)?;
    }
    let moved = owner.get(file).await?;
    moved.tell("get 1 GiB, 24 of 40 farmers just killed", Target::AtLeast(120.0), table);
    let note = "24 of 40 farmers just killed".to_owned();
    table.figure("first byte then", moved.first_byte, "s", Target::AtMost(1.0), note);
    Ok(())
}

async fn small_files(owner: &Owner, table: &mut Table) -> Result<()> {
    let folder = owner.folder("many", SMALL_FILES, SMALL_BYTES)?;
    let before = owner.farmers_disk()?;
    let put = owner.put(&folder).await?;
    let bytes = (SMALL_FILES * SMALL_BYTES) as f64;
    let note = format!("{}; {:.1} MB/s", put.spent(), put.rate());
    table.figure("put 10,000 files of 4 KiB", put.seconds, "s", Target::AtMost(5.0), note);
    let factor = f64::from(put.n) / f64::from(put.k);
    let over = ((owner.farmers_disk()? - before) as f64 / (bytes * factor) - 1.0) * 100.0;
    let note = format!("beyond {factor:.2} times the files' bytes, databases and journals included");
    table.figure("overhead on farmers' disks", over, "%", Target::AtMost(5.0), note);
    let got = owner.get(&folder).await?;
    let note = format!("{}; {:.1} MB/s", got.spent(), got.rate());
    table.figure("get 10,000 files of 4 KiB", got.seconds, "s", Target::AtMost(5.0), note);
    Ok(())
}

/// The closest that presets come to 5 of 12.
async fn comparison(table: &mut Table) -> Result<()> {
    let (devnet, _) = start(FARMERS_FOR_FIVE)?;
    let owner = Owner::of(&devnet).await?;
    let file: PathBuf = owner.noise("one", GIB)?;
    let moved = owner.put(&file).await?;
    moved.tell(&format!("put 1 GiB at {} of {}", moved.k, moved.n), Target::None, table);
    let moved = owner.get(&file).await?;
    moved.tell("get it back", Target::None, table);
    Ok(())
}

/// Five of the farmers of a file are gone, and as many that keep nothing of it have come.
async fn repair(table: &mut Table) -> Result<()> {
    let (devnet, _) = start(FARMERS_FOR_FIVE)?;
    let owner = Owner::of(&devnet).await?;
    let file: PathBuf = owner.noise("hundred", 100 << 20)?;
    let put = owner.put(&file).await?;
    let words = ["--farm", "5GB", "--disk-guard", "1GB", "--bootstrap", devnet.bootstrap()];
    let fresh = (0..GONE).map(|number| devnet.join(&format!("fresh-{number}"), &words));
    let fresh = fresh.collect::<Result<Vec<_>>>()?;
    farmers_seen(&devnet.owner().await?, u32::from(FARMERS_FOR_FIVE) + fresh.len() as u32).await?;
    for farmer in &devnet.farmers()[..GONE] {
        kill_9(farmer.pid)?;
    }
    let alive = owner.alive(&file).await?;
    ensure!(alive + GONE == usize::from(put.n), "{alive} of {} shards are there", put.n);
    let repaired = owner.repair(&file).await?;
    ensure!(owner.alive(&file).await? == usize::from(put.n), "it is not whole again");
    let what = format!("repair of 100 MiB at {} of {}, 5 farmers gone", put.k, put.n);
    table.figure(&what, repaired.seconds, "s", Target::AtMost(3.0), repaired.spent());
    Ok(())
}

impl Moved {
    /// Adds its rate, with what it cost.
    fn tell(&self, what: &str, target: Target, table: &mut Table) {
        table.rate(what, self.rate(), target, Reference::Quic, self.spent());
    }
}
