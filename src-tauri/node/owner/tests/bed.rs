//! A network in this process: farmers and an owner, real nodes over libp2p's in-process transport.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use hayloft_core::{
    DeviceId,
    manifest::{PlacementRecord, Shard},
};
use hayloft_net::RateLimits;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    Clock, Node, NodeOptions,
    model::{
        ApiError, FarmSettings, FileEntry, GetReport, GetRequest, Job, JobReport, JobState, PresetName,
        PutReport, PutRequest, RepairReport,
    },
};

pub(super) const DAY: u64 = 24 * 60 * 60;
/// Far longer than anything here takes: a test that hangs ends all the same.
const LIMIT: Duration = Duration::from_secs(300);
const OPENED_AT_ONCE: usize = 8;

pub(super) struct Farm {
    pub(super) home: PathBuf,
    pub(super) node: Node,
}

pub(super) struct Bed {
    pub(super) farms: Vec<Farm>,
    home: PathBuf,
    pub(super) node: Node,
    disk: PathBuf,
    pub(super) clock: Clock,
    base: NodeOptions,
    /// Deleted with the bed, unless its folder is somebody else's.
    _own: Option<TempDir>,
}

async fn open(home: &Path, base: &NodeOptions, farm: Option<FarmSettings>) -> Node {
    let options = NodeOptions { home: home.to_owned(), farm, ..base.clone() };
    Node::open(options).await.expect("a node opens")
}

/// What all nodes of a bed are opened with.
pub(super) fn base(clock: Clock) -> NodeOptions {
    NodeOptions {
        network: Some("bed".parse().expect("a name")),
        listen: vec!["/memory/0".into()],
        memory: true,
        disk_guard_bytes: Some(0),
        clock,
        ..NodeOptions::default()
    }
}

fn farm() -> FarmSettings {
    FarmSettings { enabled: true, quota_bytes: 1 << 30, ..FarmSettings::default() }
}

impl Bed {
    pub(super) async fn new(farmers: usize) -> Self {
        Self::with_clock(farmers, Clock::system()).await
    }

    pub(super) async fn with_clock(farmers: usize, clock: Clock) -> Self {
        Self::grown(farmers, base(clock), None).await
    }

    /// With farmers who offer this.
    pub(super) async fn offering(farmers: usize, farm: FarmSettings) -> Self {
        Self::grown(farmers, NodeOptions { farm: Some(farm), ..base(Clock::system()) }, None).await
    }

    /// With an owner whose contracts name this auditor.
    pub(super) async fn audited(farmers: usize, clock: Clock, auditor: &str) -> Self {
        Self::grown(farmers, base(clock), Some(auditor)).await
    }

    async fn grown(farmers: usize, base: NodeOptions, auditor: Option<&str>) -> Self {
        let own = tempfile::tempdir().expect("a temp folder can be made");
        let bed = Self::planted(own.path(), farmers, base, auditor).await;
        bed.see_farmers(farmers as u32).await;
        Self { _own: Some(own), ..bed }
    }

    /// With all homes in this folder, which an earlier bed may have left.
    pub(super) async fn at(folder: &Path, farmers: usize, clock: Clock) -> Self {
        let bed = Self::planted(folder, farmers, base(clock), None).await;
        bed.see_farmers(farmers as u32).await;
        bed
    }

    /// Farmers who join by the first of them unless it is said by whom, and an owner who knows none of them yet.
    pub(super) async fn planted(
        folder: &Path,
        farmers: usize,
        mut base: NodeOptions,
        auditor: Option<&str>,
    ) -> Self {
        let farm = base.farm.take().unwrap_or_else(farm);
        let farmer = |number: usize| folder.join(format!("farmer-{number}"));
        let mut farms = Vec::new();
        if farmers > 0 && base.bootstrap.is_empty() {
            let node = open(&farmer(0), &base, Some(farm.clone())).await;
            base.bootstrap = node.status().await.expect("a status").addresses;
            farms.push(Farm { home: farmer(0), node });
        }
        let others = stream::iter(farms.len()..farmers).map(|number| {
            let (home, base, farm) = (farmer(number), &base, farm.clone());
            async move {
                let node = open(&home, base, Some(farm)).await;
                Farm { home, node }
            }
        });
        farms.extend(others.buffered(OPENED_AT_ONCE).collect::<Vec<Farm>>().await);
        let (home, disk) = (folder.join("owner"), folder.join("disk"));
        std::fs::create_dir_all(&disk).expect("a folder can be made");
        let named = NodeOptions { auditor: auditor.map(str::to_owned), dht_client: false, ..base.clone() };
        let node = open(&home, &named, None).await;
        if node.status().await.expect("a status").owner.is_none() {
            node.create_identity("", false).await.expect("an identity");
        }
        Self { farms, home, node, disk, clock: base.clock.clone(), base, _own: None }
    }

    /// A node that audits, found by the owner.
    pub(super) async fn auditor(&self) -> (TempDir, Node) {
        let home = tempfile::tempdir().expect("a temp folder can be made");
        let base = NodeOptions { audit: Some(true), vet: Some(false), ..self.base.clone() };
        let node = open(home.path(), &base, None).await;
        let net = self.node.owner_for_tests().await.inner.net.clone();
        let found = async {
            while net.auditors().is_empty() {
                net.find_auditors(1, Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(LIMIT, found).await.expect("the auditor is found");
        (home, node)
    }

    pub(super) async fn see_farmers(&self, farmers: u32) {
        let net = self.node.owner_for_tests().await;
        let mut changes = net.inner.net.farmers_changed();
        let seen = async {
            while net.farmer_count() < farmers {
                net.inner.net.find_farmers(farmers as usize, Duration::from_millis(200)).await;
                let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
            }
        };
        tokio::time::timeout(LIMIT, seen).await.expect("all farmers are found");
    }

    /// Bytes a second that the owner may send.
    pub(super) async fn limit_upload(&self, up: Option<u64>) {
        let owner = self.node.owner_for_tests().await;
        owner.inner.net.set_rate_limits(RateLimits { up, down: None });
    }

    /// Stops the owner's node as if the computer had been switched off between two steps, and opens it again.
    pub(super) async fn restart(&mut self) {
        self.node.shutdown().await.expect("closes");
        self.node = open(&self.home, &self.base, None).await;
    }

    /// The same, with another clock from then on.
    pub(super) async fn restart_at(&mut self, clock: Clock) {
        (self.clock, self.base.clock) = (clock.clone(), clock);
        self.restart().await;
    }

    /// The same, and something happens to the home in between.
    pub(super) async fn restart_after(&mut self, blow: impl FnOnce(&Path)) {
        self.node.shutdown().await.expect("closes");
        blow(&self.home);
        self.node = open(&self.home, &self.base, None).await;
    }

    /// A second node of the owner's on a copy of its home, on the same network.
    pub(super) async fn open_copy(&self, home: &Path) -> Node {
        open(home, &self.base, None).await
    }

    /// Closes all nodes.
    pub(super) async fn close(&self) {
        for node in self.farms.iter().map(|farm| &farm.node).chain([&self.node]) {
            node.shutdown().await.expect("closes");
        }
    }

    /// Returns once no segment is half dead, and farmers were told of all that is.
    pub(super) async fn nothing_is_dead(&self) {
        let store = self.node.owner_for_tests().await.inner.catalog.store.clone();
        let rewritten = async {
            while !store.half_dead_segments().await.expect("segments").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, rewritten).await.expect("half-dead segments are rewritten in time");
        self.removals_become(0).await;
    }

    /// A farmer vanishes.
    pub(super) async fn kill(&self, farmer: usize) {
        self.farms[farmer].node.shutdown().await.expect("closes");
    }

    /// A farmer vanishes; it ends in its own time.
    pub(super) fn vanishes(&self, farmer: usize) -> JoinHandle<()> {
        let node = self.farms[farmer].node.clone();
        tokio::spawn(async move { node.shutdown().await.expect("closes") })
    }

    /// A farmer that nobody knew comes, and is heard of by nobody yet.
    pub(super) async fn open_another(&mut self) {
        let number = self.farms.len();
        let home = self.home.with_file_name(format!("farmer-{number}"));
        let node = open(&home, &self.base, Some(farm())).await;
        self.farms.push(Farm { home, node });
    }

    /// A farmer that nobody knew comes, and is found.
    pub(super) async fn join(&mut self) {
        self.open_another().await;
        let device = self.farms[self.farms.len() - 1].node.status().await.expect("a status").device;
        let net = self.node.owner_for_tests().await.inner.net.clone();
        let found = async {
            while !net.farmers().iter().any(|farmer| farmer.device.to_string() == device) {
                net.find_farmers(self.farms.len() + 1, Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(LIMIT, found).await.expect("it is found");
    }

    /// The number of a farmer.
    pub(super) async fn number_of(&self, farmer: DeviceId) -> usize {
        for (number, farm) in self.farms.iter().enumerate() {
            if farm.node.status().await.expect("a status").device == farmer.to_string() {
                return number;
            }
        }
        panic!("{farmer} is none of the bed's");
    }

    /// The first segment of a file, and where its shards lie now.
    pub(super) async fn placement(&self, name: &str) -> Arc<PlacementRecord> {
        let owner = self.node.owner_for_tests().await.inner;
        let record = owner.catalog.file(name).await.expect("stored");
        owner.catalog.placement(record.items[0].segment).await.expect("placed")
    }

    /// A farmer's disk loses a shard.
    pub(super) async fn lose(&self, shard: &Shard) {
        std::fs::remove_file(self.path_of(shard).await).expect("the shard was there");
    }

    /// Shards that a file's record names and that lie on their farmers' disks.
    pub(super) async fn kept(&self, name: &str) -> usize {
        let mut kept = 0;
        for shard in &self.placement(name).await.shards {
            kept += usize::from(self.path_of(shard).await.exists());
        }
        kept
    }

    async fn path_of(&self, shard: &Shard) -> PathBuf {
        let (farmer, id) = (self.number_of(shard.farmer).await, shard.id.to_string());
        self.farms[farmer].home.join("shards").join(&id[..2]).join(&id)
    }

    /// A farmer's disk loses all its shards.
    pub(super) fn lose_everything(&self, farmer: usize) {
        for folder in std::fs::read_dir(self.farms[farmer].home.join("shards")).expect("a folder").flatten() {
            let shards = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
            for shard in shards.filter(|shard| shard.file_name().len() == 64) {
                std::fs::remove_file(shard.path()).expect("removed");
            }
        }
    }

    /// Repairs a file because a person asks.
    pub(super) async fn repair(&self, name: &str) -> Result<RepairReport, String> {
        let id = self.node.repair(name).await.map_err(|error| error.to_string())?;
        let job = self.end(id).await;
        match self.node.job_report(id).await.expect("a report") {
            Some(JobReport::Repair(report)) => Ok(report),
            _ => Err(job.message.unwrap_or_default()),
        }
    }

    /// It comes back, at its old address or another one.
    pub(super) async fn revive(&mut self, farmer: usize) {
        let farm = &mut self.farms[farmer];
        farm.node = open(&farm.home, &self.base, None).await;
    }

    /// Returns once so many shards are still to be removed.
    pub(super) async fn removals_become(&self, left: usize) {
        let owner = self.node.owner_for_tests().await.inner;
        let told = async {
            while owner.catalog.store.removals().await.expect("removals").len() != left {
                owner.removals.notify_one();
                owner.net.find_farmers(self.farms.len(), Duration::from_millis(200)).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, told).await.expect("farmers are told in time");
    }

    /// The owner's home.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Where the files are that are put and brought back.
    pub(super) fn disk(&self) -> &Path {
        &self.disk
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.disk().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    }

    pub(super) fn request(&self, path: PathBuf) -> PutRequest {
        PutRequest {
            paths: vec![path],
            name: None,
            keep_seconds: 90 * DAY,
            renew: false,
            replace: false,
            preset: PresetName::Standard,
            price: None,
        }
    }

    pub(super) fn get_request(&self, name: &str, output: &str) -> GetRequest {
        let output = self.disk().join(output);
        GetRequest { name: name.into(), output, overwrite: false, offset: 0, bytes: None }
    }

    /// The job when it no longer runs.
    pub(super) async fn end(&self, id: u32) -> Job {
        let mut news = self.node.subscribe();
        let ended = async {
            loop {
                let job = self.node.job(id).await.expect("the job is known");
                if job.state != JobState::Running {
                    return job;
                }
                let _ = news.recv().await;
            }
        };
        tokio::time::timeout(LIMIT, ended).await.expect("the job ends in time")
    }

    pub(super) async fn put(&self, request: PutRequest) -> Result<Vec<PutReport>, String> {
        let id = self.node.put(request).await.map_err(|error| error.to_string())?;
        let job = self.end(id).await;
        match self.node.job_report(id).await.expect("a report") {
            Some(JobReport::Put(reports)) => Ok(reports),
            _ => Err(job.message.unwrap_or_default()),
        }
    }

    /// Puts one file of these bytes.
    pub(super) async fn put_bytes(&self, name: &str, bytes: &[u8]) -> PutReport {
        let path = self.file(name, bytes);
        let request = PutRequest { name: Some(name.into()), ..self.request(path) };
        self.put(request).await.expect("the put succeeds").remove(0)
    }

    pub(super) async fn get(&self, request: GetRequest) -> Result<(GetReport, Vec<u8>), String> {
        let output = request.output.clone();
        let id = self.node.get(request).await.map_err(|error| error.to_string())?;
        let job = self.end(id).await;
        match self.node.job_report(id).await.expect("a report") {
            Some(JobReport::Get(report)) if output.is_dir() => Ok((report, Vec::new())),
            Some(JobReport::Get(report)) => Ok((report, std::fs::read(output).expect("the output is there"))),
            _ => Err(job.message.unwrap_or_default()),
        }
    }

    pub(super) async fn get_bytes(&self, name: &str) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes()).update(&rand::random::<[u8; 8]>());
        let output = format!("got-{}", hasher.finalize().to_hex());
        self.get(self.get_request(name, &output)).await.expect("the get succeeds").1
    }

    pub(super) async fn files(&self) -> Vec<FileEntry> {
        self.node.files().await.expect("a list")
    }

    pub(super) async fn names(&self) -> Vec<String> {
        self.files().await.into_iter().map(|file| file.name).collect()
    }

    pub(super) async fn remove(&self, names: &[&str]) -> Result<(), ApiError> {
        self.node.remove(names.iter().map(|name| (*name).to_owned()).collect()).await
    }

    /// Bytes under contract at all farmers together.
    pub(super) async fn used(&self) -> u64 {
        let mut used = 0;
        for farm in &self.farms {
            let contracts = farm.node.farm_status().await.map(|status| status.contracts).unwrap_or_default();
            used += contracts.iter().map(|contract| contract.bytes).sum::<u64>();
        }
        used
    }

    /// Returns once no farmer holds anything that is under no contract.
    pub(super) async fn nothing_is_reserved(&self) {
        let freed = async {
            for farm in &self.farms {
                while farm.node.farm_status().await.is_ok_and(|status| status.reserved_bytes > 0) {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::time::timeout(LIMIT, freed).await.expect("farmers are given back what was reserved");
    }

    /// Returns once farmers together keep so many bytes.
    pub(super) async fn used_becomes(&self, wanted: impl Fn(u64) -> bool) -> u64 {
        let becomes = async {
            loop {
                let used = self.used().await;
                if wanted(used) {
                    return used;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, becomes).await.expect("farmers free the space in time")
    }
}

/// Bytes that do not repeat.
pub(super) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut noise);
    noise
}
