//! Disks that are full or cannot be written, and a database that is gone: a clear sentence, nothing lost, and work goes on
//! when it can.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{GetRequest, Job, JobState, PresetName, PutRequest};
use hayloft_tests::{Devnet, NodeProcess, SmallDisk, farmers_seen, hayloft};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const DAY_SECONDS: u64 = 24 * 60 * 60;
const MB: usize = 1_000_000;

/// Bytes that do not repeat.
fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
    noise
}

fn put_request(path: PathBuf) -> PutRequest {
    PutRequest {
        paths: vec![path],
        name: None,
        keep_seconds: 30 * DAY_SECONDS,
        renew: false,
        replace: false,
        preset: PresetName::Standard,
        price: None,
    }
}

fn get_request(name: &str, output: PathBuf) -> GetRequest {
    GetRequest { name: name.into(), output, overwrite: false, offset: 0, bytes: None }
}

/// The job as soon as it is as wanted.
async fn job_becomes(node: &Client, job: u32, wanted: impl Fn(&Job) -> bool) -> Result<Job> {
    let mut news = node.events().await?;
    loop {
        let now = node.job(job).await?;
        if wanted(&now) {
            return Ok(now);
        }
        let moves = matches!(now.state, JobState::Running | JobState::Paused);
        ensure!(moves, "the job ended otherwise: {now:?}");
        news.next().await.context("the node has ended")?;
    }
}

async fn put(node: &Client, path: PathBuf) -> Result<Job> {
    let job = node.put(put_request(path)).await?;
    job_becomes(node, job, |job| matches!(job.state, JobState::Done | JobState::Failed)).await
}

async fn get(node: &Client, name: &str, output: PathBuf) -> Result<Job> {
    let job = node.get(get_request(name, output)).await?;
    job_becomes(node, job, |job| matches!(job.state, JobState::Done | JobState::Failed)).await
}

/// An owner of its own on a small disk, which holds its home or a folder beside it.
async fn owner_on(disk: &SmallDisk, devnet: &Devnet, home: &Path) -> Result<(NodeProcess, Client)> {
    let words = ["--bootstrap", devnet.bootstrap(), "--disk-guard", "1MB"];
    let node = NodeProcess::start_on_disk(disk, home, devnet.network(), &words)?;
    let client = node.client().await?;
    if !home.starts_with(disk.folder()) {
        return Ok((node, client));
    }
    client.create_identity("", false).await?;
    Ok((node, client))
}

#[tokio::test]
async fn a_full_disk_of_a_farmer_takes_nothing_new_loses_nothing_and_goes_on_when_there_is_room() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let scratch = folder.path();
    let owner_node = NodeProcess::start(&scratch.join("owner"), "disks", &[])?;
    let owner = owner_node.client().await?;
    owner.create_identity("", false).await?;
    let home = scratch.join("farmer");
    let disk = SmallDisk::new(&home, 40 << 20)?;
    let bootstrap = owner_node.addresses();
    let bootstrap = bootstrap.first().context("an owner without an address")?;
    let words = ["--bootstrap", bootstrap, "--disk-guard", "2MB", "--farm", "20MB"];
    let farmer = NodeProcess::start_on_disk(&disk, &home, "disks", &words)?;
    let farm = farmer.client().await?;
    farmers_seen(&owner, 1).await?;
    for (name, seed) in [("kept", 1), ("late", 2)] {
        std::fs::write(scratch.join(name), noise(seed, 3 * MB))?;
    }
    ensure!(put(&owner, scratch.join("kept")).await?.state == JobState::Done);
    let used = farm.farm_status().await?.used_bytes;

    disk.fill(&farmer)?;
    let status = farm.farm_status().await?;
    ensure!(!status.accepting && status.free_bytes == 0, "{status:?}");
    ensure!(status.reason.as_ref().is_some_and(|reason| reason.contains("nearly full")), "{status:?}");
    let refused = owner.put(put_request(scratch.join("late"))).await;
    if let Ok(job) = refused {
        job_becomes(&owner, job, |job| job.state == JobState::Failed).await?;
    }
    ensure!(owner.files().await?.len() == 1, "what found no room is not listed");
    ensure!(get(&owner, "kept", scratch.join("back")).await?.state == JobState::Done, "it still serves");
    ensure!(std::fs::read(scratch.join("back"))? == noise(1, 3 * MB));
    ensure!(farm.farm_status().await?.used_bytes == used);

    disk.empty(&farmer)?;
    farmers_seen(&owner, 1).await?;
    ensure!(put(&owner, scratch.join("late")).await?.state == JobState::Done, "it goes on");
    ensure!(farm.farm_status().await?.used_bytes > used);
    Ok(())
}

#[tokio::test]
async fn a_farmer_that_starts_on_a_full_disk_serves_takes_nothing_and_goes_on_when_there_is_room()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let scratch = folder.path();
    let owner_node = NodeProcess::start(&scratch.join("owner"), "disks", &[])?;
    let owner = owner_node.client().await?;
    owner.create_identity("", false).await?;
    let bootstrap = owner_node.addresses();
    let bootstrap = bootstrap.first().context("an owner without an address")?;
    let words = ["--bootstrap", bootstrap, "--disk-guard", "2MB", "--farm", "20MB"];
    for (name, seed) in [("kept", 1), ("late", 2)] {
        std::fs::write(scratch.join(name), noise(seed, 3 * MB))?;
    }
    let before = scratch.join("before");
    let farmer = NodeProcess::start(&before, "disks", &words)?;
    farmers_seen(&owner, 1).await?;
    ensure!(put(&owner, scratch.join("kept")).await?.state == JobState::Done);
    let used = farmer.client().await?.farm_status().await?.used_bytes;
    drop(farmer);

    let home = scratch.join("farmer");
    let disk = SmallDisk::new(&home, 40 << 20)?.holding(&before).found_full();
    let farmer = NodeProcess::start_on_disk(&disk, &home, "disks", &words)?;
    let farm = farmer.client().await?;
    let status = farm.farm_status().await?;
    ensure!(!status.accepting && status.used_bytes == used, "{status:?}");
    ensure!(status.reason.as_ref().is_some_and(|reason| reason.contains("nearly full")), "{status:?}");
    farmers_seen(&owner, 1).await?;
    ensure!(get(&owner, "kept", scratch.join("back")).await?.state == JobState::Done, "it serves");
    ensure!(std::fs::read(scratch.join("back"))? == noise(1, 3 * MB));
    if let Ok(job) = owner.put(put_request(scratch.join("late"))).await {
        job_becomes(&owner, job, |job| job.state == JobState::Failed).await?;
    }
    ensure!(farm.farm_status().await?.used_bytes == used);

    disk.empty(&farmer)?;
    farmers_seen(&owner, 1).await?;
    ensure!(put(&owner, scratch.join("late")).await?.state == JobState::Done, "it goes on");
    Ok(())
}

#[tokio::test]
async fn a_node_on_a_read_only_home_says_so_in_one_sentence() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scratch = folder.path();
    let before = scratch.join("before");
    hayloft(&before, ["--network", "disks", "init"])?.done()?;
    let home = scratch.join("home");
    let disk = SmallDisk::new(&home, 8 << 20)?.holding(&before).found_read_only();
    let Err(refused) = NodeProcess::start_on_disk(&disk, &home, "disks", &[]) else {
        anyhow::bail!("it started on a disk that cannot be written");
    };
    let sentence = format!("Cannot use {} as a home: the disk is read-only.", home.display());
    ensure!(format!("{refused:#}").contains(&sentence), "{refused:#}");
    Ok(())
}

#[tokio::test]
async fn a_download_to_a_full_or_read_only_disk_fails_plainly_leaves_nothing_and_succeeds_later() -> Result<()>
{
    let devnet = Devnet::start_with(&["--farmers", "2"])?;
    let scratch = devnet.scratch()?;
    let home = scratch.join("home");
    hayloft(&home, ["--network", devnet.network(), "init"])?.done()?;
    let disk = SmallDisk::new(&scratch.join("downloads"), 6 << 20)?;
    let (node, owner) = owner_on(&disk, &devnet, &home).await?;
    farmers_seen(&owner, 2).await?;
    std::fs::write(scratch.join("film"), noise(1, 4 * MB))?;
    ensure!(put(&owner, scratch.join("film")).await?.state == JobState::Done);

    let (output, seen) = (disk.folder().join("film"), disk.seen_from_outside(&node));
    disk.fill(&node)?;
    let full = get(&owner, "film", output.clone()).await?;
    let said = full.message.unwrap_or_default();
    ensure!(full.state == JobState::Failed && said.contains("the disk is full"), "{said}");
    ensure!(std::fs::read_dir(&seen)?.count() == 1, "only the ballast is there");
    disk.empty(&node)?;
    ensure!(get(&owner, "film", output).await?.state == JobState::Done);
    ensure!(std::fs::read(seen.join("film"))? == noise(1, 4 * MB));

    disk.make_read_only(&node)?;
    let refused = get(&owner, "film", disk.folder().join("again")).await?;
    let said = refused.message.unwrap_or_default();
    ensure!(refused.state == JobState::Failed && said.contains("read-only"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_put_waits_while_the_disk_of_the_owners_database_is_full_and_lists_nothing_half() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "2"])?;
    let scratch = devnet.scratch()?;
    let home = scratch.join("home");
    let disk = SmallDisk::new(&home, 24 << 20)?;
    let (node, owner) = owner_on(&disk, &devnet, &home).await?;
    farmers_seen(&owner, 2).await?;
    for (name, seed) in [("before", 1), ("after", 2)] {
        std::fs::write(scratch.join(name), noise(seed, 2 * MB))?;
    }
    ensure!(put(&owner, scratch.join("before")).await?.state == JobState::Done);

    disk.fill(&node)?;
    // The job itself cannot be written down, or it can and then waits: both are said, and neither loses anything.
    let waiting = match owner.put(put_request(scratch.join("after"))).await {
        Ok(job) => {
            let full = |job: &Job| job.message.as_ref().is_some_and(|said| said.contains("is full"));
            Some(job_becomes(&owner, job, full).await?.id)
        }
        Err(error) => {
            ensure!(error.to_string().contains("is full"), "{error}");
            None
        }
    };
    ensure!(owner.files().await?.len() == 1);

    disk.empty(&node)?;
    match waiting {
        Some(job) => drop(job_becomes(&owner, job, |job| job.state == JobState::Done).await?),
        None => ensure!(put(&owner, scratch.join("after")).await?.state == JobState::Done),
    }
    for (name, seed) in [("before", 1), ("after", 2)] {
        let output = scratch.join(format!("{name}-back"));
        ensure!(get(&owner, name, output.clone()).await?.state == JobState::Done);
        ensure!(std::fs::read(output)? == noise(seed, 2 * MB));
    }
    Ok(())
}

#[tokio::test]
async fn an_owner_whose_own_disk_is_full_brings_a_file_back_to_another_disk() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "2"])?;
    let scratch = devnet.scratch()?;
    let home = scratch.join("home");
    let disk = SmallDisk::new(&home, 24 << 20)?;
    let (node, owner) = owner_on(&disk, &devnet, &home).await?;
    farmers_seen(&owner, 2).await?;
    std::fs::write(scratch.join("film"), noise(1, 4 * MB))?;
    ensure!(put(&owner, scratch.join("film")).await?.state == JobState::Done);

    disk.fill(&node)?;
    for output in ["one", "two"].map(|name| scratch.join(name)) {
        ensure!(get(&owner, "film", output.clone()).await?.state == JobState::Done);
        ensure!(std::fs::read(output)? == noise(1, 4 * MB));
    }
    Ok(())
}

#[tokio::test]
async fn a_limit_of_a_files_length_is_an_error_of_that_file_and_no_end_of_the_node() -> Result<()> {
    let devnet = Devnet::start_with(&["--farmers", "2"])?;
    let scratch = devnet.scratch()?;
    let node = devnet.join("limited", &["--bootstrap", devnet.bootstrap()])?;
    let owner = node.client().await?;
    owner.create_identity("", false).await?;
    farmers_seen(&owner, 2).await?;
    std::fs::write(scratch.join("film"), noise(1, 4 * MB))?;
    ensure!(put(&owner, scratch.join("film")).await?.state == JobState::Done);

    let pid = Pid::from_raw(node.pid().try_into()?);
    let limit = |current| Ok::<_, anyhow::Error>(prlimit(pid, Resource::Fsize, current)?);
    let before = limit(Rlimit { current: Some(3_000_000), maximum: None })?;
    let cut = get(&owner, "film", scratch.join("back")).await?;
    let said = cut.message.unwrap_or_default();
    ensure!(cut.state == JobState::Failed && said.contains("no file of that size"), "{said}");
    limit(before)?;
    ensure!(get(&owner, "film", scratch.join("back")).await?.state == JobState::Done);
    ensure!(std::fs::read(scratch.join("back"))? == noise(1, 4 * MB));
    Ok(())
}
