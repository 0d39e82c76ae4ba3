//! The last judgement, when all farmers that did not leave are back: every file comes back identical, no shard of it is
//! missing but for those of liars and of farmers that left, and once all files are removed farmers keep nothing.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use hayloft_gateway::Client;
use hayloft_node::model::{FarmContract, FarmStatus, JobState};
use hayloft_tests::{kept_bytes, without_tags};

use crate::{
    worker::Worker,
    world::{Slot, World},
};

/// How long one thing may take to come right: longer than an owner waits before it tries again what failed.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked again while there is no news.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Files of one worker whose health is asked for at once.
const HEALTH_AT_ONCE: usize = 6;

/// What came out.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    /// Files that came back identical at the end.
    pub(crate) files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes of shards under contract while they were there.
    pub(crate) kept_bytes: u64,
    /// How long it took to compare them.
    pub(crate) compared_seconds: f64,
    /// How long it took until farmers had removed them.
    pub(crate) removed_seconds: f64,
    /// Honest farmers that were blamed, and why.
    pub(crate) blamed: Vec<String>,
}

/// Judges.
///
/// # Errors
/// Whatever is not as it should be.
pub(crate) async fn judge(world: &Rc<World>, workers: &mut [Worker]) -> Result<Outcome> {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    nothing_is_under_way(world).await?;
    for (files, bytes) in try_join_all(workers.iter_mut().map(|worker| compare_all(world, worker))).await? {
        outcome.files += files;
        outcome.bytes += bytes;
    }
    outcome.compared_seconds = begun.elapsed().as_secs_f64();
    let farmers = world.farmers_left();
    for farmer in &farmers {
        let farm =
            until(farmer, "its disk does not hold what its contracts say", |farm| adds_up(farmer, farm));
        outcome.kept_bytes += farm.await?.contracts.iter().map(|contract| contract.bytes).sum::<u64>();
    }
    ensure!(outcome.kept_bytes >= outcome.bytes, "farmers keep less than the files hold");
    let begun = Instant::now();
    for worker in workers.iter_mut() {
        let names: Vec<String> = worker.model.files().keys().cloned().collect();
        if !names.is_empty() {
            worker.remove(names).await?;
        }
    }
    for farmer in &farmers {
        until(farmer, "it keeps shards of removed files", |farm| {
            farm.used_bytes == 0 && farm.contracts.is_empty()
        })
        .await?;
    }
    for farmer in &farmers {
        until(farmer, "files of no shard are left", |farm| adds_up(farmer, farm)).await?;
    }
    outcome.removed_seconds = begun.elapsed().as_secs_f64();
    no_temporary_files(world)?;
    no_panics(world)?;
    outcome.blamed = honest_blamed(world)?;
    // On a slow machine an honest farmer may be silent for too long; it never does anything else wrong.
    let wrong = outcome.blamed.iter().find(|line| !line.contains("silent"));
    ensure!(wrong.is_none(), "an honest farmer was blamed: {wrong:?}");
    Ok(outcome)
}

/// Compares all files of a worker; gives how many they are, and their bytes.
async fn compare_all(world: &World, worker: &mut Worker) -> Result<(usize, u64)> {
    worker.compare_list(&BTreeMap::new()).await?;
    for (name, kept) in worker.model.files().clone() {
        worker.get_at_the_end(&name, kept).await.with_context(|| format!("at the end, {name}"))?;
    }
    // Each waits for farmers that are gone for ever: side by side they wait but once.
    let worker = &*worker;
    let names = worker.model.files().keys();
    let asking = stream::iter(names).map(|name| all_shards_are_there(world, worker, name));
    asking.buffer_unordered(HEALTH_AT_ONCE).try_collect::<()>().await?;
    Ok((worker.model.files().len(), worker.model.bytes()))
}

async fn nothing_is_under_way(world: &World) -> Result<()> {
    for owner in &world.owners {
        let jobs = owner.door.sure(async |node: Client| node.jobs().await).await?;
        let open = jobs.iter().find(|job| matches!(job.state, JobState::Running | JobState::Paused));
        ensure!(open.is_none(), "{}: a transfer is not over: {open:?}", owner.slot.name);
    }
    Ok(())
}

/// Every shard is found at its farmer, but for liars' and those of farmers that left.
async fn all_shards_are_there(world: &World, worker: &Worker, name: &str) -> Result<()> {
    let farmers = world.farmers_left();
    let there: HashSet<&str> = farmers.iter().map(|farmer| &*farmer.id).collect();
    let begun = Instant::now();
    loop {
        let health = worker.door().sure(async |node: Client| node.health(name).await).await?;
        let missing = health.segments.iter().flat_map(|segment| &segment.missing);
        let missing: HashSet<&String> = missing.filter(|farmer| there.contains(farmer.as_str())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<&String> =
            farmers.iter().filter(|farmer| missing.contains(&farmer.id)).map(|farmer| &farmer.name).collect();
        ensure!(begun.elapsed() < PATIENCE, "shards of {name} are missing at {names:?}, which are there");
        world.tally.action("health asked again");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Returns as soon as a farmer's figures are good.
async fn until(farmer: &Slot, otherwise: &str, good: impl Fn(&FarmStatus) -> bool) -> Result<FarmStatus> {
    let begun = Instant::now();
    let node = farmer.place.client().await.with_context(|| farmer.name.clone())?;
    let mut news = node.events().await?;
    loop {
        let farm = node.farm_status().await?;
        if good(&farm) {
            return Ok(farm);
        }
        ensure!(begun.elapsed() < PATIENCE, "{}: {otherwise}: {farm:?}", farmer.name);
        // Not all that changes the figures is news.
        let _ = tokio::time::timeout(LOOK_AGAIN, news.next()).await;
    }
}

/// Whether a farmer's folder holds exactly the shards under its contracts, and so much is counted as used.
fn adds_up(farmer: &Slot, farm: &FarmStatus) -> bool {
    // A file that goes while its folder is read is looked at again.
    let Ok(files) = shard_files(&farmer.place.home.join("shards")) else { return false };
    let contracts = |figure: fn(&FarmContract) -> u64| farm.contracts.iter().map(figure).sum::<u64>();
    let there = (files.len() as u64, files.iter().sum::<u64>());
    farm.reserved_bytes == 0
        && farm.scrub.lost_shards == 0
        && there == (contracts(|contract| contract.shards), contracts(|contract| contract.bytes))
        && farm.used_bytes == files.iter().map(|bytes| kept_bytes(*bytes)).sum::<u64>()
}

/// Bytes of the shards in a farmer's folder, those that are not whole too.
fn shard_files(folder: &Path) -> Result<Vec<u64>> {
    const HEADER_BYTES: u64 = 128;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten() {
        let prefix = entry.file_name().len() == 2 && entry.path().is_dir();
        if prefix {
            for file in std::fs::read_dir(entry.path())? {
                let len = file?.metadata()?.len().saturating_sub(HEADER_BYTES);
                found.push(without_tags(len).unwrap_or(len));
            }
        }
    }
    Ok(found)
}

fn no_temporary_files(world: &World) -> Result<()> {
    let farmers = world.farmers_left();
    for slot in world.owners.iter().map(|owner| &owner.slot).chain(&farmers) {
        for folder in [slot.place.home.clone(), slot.place.home.join("shards/contracts")] {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let left =
                entries.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with(".new-"));
            ensure!(left.is_none(), "a temporary file was left behind: {left:?}");
        }
    }
    Ok(())
}

/// Whom owners blamed although it was no liar, as their logs say.
fn honest_blamed(world: &World) -> Result<Vec<String>> {
    let mut blamed = Vec::new();
    for owner in &world.owners {
        let log = std::fs::read_to_string(&owner.slot.place.log)?;
        for line in log.lines().filter(|line| line.contains(" a farmer is blamed ")) {
            if !world.liars.borrow().iter().any(|liar| line.contains(liar)) {
                blamed.push(format!("{}: {line}", owner.slot.name));
            }
        }
    }
    Ok(blamed)
}

fn no_panics(world: &World) -> Result<()> {
    for log in std::fs::read_dir(world.folder.join("logs"))?.flatten() {
        let text = std::fs::read_to_string(log.path())?;
        let panic = text.lines().skip_while(|line| !line.contains("panicked at")).take(3).collect::<Vec<_>>();
        ensure!(panic.is_empty(), "{:?}: {}", log.file_name(), panic.join(" "));
    }
    Ok(())
}
