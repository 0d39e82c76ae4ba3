//! Transfers as persistent jobs: begun, watched, paused, resumed and cancelled by front ends, and gone on with after a
//! restart.
//!
//! A job's row is written before its work begins and says how it ended; what it asks for and reports is sealed like
//! every other record of the owner. A job that stops, for whatever reason, first lets all its tasks end, so that nothing
//! it does is unknown to what comes next.

mod progress;
mod run;
mod shown;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use hayloft_core::Timestamp;
use hayloft_store::{
    DatabaseError,
    jobs::{JobRow, JobState as RowState},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio_util::task::TaskTracker;

pub(crate) use self::{
    progress::{Progress, Sent, Snapshot},
    run::{JobContext, Run},
};

use self::run::{Halt, Live};
use crate::{
    model::{GetRequest, JobKind, JobReport, PutRequest},
    owner::{Inner, OwnerError, lock, output, remove, scan},
};

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
