//! Transfers as persistent jobs: begun, watched, paused, resumed and cancelled by front ends, and gone on with after a
//! restart.
//!
//! A job's row is written before its work begins and says how it ended; what it asks for and reports is sealed like
//! every other record of the owner. A job that stops, for whatever reason, first lets all its tasks end, so that nothing
//! it does is unknown to what comes next.

mod progress;
mod shown;

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt as _;
use hayloft_core::Timestamp;
use hayloft_store::{
    DatabaseError,
    jobs::{JobRow, JobState as RowState},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use progress::{Progress, Sent, Snapshot};

use crate::{
    model::{Event, GetRequest, JobKind, JobReport, PutRequest},
    owner::{Inner, OwnerError, get, lock, output, put, remove, repair, scan},
};

/// How often a running job is told of.
const TICK: Duration = Duration::from_millis(250);
/// How long a job waits before it looks for room again.
const ROOM_PAUSE: Duration = Duration::from_secs(2);
/// What a repair is called that nobody asked for.
const EVERYTHING: &str = "what is due";
/// The words for what jobs do in their rows.
const PUT: &str = "put";
const GET: &str = "get";
const REPAIR: &str = "repair";

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Spec {
    Put(PutRequest),
    Get {
        request: GetRequest,
        /// Name of the part file, beside the output; drawn once, so that nobody can put something there first.
        part: String,
    },
    Repair {
        /// Of which file; none: whatever is due, without anybody's asking.
        name: Option<String>,
    },
}

impl Spec {
    pub(crate) fn get(request: GetRequest) -> Self {
        Self::Get { request, part: output::part_name() }
    }
}

impl Spec {
    pub(crate) fn kind(&self) -> JobKind {
        match self {
            Self::Put(_) => JobKind::Put,
            Self::Get { .. } => JobKind::Get,
            Self::Repair { .. } => JobKind::Repair,
        }
    }

    pub(crate) fn name(&self) -> String {
        let last =
            |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        match self {
            Self::Get { request, .. } => request.name.clone(),
            Self::Repair { name } => name.clone().unwrap_or_else(|| EVERYTHING.into()),
            Self::Put(PutRequest { name: Some(name), .. }) => name.clone(),
            Self::Put(request) => match request.paths.as_slice() {
                [] => String::new(),
                [only] => last(only),
                [first, more @ ..] => format!("{} and {} more", last(first), more.len()),
            },
        }
    }
}

/// What a job's work is given.
pub(crate) struct JobContext {
    /// The job's number.
    pub(crate) job: u32,
    /// When it was begun.
    pub(crate) begun: Timestamp,
    /// Which of its runs this is.
    pub(crate) run: Run,
    /// Where it tells how far it is.
    pub(crate) progress: Arc<Progress>,
    /// Where its tasks run.
    pub(crate) tasks: TaskTracker,
    gate: Arc<Gate>,
    passed: Mutex<Option<OwnedMutexGuard<()>>>,
}

/// Who stops a job passes here, and so does the job before it does what cannot be undone: one of the two comes too late.
#[derive(Debug, Default)]
struct Gate {
    one: Arc<tokio::sync::Mutex<()>>,
    halted: CancellationToken,
}

impl JobContext {
    fn new(job: u32, live: &Live) -> Self {
        Self {
            job,
            begun: live.begun,
            run: live.run,
            progress: live.progress.clone(),
            tasks: TaskTracker::new(),
            gate: live.gate.clone(),
            passed: Mutex::default(),
        }
    }

    /// From here on nobody pauses or cancels the job, until its end is written down or [`Self::turn_back`]. Does not return
    /// if somebody has.
    pub(crate) async fn no_way_back(&self) {
        let passed = self.gate.one.clone().lock_owned().await;
        if self.gate.halted.is_cancelled() {
            drop(passed);
            std::future::pending::<()>().await;
        } else {
            *lock(&self.passed) = Some(passed);
        }
    }

    /// Nothing was done: the job may be stopped again.
    pub(crate) fn turn_back(&self) {
        lock(&self.passed).take();
    }
}

/// How a job's work came to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    /// Asked for just now.
    First,
    /// Resumed by a person.
    Resumed,
    /// By itself after a restart.
    GoneOn,
}

/// Why a running job is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Pause,
    Cancel,
}

#[derive(Clone)]
struct Live {
    spec: Arc<Spec>,
    begun: Timestamp,
    run: Run,
    progress: Arc<Progress>,
    halt: Arc<Mutex<Option<Halt>>>,
    gate: Arc<Gate>,
    ended: CancellationToken,
}

/// What the work comes to; a panic in it ends the job and nothing else.
async fn unharmed<T>(work: impl Future<Output = Result<T, OwnerError>>) -> Result<T, OwnerError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Err(OwnerError::Defect))
}

/// How a job's work came to its end.
enum End {
    Finished(Result<(JobReport, Vec<String>), OwnerError>),
    Halted(Halt),
    Stopped,
}

/// The owner's jobs.
#[derive(Clone)]
pub(crate) struct Jobs {
    owner: Arc<Inner>,
    pub(crate) rows: hayloft_store::Jobs,
    live: Arc<Mutex<HashMap<u32, Live>>>,
    /// Jobs that stopped although their rows say that they run, because the rows could not be written, and why.
    unwritten: Arc<Mutex<HashMap<u32, String>>>,
    /// Two that ask for the same put at once get one job.
    putting: Arc<tokio::sync::Mutex<()>>,
    tasks: TaskTracker,
}

impl Jobs {
    pub(crate) fn new(owner: Arc<Inner>, rows: hayloft_store::Jobs) -> Self {
        Self {
            owner,
            rows,
            live: Arc::default(),
            unwritten: Arc::default(),
            putting: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Goes on with every job that was running when the node stopped.
    pub(crate) async fn go_on(&self) -> Result<(), OwnerError> {
        for row in self.rows.unfinished().await? {
            if row.state == RowState::Running {
                match self.open(&row.spec) {
                    Ok(spec) => self.spawn(row.id, spec, row.begun, Run::GoneOn),
                    Err(error) => tracing::warn!(job = row.id, %error, "a job cannot go on"),
                }
            }
        }
        Ok(())
    }

    /// How many jobs cannot be read.
    pub(crate) async fn unopened(&self) -> Result<usize, OwnerError> {
        let rows = self.rows.list(u32::MAX).await?;
        let opens = |row: &JobRow| {
            let report = row.report.as_ref().is_none_or(|report| self.open::<JobReport>(report).is_ok());
            self.opened(row).is_ok() && report
        };
        Ok(rows.iter().filter(|row| !opens(row)).count())
    }

    /// Waits until all work has stopped; the node's stop must have been cancelled.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Writes a job down and begins it.
    pub(crate) async fn begin(&self, spec: Spec) -> Result<u32, OwnerError> {
        let kind = match spec.kind() {
            JobKind::Put => PUT,
            JobKind::Get => GET,
            JobKind::Repair => REPAIR,
        };
        let (begun, nothing) = (self.owner.clock.now(), self.seal(&Snapshot::default()));
        let insert = async || self.rows.insert(kind, &self.seal(&spec), &nothing, begun).await;
        let id = match insert().await {
            // What comes back to another disk, perhaps to make room on this one, must not wait for that.
            Err(DatabaseError::DiskFull) if matches!(spec, Spec::Get { .. }) => {
                self.rows.give_up_reserve();
                insert().await?
            }
            inserted => inserted?,
        };
        self.spawn(id, spec, begun, Run::First);
        Ok(id)
    }

    /// Begins to store files. A job that is not over and was asked for the same goes on instead, and one that stores something
    /// else under one of the names is in the way.
    pub(crate) async fn begin_put(&self, request: PutRequest) -> Result<u32, OwnerError> {
        let _one_after_the_other = self.putting.lock().await;
        let names = scan::top_names(&request)?;
        for row in self.rows.unfinished().await? {
            let Ok(Spec::Put(other)) = self.open(&row.spec) else { continue };
            // The price that was agreed to first holds for what goes on.
            if (PutRequest { price: None, ..other.clone() })
                == (PutRequest { price: None, ..request.clone() })
            {
                match self.resume(row.id).await {
                    Err(OwnerError::JobIsOver(_)) => continue,
                    goes_on => return goes_on.map(|()| row.id),
                }
            }
            let others = scan::top_names(&other).unwrap_or_default();
            if let Some(name) = names.iter().find(|name| others.contains(name)) {
                return Err(OwnerError::UnderWay { job: row.id, name: name.clone() });
            }
        }
        self.begin(Spec::Put(request)).await
    }

    /// Begins to repair what is due, unless that is under way or held by a person already.
    pub(crate) async fn begin_repair(&self) -> Result<bool, OwnerError> {
        for row in self.rows.unfinished().await? {
            if row.kind == REPAIR && matches!(self.open(&row.spec), Ok(Spec::Repair { name: None })) {
                return Ok(false);
            }
        }
        self.begin(Spec::Repair { name: None }).await?;
        Ok(true)
    }

    fn spawn(&self, id: u32, spec: Spec, begun: Timestamp, run: Run) {
        let live = Live {
            spec: Arc::new(spec),
            begun,
            run,
            progress: Arc::default(),
            halt: Arc::default(),
            gate: Arc::default(),
            ended: CancellationToken::new(),
        };
        {
            // Two that resume a job at once must not run it twice: each would give up what the other sends.
            let mut running = lock(&self.live);
            if running.contains_key(&id) {
                return;
            }
            running.insert(id, live.clone());
            lock(&self.unwritten).remove(&id);
        }
        let jobs = self.clone();
        self.tasks.spawn(async move { jobs.run(id, live).await });
    }

    async fn run(&self, id: u32, live: Live) {
        let _ended = live.ended.clone().drop_guard();
        let context = JobContext::new(id, &live);
        let end = tokio::select! {
            biased;
            () = self.owner.stop.cancelled() => End::Stopped,
            () = live.gate.halted.cancelled() => End::Halted(lock(&live.halt).unwrap_or(Halt::Pause)),
            result = unharmed(self.telling(id, &live, self.work(&live.spec, &context))) => End::Finished(result),
        };
        context.tasks.close();
        context.tasks.wait().await;
        crash_point!(JobWorked);
        if let Err(error) = self.settle(id, &live, end).await {
            tracing::error!(job = id, %error, "a job's end could not be written down");
            lock(&self.unwritten).insert(id, error.to_string());
        }
        lock(&self.live).remove(&id);
        if matches!(*live.spec, Spec::Repair { .. }) {
            self.owner.repairs.wake();
        }
        if let Ok(job) = self.job(id).await {
            let _ = self.owner.events.send(Event::Job(job));
        }
    }

    /// Does a job's work. While the disk of the node's own records is full, it waits for room.
    async fn work(&self, spec: &Spec, context: &JobContext) -> Result<(JobReport, Vec<String>), OwnerError> {
        loop {
            let error = match work(&self.owner, spec, context).await {
                Err(error) if error.is_for_want_of_room() => error,
                end => return end,
            };
            context.tasks.close();
            context.tasks.wait().await;
            context.tasks.reopen();
            context.turn_back();
            context.progress.restart();
            context.progress.say(Some(format!("Waiting. {error}")));
            tracing::warn!(job = context.job, %error, "a job waits for room");
            // What was in flight is given up before anything is sent again; that needs room too.
            loop {
                tokio::time::sleep(ROOM_PAUSE).await;
                let job = Some(context.job);
                match remove::leave_attempts(&self.owner, |placing| placing.job == job).await {
                    Err(error) if error.is_for_want_of_room() => {}
                    left => break left?,
                }
            }
            context.progress.say(None);
        }
    }

    /// Tells of the job while it works.
    async fn telling<T>(&self, id: u32, live: &Live, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => drop(self.owner.events.send(Event::Job(shown::running(id, live)))),
            }
        }
    }

    async fn settle(&self, id: u32, live: &Live, end: End) -> Result<(), OwnerError> {
        let mut snapshot = live.progress.look();
        snapshot.bytes_per_second = 0;
        snapshot.message = None;
        let now = self.owner.clock.now();
        match end {
            End::Stopped => return Ok(()),
            End::Finished(Ok((report, warnings))) => {
                snapshot.message = (!warnings.is_empty()).then(|| warnings.join(" "));
                let report = self.seal(&report);
                self.rows.finish(id, RowState::Done, &self.seal(&snapshot), Some(&report), now).await?;
            }
            End::Finished(Err(error)) => {
                let error = self.owner.with_clocks(error);
                tracing::info!(job = id, %error, "a job failed");
                let of_no_more_use = match *live.spec {
                    Spec::Get { .. } => true,
                    // Another copy of these records may have ended it well: a person may cancel it.
                    _ => !error.may_pass() && !remove::may_know_too_little(&self.owner).await?,
                };
                if of_no_more_use {
                    self.clear(id, &live.spec).await?;
                }
                (snapshot.message, snapshot.error) = (Some(error.to_string()), Some(error.code()));
                self.rows.finish(id, RowState::Failed, &self.seal(&snapshot), None, now).await?;
            }
            End::Halted(Halt::Pause) => {
                self.rows.update(id, RowState::Paused, &self.seal(&snapshot)).await?;
            }
            End::Halted(Halt::Cancel) => {
                if matches!(*live.spec, Spec::Repair { name: None }) {
                    self.owner.repairs.hold();
                }
                self.clear(id, &live.spec).await?;
                self.rows.finish(id, RowState::Cancelled, &self.seal(&snapshot), None, now).await?;
            }
        }
        remove::leave_attempts(&self.owner, |placing| placing.job == Some(id)).await
    }

    /// Undoes what an unfinished job has left: shards with farmers, a part file.
    async fn clear(&self, id: u32, spec: &Spec) -> Result<(), OwnerError> {
        match spec {
            Spec::Put(_) => self.clear_placed(id).await,
            Spec::Get { request, part } => {
                output::discard(request.output.with_file_name(part)).await;
                Ok(())
            }
            Spec::Repair { .. } => {
                remove::leave_attempts(&self.owner, |placing| placing.job == Some(id)).await
            }
        }
    }

    async fn clear_placed(&self, id: u32) -> Result<(), OwnerError> {
        remove::leave_attempts(&self.owner, |placing| placing.job == Some(id)).await?;
        self.owner.catalog.store.end_job_segments(id).await?;
        remove::sweep(&self.owner).await
    }

    /// What a job did; none unless it is done.
    pub(crate) async fn report(&self, id: u32) -> Result<Option<JobReport>, OwnerError> {
        let row = self.row(id).await?;
        row.report.as_ref().map(|report| self.open(report)).transpose()
    }

    /// Holds a running job; what it has placed stays.
    pub(crate) async fn pause(&self, id: u32) -> Result<(), OwnerError> {
        if self.halt(id, Halt::Pause).await {
            return Ok(());
        }
        match self.row(id).await?.state {
            RowState::Paused => Ok(()),
            RowState::Running => {
                let row = self.row(id).await?;
                self.rows.update(id, RowState::Paused, &row.progress).await?;
                lock(&self.unwritten).remove(&id);
                Ok(())
            }
            _ => Err(OwnerError::JobIsOver(id)),
        }
    }

    /// Lets a paused or failed job go on.
    pub(crate) async fn resume(&self, id: u32) -> Result<(), OwnerError> {
        if lock(&self.live).contains_key(&id) {
            return Ok(());
        }
        let row = self.row(id).await?;
        if !matches!(row.state, RowState::Running | RowState::Paused | RowState::Failed) {
            return Err(OwnerError::JobIsOver(id));
        }
        let spec = self.open(&row.spec)?;
        self.rows.update(id, RowState::Running, &row.progress).await?;
        self.spawn(id, spec, row.begun, Run::Resumed);
        Ok(())
    }

    /// Ends a job for good and undoes what it has half done.
    pub(crate) async fn cancel(&self, id: u32) -> Result<(), OwnerError> {
        if self.halt(id, Halt::Cancel).await {
            return Ok(());
        }
        let row = self.row(id).await?;
        match row.state {
            RowState::Cancelled => Ok(()),
            RowState::Running | RowState::Paused | RowState::Failed => {
                match self.open(&row.spec) {
                    Ok(spec) => self.clear(id, &spec).await?,
                    Err(_) => self.clear_placed(id).await?,
                }
                let now = self.owner.clock.now();
                Ok(self.rows.finish(id, RowState::Cancelled, &row.progress, None, now).await?)
            }
            RowState::Done => Err(OwnerError::JobIsOver(id)),
        }
    }

    /// Jobs that failed before `then` and that nobody has resumed since lose what they have half done, unless another copy of
    /// these records may have ended them well.
    pub(crate) async fn clear_failed_before(&self, then: Timestamp) -> Result<(), OwnerError> {
        if remove::may_know_too_little(&self.owner).await? {
            return Ok(());
        }
        for row in self.rows.failed_with_segments(then).await? {
            if !lock(&self.live).contains_key(&row.id)
                && let Ok(spec) = self.open(&row.spec)
            {
                self.clear(row.id, &spec).await?;
            }
        }
        Ok(())
    }

    /// Whether the job was running; it has stopped then, or come to its own end just before.
    async fn halt(&self, id: u32, halt: Halt) -> bool {
        let Some(live) = lock(&self.live).get(&id).cloned() else { return false };
        let passing = live.gate.one.lock().await;
        lock(&live.halt).get_or_insert(halt);
        live.gate.halted.cancel();
        drop(passing);
        live.ended.cancelled().await;
        true
    }

    async fn row(&self, id: u32) -> Result<JobRow, OwnerError> {
        self.rows.get(id).await?.ok_or(OwnerError::NoSuchJob(id))
    }

    /// Everything about a job is sealed in its row: names and paths are nobody else's business.
    fn seal(&self, value: &impl Serialize) -> Value {
        let text = serde_json::to_string(value).expect("our types have string keys alone");
        Value::String(data_encoding::BASE64.encode(&self.owner.catalog.seal_notes(&text)))
    }

    fn open<T: DeserializeOwned>(&self, value: &Value) -> Result<T, OwnerError> {
        let unreadable = || OwnerError::JobRecord;
        let sealed = value.as_str().and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
        let text: String = self.owner.catalog.open_notes(&sealed.ok_or_else(unreadable)?)?;
        serde_json::from_str(&text).map_err(|_| unreadable())
    }
}

async fn work(
    owner: &Arc<Inner>,
    spec: &Spec,
    context: &JobContext,
) -> Result<(JobReport, Vec<String>), OwnerError> {
    match spec {
        Spec::Put(request) => {
            let end = put::put(owner, request, context).await?;
            Ok((JobReport::Put(end.reports), end.warnings))
        }
        Spec::Get { request, part } => {
            let (report, left_out) = get::get(owner, request, part, context).await?;
            Ok((JobReport::Get(report), left_out.into_iter().collect()))
        }
        Spec::Repair { name } => {
            let report = repair::repair(owner, name.as_deref(), context).await?;
            Ok((JobReport::Repair(report), Vec::new()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_ends_with_an_error() {
        let panicking = unharmed::<()>(async { panic!("a state that cannot be") });
        assert!(matches!(panicking.await, Err(OwnerError::Defect)));
        assert!(matches!(unharmed(async { Ok(7) }).await, Ok(7)));
    }
}
