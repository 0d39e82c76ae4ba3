//! This owner's records: opening and sealing them, and the one lock under which files change.
//!
//! Whoever reads a file's record to write it anew holds [`Catalog::changing`] in between, so that no change is lost and
//! no removed file comes back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use hayloft_core::{
    NetworkName, SegmentId, ShardId,
    keys::OwnerKeys,
    manifest::{ContentRecord, PlacementRecord, Shard, open_notes, seal_notes},
};
use hayloft_store::files::{FileSegment, Removal, Segment, StoredFile};
use serde::{Serialize, de::DeserializeOwned};

use super::{OwnerError, lock};

/// Placements kept open in memory.
const PLACEMENTS_CACHED: usize = 4096;

/// The owner's records in the store.
pub(crate) struct Catalog {
    pub(crate) store: hayloft_store::Owner,
    pub(crate) keys: Arc<OwnerKeys>,
    pub(crate) network: NetworkName,
    changing: tokio::sync::Mutex<()>,
    placements: Mutex<HashMap<SegmentId, Opened>>,
}

/// A placement, and the hash of what it was opened from: a row that has changed since is opened anew.
struct Opened {
    sealed: blake3::Hash,
    placement: Arc<PlacementRecord>,
}

impl Catalog {
    pub(crate) fn new(store: hayloft_store::Owner, keys: Arc<OwnerKeys>, network: NetworkName) -> Self {
        Self { store, keys, network, changing: tokio::sync::Mutex::default(), placements: Mutex::default() }
    }

    /// Holds all other changes of files back.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// What a name is looked up by.
    pub(crate) fn key(&self, name: &str) -> [u8; 32] {
        self.keys.content.lookup(name)
    }

    /// The file of that name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<ContentRecord>, OwnerError> {
        let stored = self.store.file(&self.key(name)).await?;
        stored.map(|stored| self.open(&stored)).transpose()
    }

    /// The file of that name, which must be there.
    pub(crate) async fn file(&self, name: &str) -> Result<ContentRecord, OwnerError> {
        self.find(name).await?.ok_or_else(|| OwnerError::NoSuchFile(name.to_owned()))
    }

    pub(crate) fn open(&self, stored: &StoredFile) -> Result<ContentRecord, OwnerError> {
        let opened = ContentRecord::open(&stored.content, &self.keys.content, &self.network);
        Ok(opened?)
    }

    /// The same for whoever looks through all files: one that cannot be read stands in no other's way.
    pub(crate) fn readable(&self, stored: &StoredFile) -> Option<ContentRecord> {
        self.open(stored).inspect_err(|error| tracing::warn!(%error, "a file is passed over")).ok()
    }

    /// The row of a file, sealed.
    pub(crate) fn seal(&self, record: &ContentRecord) -> StoredFile {
        StoredFile {
            name_key: self.key(&record.name),
            file: record.file,
            content: record.seal(&self.keys.content, &self.network, &mut rand::rng()),
            bytes: record.bytes,
            stored: record.stored,
            keep_until: record.keep_until,
            renew: record.renew,
            segments: file_segments(record),
        }
    }

    /// Where a segment's shards lie, as the store says.
    pub(crate) async fn placement(&self, segment: SegmentId) -> Result<Arc<PlacementRecord>, OwnerError> {
        let sealed = self.store.placement(segment).await?;
        self.open_sealed(segment, &sealed.ok_or(OwnerError::MissingSegment)?)
    }

    pub(crate) fn open_placement(&self, stored: &Segment) -> Result<Arc<PlacementRecord>, OwnerError> {
        self.open_sealed(stored.segment, &stored.placement)
    }

    fn open_sealed(&self, segment: SegmentId, record: &[u8]) -> Result<Arc<PlacementRecord>, OwnerError> {
        let sealed = blake3::hash(record);
        if let Some(known) = lock(&self.placements).get(&segment)
            && known.sealed == sealed
        {
            return Ok(known.placement.clone());
        }
        let owner = self.keys.owner.id();
        let opened = PlacementRecord::open(record, &self.keys.repair, &self.network, &owner);
        let placement = Arc::new(opened?);
        let mut placements = lock(&self.placements);
        if placements.len() >= PLACEMENTS_CACHED {
            placements.clear();
        }
        placements.insert(segment, Opened { sealed, placement: placement.clone() });
        Ok(placement)
    }

    /// The same for whoever looks through all segments: one that cannot be read stands in no other's way. Not for what
    /// removes whatever no segment names.
    pub(crate) fn readable_placement(&self, stored: &Segment) -> Option<Arc<PlacementRecord>> {
        let opened = self.open_placement(stored);
        opened.inspect_err(|error| tracing::warn!(%error, "a segment is passed over")).ok()
    }

    /// Whether a segment is there and its shard lies where this says.
    pub(crate) async fn names(&self, segment: SegmentId, shard: &Shard) -> Result<bool, OwnerError> {
        let Some(sealed) = self.store.placement(segment).await? else { return Ok(false) };
        Ok(self.open_sealed(segment, &sealed)?.shards.contains(shard))
    }

    /// Writes down where a segment's shards lie from now on, that `placed` are no longer in flight, and that `gone` are to be
    /// removed. Must not be dropped half-way.
    pub(crate) async fn move_shards(
        &self,
        record: PlacementRecord,
        placed: &[ShardId],
        gone: &[Removal],
    ) -> Result<(), OwnerError> {
        Ok(self.store.update_placement(record.segment, &self.seal_placement(&record), placed, gone).await?)
    }

    pub(crate) fn seal_placement(&self, record: &PlacementRecord) -> Vec<u8> {
        record.seal(&self.keys.repair, &self.network, &mut rand::rng())
    }

    pub(crate) fn seal_notes<T: Serialize>(&self, notes: &T) -> Vec<u8> {
        seal_notes(notes, &self.keys.content, &self.network, &mut rand::rng())
    }

    pub(crate) fn open_notes<T: Serialize + DeserializeOwned>(&self, sealed: &[u8]) -> Result<T, OwnerError> {
        let opened = open_notes(sealed, &self.keys.content, &self.network);
        Ok(opened?)
    }
}

/// A file's segments in its order, each once, with the sealed bytes of its items in it.
fn file_segments(record: &ContentRecord) -> Vec<FileSegment> {
    let mut segments: Vec<FileSegment> = Vec::new();
    for item in &record.items {
        match segments.iter_mut().find(|known| known.segment == item.segment) {
            Some(known) => known.live_bytes += item.sealed_bytes(),
            None => segments.push(FileSegment { segment: item.segment, live_bytes: item.sealed_bytes() }),
        }
    }
    segments
}
