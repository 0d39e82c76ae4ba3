//! Reading the books of nodes that do not run: what is on their disks and in their databases, and whether all of it
//! agrees.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hayloft_core::{
    DeviceId, SegmentId, ShardId,
    audit::{Sectors, Tag},
    contract::quota_bytes,
    keys::Seed,
    manifest::PlacementRecord,
};
use hayloft_store::{Guard, Home, Store, StoreOptions, farmer::Limits, identity};
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use crate::{Field, shards::HEADER_BYTES};

/// What a farmer's folder holds beside shards.
const NO_SHARDS: [&str; 3] = ["contracts", "hayloft-farm", "keys"];

/// Shards with their bytes.
type Shards = BTreeMap<ShardId, u64>;

/// What a shard that an owner put takes of its farmer's quota, its tags among it.
pub fn kept_bytes(shard_bytes: u64) -> u64 {
    quota_bytes(shard_bytes + Sectors::DEFAULT.tag_bytes(shard_bytes))
}

/// Bytes of a shard that takes so many with its tags; none if it cannot be.
pub fn without_tags(len: u64) -> Option<u64> {
    let block = Sectors::DEFAULT.block_bytes() as u64;
    let blocks = len.div_ceil(block + Tag::BYTES as u64);
    let bytes = len.checked_sub(blocks * Tag::BYTES as u64)?;
    (bytes + Sectors::DEFAULT.tag_bytes(bytes) == len).then_some(bytes)
}

/// The books of a network all of whose nodes stand still.
#[derive(Debug)]
pub struct Books {
    /// Shards in flight and shards to remove, by the owner's books: what is not worked off yet, by farmer.
    pub unsettled: BTreeMap<DeviceId, usize>,
    /// Bytes that farmers still hold for uploads.
    pub reserved_bytes: u64,
    farmers: Vec<FarmersBooks>,
    owner: OwnersBooks,
}

#[derive(Debug)]
struct FarmersBooks {
    device: DeviceId,
    /// By the files in its folder.
    on_disk: Shards,
    /// By the shards of all its contracts.
    under_contract: Shards,
    used_bytes: u64,
}

#[derive(Debug, Default)]
struct OwnersBooks {
    /// By its manifests.
    placed: BTreeMap<DeviceId, Shards>,
    /// By its contracts.
    under_contract: BTreeMap<DeviceId, Shards>,
}

/// Segments, with the bytes of all their shards.
pub type Segments = BTreeMap<SegmentId, u64>;

/// The segments that a job has saved so far, and all others, by the books of an owner that does not run.
///
/// # Errors
/// If its home cannot be read.
pub async fn segments(home: &Path, job: Option<u32>) -> Result<(Segments, Segments)> {
    let (store, _) = open(home).await?;
    let all = store.owner().segments().await?;
    shut(store).await?;
    let (own, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|segment| job.is_some() && segment.job == job);
    let bytes = |all: Vec<hayloft_store::files::Segment>| {
        all.into_iter().map(|segment| (segment.segment, segment.stored_bytes)).collect()
    };
    Ok((bytes(own), bytes(others)))
}

/// Shards in flight and shards to remove, by the books of an owner that may run.
///
/// # Errors
/// If they cannot be read.
pub async fn unsettled(home: &Path) -> Result<i64> {
    let options = SqliteConnectOptions::new().filename(home.join("hayloft.db")).read_only(true);
    let mut database = options.connect().await?;
    let query = "SELECT (SELECT count(*) FROM placing) + (SELECT count(*) FROM removals)";
    Ok(sqlx::query_scalar(query).fetch_one(&mut database).await?)
}

/// Returns once an owner's books, which may be in use, say that farmers know all that it wants of them: it tells nobody when.
///
/// # Errors
/// If they cannot be read.
pub async fn settled(home: &Path) -> Result<()> {
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    while unsettled(home).await? > 0 {
        looks.tick().await;
    }
    Ok(())
}

/// Closes a store and gives the home's lock back at once: a process that another test is just starting may hold a copy of
/// it for a moment.
async fn shut(store: Store) -> Result<()> {
    store.close().await;
    Ok(store.home().release()?)
}

async fn open(home: &Path) -> Result<(Store, hayloft_store::OpenReport)> {
    let options = StoreOptions::new(None, Guard { bytes: 0, percent: 0 });
    Ok(Store::open(Home::open(home)?, options).await?)
}

impl Books {
    /// Reads the books of a network all of whose nodes have been stopped.
    ///
    /// # Errors
    /// If they cannot be read, or a farmer's disk holds anything but whole shards.
    pub async fn read(field: &Field) -> Result<Self> {
        let (owner, unsettled) = read_owner(field).await?;
        let mut books = Self { unsettled, reserved_bytes: 0, farmers: Vec::new(), owner };
        for farmer in &field.farmers {
            books.read_farmer(farmer.home()).await?;
        }
        Ok(books)
    }

    async fn read_farmer(&mut self, home: &Path) -> Result<()> {
        // Before the store is opened, which would clear leftovers away.
        let on_disk = shards_in(&home.join("shards"))?;
        let (store, report) = open(home).await?;
        ensure!(report.orphan_files == 0 && report.missing_shards == 0, "{}: {report:?}", home.display());
        let secret = store.home().device_secret()?;
        let device = hayloft_core::keys::DeviceKey::from_bytes(&secret).id();
        let farmer = store.farmer();
        let mut under_contract = Shards::new();
        for contract in farmer.contracts().await? {
            let entries = farmer.entries(contract.id).await?;
            under_contract.extend(entries.into_iter().map(|shard| (shard.id, shard.bytes)));
        }
        let limits = Limits { quota_bytes: u64::MAX, owner_bytes: u64::MAX, subnet_bytes: u64::MAX };
        let figures = farmer.room(&limits).await?;
        self.reserved_bytes += figures.reserved_bytes;
        let used_bytes = figures.used_bytes;
        self.farmers.push(FarmersBooks { device, on_disk, under_contract, used_bytes });
        drop(farmer);
        shut(store).await?;
        Ok(())
    }

    /// Whether every farmer keeps what the manifests name, and nothing else: by the files on its disk, its contracts,
    /// its quota, and the owner's contracts alike.
    ///
    /// # Errors
    /// What does not agree.
    pub fn agree(&self) -> Result<()> {
        ensure!(self.unsettled.is_empty(), "shards are not settled: {:?}", self.unsettled);
        ensure!(self.reserved_bytes == 0, "{} bytes are still reserved", self.reserved_bytes);
        let nothing = Shards::new();
        for farmer in &self.farmers {
            let of = |all: &BTreeMap<DeviceId, Shards>| all.get(&farmer.device).unwrap_or(&nothing).clone();
            let views = [
                ("on its disk", farmer.on_disk.clone()),
                ("by its contracts", farmer.under_contract.clone()),
                ("by the owner's contracts", of(&self.owner.under_contract)),
            ];
            let placed = of(&self.owner.placed);
            for (view, shards) in views {
                let gone: Vec<_> = placed.iter().filter(|(id, _)| !shards.contains_key(id)).collect();
                let unknown: Vec<_> = shards.iter().filter(|(id, _)| !placed.contains_key(id)).collect();
                ensure!(
                    shards == placed,
                    "farmer {}: {view} {gone:?} are missing, {unknown:?} are in no manifest",
                    farmer.device
                );
            }
            let bytes: u64 = placed.values().copied().map(kept_bytes).sum();
            ensure!(
                farmer.used_bytes == bytes,
                "farmer {}: {} used, {bytes} kept",
                farmer.device,
                farmer.used_bytes
            );
        }
        Ok(())
    }

    /// Bytes of its quota that a farmer uses when all is worked off.
    pub fn due(&self, farmer: &str) -> u64 {
        let placed = self.owner.placed.iter().find(|(device, _)| device.to_string() == farmer);
        placed.map_or(0, |(_, shards)| shards.values().copied().map(kept_bytes).sum())
    }

    /// Shards that are placed, of all segments.
    pub fn shards(&self) -> usize {
        self.owner.placed.values().map(BTreeMap::len).sum()
    }
}

async fn read_owner(field: &Field) -> Result<(OwnersBooks, BTreeMap<DeviceId, usize>)> {
    let (store, _) = open(field.owner.home()).await?;
    let network = field.network().parse()?;
    let secret = identity::unseal(store.home(), "")?;
    let seed: &[u8; 64] = secret.as_slice().try_into().context("a seed has 64 bytes")?;
    let keys = Seed::from_bytes(seed).keys(&network);
    let owner = store.owner();
    let mut books = OwnersBooks::default();
    for segment in owner.segments().await? {
        ensure!(segment.job.is_none(), "a segment still belongs to a job");
        let placement = PlacementRecord::open(&segment.placement, &keys.repair, &network, &keys.owner.id())?;
        let bytes = placement.layout()?.shard_len();
        for shard in placement.shards {
            books.placed.entry(shard.farmer).or_default().insert(shard.id, bytes);
        }
    }
    for contract in owner.contracts(None).await? {
        let shards = books.under_contract.entry(contract.terms.terms.farmer).or_default();
        shards.extend(contract.shards.into_iter().map(|shard| (shard.id, shard.bytes)));
    }
    let placing = owner.placing().await?.into_iter().map(|placing| placing.farmer);
    let mut unsettled = BTreeMap::new();
    for farmer in placing.chain(owner.removals().await?.into_iter().map(|removal| removal.farmer)) {
        *unsettled.entry(farmer).or_insert(0) += 1;
    }
    drop(owner);
    shut(store).await?;
    Ok((books, unsettled))
}

/// The shard files in a farmer's folder, which holds nothing else.
fn shards_in(folder: &Path) -> Result<Shards> {
    let mut shards = Shards::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a strange name")?;
        if NO_SHARDS.contains(&name.as_str()) {
            continue;
        }
        for file in std::fs::read_dir(entry.path())? {
            let file = file?;
            let name = file.file_name().into_string().ok().context("a strange name")?;
            let id: ShardId = name.parse().ok().with_context(|| format!("{name} was left behind"))?;
            let len = file.metadata()?.len().checked_sub(HEADER_BYTES).context("a torn shard")?;
            let bytes = without_tags(len).with_context(|| format!("{name} has other tags than it should"))?;
            shards.insert(id, bytes);
        }
    }
    Ok(shards)
}
