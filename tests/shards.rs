//! The shard files on a farmer's disk, for tests that harm them, and a job's end.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::StreamExt as _;
use hayloft_core::audit::Sectors;
use hayloft_gateway::Client;
use hayloft_node::model::{Job, JobState};

/// What each shard file begins with.
pub(crate) const HEADER_BYTES: u64 = 128;
/// Far longer than a job takes in a test.
const JOB_LIMIT: Duration = Duration::from_secs(300);

/// The shard files in the folder of a farmer's home, without their tags, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn shard_files(home: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(home.join("shards"))? {
        let folder = folder?;
        if folder.file_name().len() == 2 {
            for shard in std::fs::read_dir(folder.path())? {
                found.push(shard?.path());
            }
        }
    }
    found.retain(|path| path.extension().is_none());
    found.sort();
    Ok(found)
}

/// Flips one bit in each hundredth block of a shard's file.
///
/// # Errors
/// If the file cannot be read or written.
pub fn flip_in_one_percent(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    let block = Sectors::DEFAULT.block_bytes();
    for at in (HEADER_BYTES as usize + block / 2..bytes.len()).step_by(100 * block) {
        bytes[at] ^= 0x10;
    }
    Ok(std::fs::write(path, bytes)?)
}

/// Exchanges two files.
///
/// # Errors
/// If they cannot be moved.
pub fn exchange(one: &Path, two: &Path) -> Result<()> {
    let aside = one.with_extension("aside");
    std::fs::rename(one, &aside)?;
    std::fs::rename(two, one)?;
    Ok(std::fs::rename(aside, two)?)
}

/// Bytes that do not repeat, and differ by name, in a file of that name in `folder`.
///
/// # Errors
/// If it cannot be written.
pub fn noise_file(folder: &Path, name: &str, bytes: usize) -> Result<PathBuf> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut noise);
    let file = folder.join(name);
    std::fs::write(&file, noise)?;
    Ok(file)
}

/// A job once it no longer runs.
///
/// # Errors
/// If that takes too long, or its node ends.
pub async fn job_end(client: &Client, id: u32) -> Result<Job> {
    let ended = async {
        let mut news = client.events().await?;
        loop {
            let job = client.job(id).await?;
            if job.state != JobState::Running {
                return Ok(job);
            }
            news.next().await.context("the node has ended")?;
        }
    };
    tokio::time::timeout(JOB_LIMIT, ended).await.context("a job does not end")?
}
