//! Transfers of one owner, with what they took.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use hayloft_gateway::Client;
use hayloft_node::model::{Event, GetRequest, JobReport, JobState, PresetName, PutRequest};
use hayloft_tests::Devnet;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::usage::{self, Spent};

const DAY_SECONDS: u64 = 24 * 60 * 60;
const PIECE: usize = 1 << 20;

/// An owner on a network, and a folder for its files.
pub(crate) struct Owner {
    client: Client,
    scratch: PathBuf,
    farmers: Vec<(u32, PathBuf)>,
}

/// What a transfer took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) first_byte: f64,
    pub(crate) peak_mb: f64,
    pub(crate) k: u8,
    pub(crate) n: u8,
    owner_cpu: f64,
    farmers_cpu: f64,
}

impl Moved {
    /// MB of file per second.
    pub(crate) fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    /// In words: the processor time, which load hardly changes.
    pub(crate) fn spent(&self) -> String {
        let per_gib = (1u64 << 30) as f64 / self.bytes as f64;
        let (owner, farmers) = (self.owner_cpu * per_gib, self.farmers_cpu * per_gib);
        format!("CPU s per GiB: owner {owner:.2}, farmers {farmers:.2}")
    }
}

/// A file or folder to store for a day.
pub(crate) fn to_put(path: PathBuf) -> PutRequest {
    PutRequest {
        paths: vec![path],
        name: None,
        keep_seconds: DAY_SECONDS,
        renew: false,
        replace: false,
        preset: PresetName::Standard,
        price: None,
    }
}

impl Owner {
    pub(crate) async fn of(devnet: &Devnet) -> Result<Self> {
        let farmers = devnet.farmers().iter().map(|farmer| (farmer.pid, farmer.home.clone())).collect();
        Ok(Self { client: devnet.owner().await?, scratch: devnet.scratch()?, farmers })
    }

    /// A file that cannot be compressed.
    pub(crate) fn noise(&self, name: &str, bytes: u64) -> Result<PathBuf> {
        let (path, mut rng) = (self.scratch.join(name), StdRng::seed_from_u64(bytes));
        let (mut file, mut piece, mut left) = (fs::File::create(&path)?, vec![0; PIECE], bytes);
        while left > 0 {
            rng.fill_bytes(&mut piece);
            let now = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.write_all(&piece[..now])?;
            left -= now as u64;
        }
        file.sync_all()?;
        Ok(path)
    }

    /// A folder of equal files, in a hundred folders.
    pub(crate) fn folder(&self, name: &str, files: usize, bytes: usize) -> Result<PathBuf> {
        let (folder, mut rng) = (self.scratch.join(name), StdRng::seed_from_u64(files as u64));
        let mut content = vec![0; bytes];
        for file in 0..files {
            let within = folder.join(format!("{:02}", file % 100));
            fs::create_dir_all(&within)?;
            rng.fill_bytes(&mut content);
            fs::write(within.join(format!("{file}")), &content)?;
        }
        Ok(folder)
    }

    /// Bytes of all farmers' homes.
    pub(crate) fn farmers_disk(&self) -> Result<u64> {
        self.farmers.iter().map(|(_, home)| usage::disk_bytes(home)).sum()
    }

    /// Whether a file is stored.
    pub(crate) async fn has(&self, path: &Path) -> Result<bool> {
        let name = name_of(path)?;
        Ok(self.client.files().await?.iter().any(|file| file.name == name))
    }

    /// Stores a file or folder.
    pub(crate) async fn put(&self, path: &Path) -> Result<Moved> {
        let (report, mut moved) = self.watch(self.client.put(to_put(path.to_owned()))).await?;
        let JobReport::Put(files) = report else { bail!("an upload reported a download") };
        moved.bytes = files.iter().map(|file| file.bytes).sum();
        moved.seconds = files.iter().map(|file| file.seconds).fold(0.0, f64::max);
        let first = files.first().context("nothing was stored")?;
        (moved.k, moved.n) = (first.k, first.n);
        Ok(moved)
    }

    /// Brings it back, and sees that it is what went out.
    pub(crate) async fn get(&self, path: &Path) -> Result<Moved> {
        let output = self.scratch.join("back");
        let name = name_of(path)?;
        let wish = GetRequest { name, output: output.clone(), overwrite: false, offset: 0, bytes: None };
        let (report, mut moved) = self.watch(self.client.get(wish)).await?;
        let JobReport::Get(report) = report else { bail!("a download reported an upload") };
        ensure!(same(path, &output)?, "it came back changed");
        if output.is_dir() {
            fs::remove_dir_all(output)?
        } else {
            fs::remove_file(output)?
        }
        (moved.bytes, moved.seconds) = (report.bytes, report.seconds);
        moved.first_byte = report.first_byte_seconds;
        Ok(moved)
    }

    /// Repairs it.
    pub(crate) async fn repair(&self, path: &Path) -> Result<Moved> {
        let name = name_of(path)?;
        let (report, mut moved) = self.watch(self.client.repair(&name)).await?;
        let JobReport::Repair(report) = report else { bail!("a repair reported a transfer") };
        (moved.bytes, moved.seconds) = (report.bytes, report.seconds);
        Ok(moved)
    }

    /// Shards of its weakest part that are there.
    pub(crate) async fn alive(&self, path: &Path) -> Result<usize> {
        let health = self.client.health(&name_of(path)?).await?;
        let alive = health.segments.iter().map(|segment| usize::from(segment.alive)).min();
        alive.context("a file without parts")
    }

    /// Follows a job to its end.
    async fn watch<E>(&self, begin: impl Future<Output = Result<u32, E>>) -> Result<(JobReport, Moved)>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let owner = self.client.pid();
        let pids: Vec<u32> = self.farmers.iter().map(|(pid, _)| *pid).collect();
        usage::forget_peak(owner)?;
        let (own, farmers) = (Spent::so_far(&[owner]), Spent::so_far(&pids));
        let mut news = self.client.events().await?;
        let id = begin.await?;
        loop {
            let job = self.client.job(id).await?;
            match job.state {
                JobState::Done => break,
                JobState::Running => {}
                _ => bail!("the transfer failed: {:?}", job.message),
            }
            while let Some(event) = news.next().await {
                if matches!(event, Event::Job(job) if job.id == id && job.state != JobState::Running) {
                    break;
                }
            }
        }
        let moved = Moved {
            owner_cpu: own.since(),
            farmers_cpu: farmers.since(),
            peak_mb: usage::memory_mb(owner, "VmHWM")?,
            ..Moved::default()
        };
        Ok((self.client.job_report(id).await?.context("no report")?, moved))
    }
}

fn name_of(path: &Path) -> Result<String> {
    Ok(path.file_name().and_then(|name| name.to_str()).context("a file without a name")?.to_owned())
}

fn same(a: &Path, b: &Path) -> Result<bool> {
    if a.is_dir() {
        for entry in fs::read_dir(a)? {
            let entry = entry?;
            if !same(&entry.path(), &b.join(entry.file_name()))? {
                return Ok(false);
            }
        }
        return Ok(b.is_dir() && fs::read_dir(a)?.count() == fs::read_dir(b)?.count());
    }
    let hash = |path: &Path| -> Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(path)?)?;
        Ok(hasher.finalize())
    };
    Ok(hash(a)? == hash(b)?)
}
