//! Storing files: read, packed, sent and saved, several segments at once.
//!
//! A file's record is saved in the transaction that saves its last segment, so that no half-stored file is ever
//! listed and a replaced one stays until the new one is whole. Each placed segment carries sealed notes of what it
//! holds: a job that goes on after a restart sends none of them again.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use hayloft_core::{
    Amount, SegmentId, Timestamp,
    manifest::{ContentRecord, Item, PlacementRecord},
};
use hayloft_store::{
    files::{NewSegment, Save},
    owner::OwnerError as StoreError,
};
use tokio::sync::mpsc;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    Inner, OwnerError,
    patience::Patience,
    reader::{Part, Reading, ToRead, read_all},
    remove,
    room::{Place, Room},
    scan::{Scan, scan},
    sources::{Note, Notes, Ordered, sort_out},
    upload::{Keep, NotPlaced, Purpose, place},
};
use crate::{
    jobs::{JobContext, Progress, Run as Which, Sent},
    model::{PutReport, PutRequest},
};

/// Segments in memory at once, the one being filled among them.
const IN_FLIGHT: usize = 2;
/// Files named when many are not stored.
const FAILURES_TOLD: usize = 20;

/// What a finished put has to tell.
pub(crate) struct PutEnd {
    pub(crate) reports: Vec<PutReport>,
    pub(crate) warnings: Vec<String>,
}

/// Stores what the request names. May be dropped at any time and begun again with the same job.
pub(crate) async fn put(
    owner: &Arc<Inner>,
    request: &PutRequest,
    context: &JobContext,
) -> Result<PutEnd, OwnerError> {
    let JobContext { job, begun, run: which, progress, tasks, .. } = context;
    let (job, begun, which) = (*job, *begun, *which);
    let started = Instant::now();
    let found = scan_paths(request).await?;
    progress.expect(found.bytes(), found.sources.len() as u64);
    let mut warnings = found.warnings();
    let notes = Notes::of(owner, job).await?;
    let mut failures = Failures::default();
    for name in notes.vanished(&found.sources) {
        failures.add(OwnerError::Vanished(name));
    }
    let sorted = sort_out(owner, found, request.replace, (which != Which::First).then_some(begun)).await?;
    warnings.extend(sorted.changed_since.iter().map(|name| changed_since(name)));
    for source in &sorted.kept {
        progress.settle(source.record.bytes, 1);
    }
    let to_read = notes.add_to(sorted.fresh).await?;
    let mut run = Run {
        owner,
        job,
        tasks,
        request,
        which,
        keep_until: begun.plus_seconds(request.keep_seconds),
        progress,
        started,
        tallies: to_read.iter().map(|file| Tally::of(file)).collect(),
        files: to_read,
        reports: Vec::new(),
        failures,
    };
    run.all().await?;
    let mut reports = std::mem::take(&mut run.reports);
    let failures = std::mem::take(&mut run.failures);
    let mut placements = Placements::new(owner);
    for kept in sorted.kept {
        let mut report = report(&kept.record, &placements.of(&kept.record).await?, started.elapsed());
        report.reused = !kept.by_this_job;
        reports.push((kept.order, report));
    }
    let failed = failures.error();
    // What was placed of files that cannot be read here any more may be named by another copy of these records.
    if failed.is_none() || !remove::may_know_too_little(owner).await? {
        owner.catalog.store.end_job_segments(job).await?;
        remove::sweep(owner).await?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    reports.sort_by_key(|(order, _)| *order);
    Ok(PutEnd { reports: reports.into_iter().map(|(_, report)| report).collect(), warnings })
}

fn changed_since(name: &str) -> String {
    format!("“{name}” has changed since it was stored: put it again to store what it is now.")
}

/// Files that are not stored, and why; of very many the first.
#[derive(Default)]
struct Failures {
    first: Vec<OwnerError>,
    more: usize,
}

impl Failures {
    fn add(&mut self, error: OwnerError) {
        tracing::info!(%error, "a file is not stored");
        if self.first.len() < FAILURES_TOLD { self.first.push(error) } else { self.more += 1 }
    }

    fn error(mut self) -> Option<OwnerError> {
        match (self.first.len(), self.more) {
            (0, _) => None,
            (1, 0) => self.first.pop(),
            (_, more) => Some(OwnerError::Several { first: self.first, more }),
        }
    }
}

pub(crate) async fn scan_paths(request: &PutRequest) -> Result<Scan, OwnerError> {
    let (paths, name) = (request.paths.clone(), request.name.clone());
    let scanning = tokio::task::spawn_blocking(move || scan(&paths, name.as_deref()));
    scanning.await.map_err(|_| OwnerError::Stopped)?
}

/// How far a file is.
#[derive(Default)]
struct Tally {
    items: BTreeMap<u64, Item>,
    hash: Option<[u8; 32]>,
    failed: bool,
    saved: bool,
}

impl Tally {
    fn of(file: &ToRead) -> Self {
        let placed = file.placed.iter().map(|(offset, placed)| (*offset, placed.item.clone()));
        Self { items: placed.collect(), ..Self::default() }
    }

    fn is_whole(&self, bytes: u64) -> bool {
        let placed: u64 = self.items.values().map(|item| item.bytes).sum();
        self.hash.is_some() && !self.failed && !self.saved && !self.items.is_empty() && placed == bytes
    }
}

struct Run<'a> {
    owner: &'a Arc<Inner>,
    job: u32,
    tasks: &'a TaskTracker,
    request: &'a PutRequest,
    which: Which,
    keep_until: Timestamp,
    progress: &'a Arc<Progress>,
    started: Instant,
    files: Vec<Ordered>,
    tallies: Vec<Tally>,
    reports: Vec<(usize, PutReport)>,
    failures: Failures,
}

/// A segment that has just been placed.
struct Arrived {
    placement: PlacementRecord,
    parts: Vec<Part>,
    sent: Arc<Sent>,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), OwnerError> {
        let earlier: u64 =
            self.files.iter().flat_map(|file| file.placed.values()).map(|placed| placed.item.bytes).sum();
        self.progress.settle(earlier, 0);
        let (to, mut readings) = mpsc::channel(1);
        let files: Vec<ToRead> = self.files.iter().map(|file| file.to_read.clone()).collect();
        let room = Room::new(IN_FLIGHT);
        let reading = tokio::task::spawn_blocking({
            let room = room.clone();
            move || {
                read_all(&files, &room, &to);
                room.close();
            }
        });
        let mut running: FuturesUnordered<AbortOnDropHandle<Result<Arrived, OwnerError>>> =
            FuturesUnordered::new();
        let mut ended = false;
        // A put that goes on after a restart found farmers when it was begun.
        let mut any_placed = earlier > 0 || self.which == Which::GoneOn;
        while !ended || !running.is_empty() {
            tokio::select! {
                biased;
                Some(arrived) = running.next(), if !running.is_empty() => {
                    any_placed = true;
                    self.save(Some(arrived.map_err(|_| OwnerError::Stopped)??), None).await?;
                }
                said = readings.recv(), if !ended => match said {
                    None => ended = true,
                    Some(Reading::Segment(segment, parts, place)) => {
                        let sending = self.send(segment.id, segment.bytes, parts, place, any_placed);
                        running.push(AbortOnDropHandle::new(self.tasks.spawn(sending)));
                    }
                    Some(Reading::Read { index, hash }) => {
                        self.tallies[index].hash = Some(hash);
                        if self.tallies[index].is_whole(self.files[index].source.stamp.bytes) {
                            self.save(None, Some(index)).await?;
                        }
                    }
                    Some(Reading::Failed { index, error }) => {
                        self.tallies[index].failed = true;
                        self.failures.add(error);
                    }
                },
            }
        }
        reading.await.map_err(|_| OwnerError::Stopped)
    }

    /// Sends one segment. While others have got through, it waits for farmers to come back.
    fn send(
        &self,
        segment: SegmentId,
        sealed: Vec<u8>,
        parts: Vec<Part>,
        room: Place,
        patient: bool,
    ) -> impl Future<Output = Result<Arrived, OwnerError>> + use<> {
        let (owner, progress) = (self.owner.clone(), self.progress.clone());
        let preset = super::quote::preset(self.request.preset);
        let keep = Keep { until: self.keep_until, job: Some(self.job) };
        let purpose = Purpose { preset, keep, most: self.request.price.map(Amount) };
        async move {
            let sent = Arc::new(Sent::default());
            let plain = parts.iter().map(|part| part.item.bytes).sum();
            progress.moving(plain, &sent);
            let mut patience = Patience::new(patient, owner.started);
            let (mut sealed, mut room) = (sealed, room);
            loop {
                match place(&owner, segment, sealed, purpose, &sent, room).await {
                    Ok(placement) => {
                        progress.say(None);
                        return Ok(Arrived { placement, parts, sent });
                    }
                    Err(NotPlaced { error, sealed: kept }) => {
                        let tried_again = error.is_for_want_of_farmers() && patience.lasts(false);
                        let Some(kept) = kept.filter(|_| tried_again) else { return Err(error) };
                        (sealed, room) = kept;
                        progress.say(Some(format!("Waiting for farmers. {error}")));
                        patience.wait().await;
                    }
                }
            }
        }
    }

    /// Saves a placed segment, and every file that is whole now, in one transaction.
    async fn save(&mut self, arrived: Option<Arrived>, read: Option<usize>) -> Result<(), OwnerError> {
        let parts = arrived.iter().flat_map(|arrived| &arrived.parts);
        for part in parts.clone() {
            self.tallies[part.index].items.insert(part.offset, part.item.clone());
        }
        let touched: HashSet<usize> = parts.map(|part| part.index).chain(read).collect();
        let mut whole: Vec<usize> = touched.into_iter().filter(|&index| self.is_whole(index)).collect();
        whole.sort_unstable();
        let records: Vec<ContentRecord> = whole.iter().map(|&index| self.record(index)).collect();
        let catalog = &self.owner.catalog;
        let save = Save {
            job: Some(self.job),
            segments: arrived.iter().map(|arrived| self.new_segment(arrived)).collect(),
            files: records.iter().map(|record| catalog.seal(record)).collect(),
            replace: self.request.replace,
            placed: arrived.iter().flat_map(|a| &a.placement.shards).map(|shard| shard.id).collect(),
        };
        crash_point!(SegmentPlaced);
        let changing = catalog.changing().await;
        catalog.store.save(&save).await.map_err(|error| name_taken(error, &save, &records))?;
        crash_point!(SegmentSaved);
        drop(changing);
        if let Some(arrived) = arrived {
            let plain = arrived.parts.iter().map(|part| part.item.bytes).sum();
            self.progress.arrived(plain, &arrived.sent);
        }
        self.finish(&whole, &records).await
    }

    async fn finish(&mut self, whole: &[usize], records: &[ContentRecord]) -> Result<(), OwnerError> {
        let mut placements = Placements::new(self.owner);
        for (&index, record) in whole.iter().zip(records) {
            self.tallies[index].saved = true;
            self.tallies[index].items = BTreeMap::new();
            let report = report(record, &placements.of(record).await?, self.started.elapsed());
            self.reports.push((self.files[index].order, report));
        }
        self.progress.settle(0, whole.len() as u64);
        if !whole.is_empty() {
            self.owner.files_changed();
        }
        Ok(())
    }

    fn is_whole(&self, index: usize) -> bool {
        self.tallies[index].is_whole(self.files[index].source.stamp.bytes)
    }

    fn record(&self, index: usize) -> ContentRecord {
        let (file, tally) = (&self.files[index], &self.tallies[index]);
        ContentRecord {
            file: file.file,
            name: file.source.name.clone(),
            bytes: file.source.stamp.bytes,
            hash: tally.hash.unwrap_or_default(),
            stored: self.owner.clock.now(),
            keep_until: self.keep_until,
            renew: self.request.renew,
            items: tally.items.values().cloned().collect(),
        }
    }

    fn new_segment(&self, arrived: &Arrived) -> NewSegment {
        let note = |part: &Part| {
            let file = &self.files[part.index];
            let (name, item) = (file.source.name.clone(), part.item.clone());
            Note { name, file: file.file, offset: part.offset, item, prefix: part.prefix }
        };
        let notes: Vec<Note> = arrived.parts.iter().map(note).collect();
        new_segment(self.owner, &arrived.placement, self.owner.catalog.seal_notes(&notes))
    }
}

/// The row of a placed segment.
pub(crate) fn new_segment(owner: &Inner, placement: &PlacementRecord, notes: Vec<u8>) -> NewSegment {
    let shard_bytes = placement.layout().map_or(0, |layout| layout.shard_len());
    NewSegment {
        segment: placement.segment,
        placement: owner.catalog.seal_placement(placement),
        sealed_bytes: placement.bytes,
        stored_bytes: shard_bytes * u64::from(placement.n),
        notes,
    }
}

fn name_taken(error: StoreError, save: &Save, records: &[ContentRecord]) -> OwnerError {
    if let StoreError::NameTaken { name_key } = &error {
        let at = save.files.iter().position(|file| file.name_key == *name_key);
        if let Some(record) = at.and_then(|at| records.get(at)) {
            return OwnerError::NameTaken(record.name.clone());
        }
    }
    error.into()
}

/// Placements of segments that many files share: each is read once.
struct Placements<'a> {
    owner: &'a Inner,
    read: HashMap<SegmentId, Arc<PlacementRecord>>,
}

impl<'a> Placements<'a> {
    fn new(owner: &'a Inner) -> Self {
        Self { owner, read: HashMap::new() }
    }

    /// The segments of a file, each once, in its order.
    async fn of(&mut self, record: &ContentRecord) -> Result<Vec<Arc<PlacementRecord>>, OwnerError> {
        let mut seen = HashSet::new();
        let mut placements = Vec::new();
        for segment in record.items.iter().map(|item| item.segment).filter(|segment| seen.insert(*segment)) {
            placements.push(match self.read.entry(segment) {
                Entry::Occupied(read) => read.get().clone(),
                Entry::Vacant(unread) => unread.insert(self.owner.catalog.placement(segment).await?).clone(),
            });
        }
        Ok(placements)
    }
}

/// The segments of a file, each once, in its order.
pub(crate) async fn placements_of(
    owner: &Inner,
    record: &ContentRecord,
) -> Result<Vec<Arc<PlacementRecord>>, OwnerError> {
    Placements::new(owner).of(record).await
}

fn report(record: &ContentRecord, placements: &[Arc<PlacementRecord>], took: Duration) -> PutReport {
    let weakest = placements.iter().min_by_key(|placement| placement.n - placement.k);
    let farmers: HashSet<_> = placements.iter().flat_map(|p| &p.shards).map(|shard| shard.farmer).collect();
    PutReport {
        name: record.name.clone(),
        bytes: record.bytes,
        seconds: took.as_secs_f64(),
        segments: placements.len() as u32,
        k: weakest.map_or(0, |placement| placement.k),
        n: weakest.map_or(0, |placement| placement.n),
        farmers: farmers.len() as u32,
        reused: false,
    }
}
