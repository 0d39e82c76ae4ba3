//! Transfers as rows: what was asked, how far it is, how it ended.

use std::sync::Arc;

use hayloft_core::Timestamp;
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

use crate::{
    DatabaseError,
    catalog::{Change, Entry, JobEntry},
    db::{int, number},
    open::Inner,
};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Under way.
    Running,
    /// Waiting to be resumed.
    Paused,
    /// Finished.
    Done,
    /// Given up.
    Failed,
    /// Ended by the person.
    Cancelled,
}

/// A job's row.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Its number.
    pub id: u32,
    /// What it does: the caller's word.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// What was asked.
    pub spec: Value,
    /// How far it is.
    pub progress: Value,
    /// How it ended.
    pub report: Option<Value>,
    /// When it was begun.
    pub begun: Timestamp,
}

impl JobState {
    const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Done, Self::Failed, Self::Cancelled];

    fn number(self) -> i64 {
        self as i64
    }

    fn of(number: u64) -> Result<Self, DatabaseError> {
        let state = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number));
        state.copied().ok_or(DatabaseError::Corrupt { what: "a job's state" })
    }
}

/// The jobs' part of the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

impl Jobs {
    /// Gives up the room that the home keeps for itself, so that a little can be written down although the disk is full.
    pub fn give_up_reserve(&self) {
        if let Err(error) = crate::reserve::give_up(self.inner.home.path()) {
            tracing::warn!(%error, "the reserved room could not be given up");
        }
    }

    /// Writes down a new job as running and answers its number.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn insert(
        &self,
        kind: &str,
        spec: &Value,
        progress: &Value,
        now: Timestamp,
    ) -> Result<u32, DatabaseError> {
        let mut write = Change::begin(&self.inner).await?;
        let query = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0) + 1";
        let id = job_number(&sqlx::query(query).fetch_one(&mut **write).await?)?;
        let job = JobEntry {
            id,
            kind: kind.to_owned(),
            state: JobState::Running.number(),
            spec: spec.to_string(),
            progress: progress.to_string(),
            report: None,
            begun: now.0,
            ended: None,
        };
        write.make_lazily(Entry::Job(job)).await?;
        crash_point!(JobWritten);
        write.commit().await?;
        crash_point!(JobCommitted);
        Ok(id)
    }

    /// Writes down how far it is. Unknown jobs are ignored.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn update(&self, id: u32, state: JobState, progress: &Value) -> Result<(), DatabaseError> {
        self.change(id, state, progress, None, None).await
    }

    /// Writes down how it ended. Unknown jobs are ignored.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn finish(
        &self,
        id: u32,
        state: JobState,
        progress: &Value,
        report: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.change(id, state, progress, report, Some(now)).await
    }

    async fn change(
        &self,
        id: u32,
        state: JobState,
        progress: &Value,
        report: Option<&Value>,
        ended: Option<Timestamp>,
    ) -> Result<(), DatabaseError> {
        let mut write = Change::begin(&self.inner).await?;
        let (progress, report) = (progress.to_string(), report.map(Value::to_string));
        let (state, ended) = (state.number(), ended.map(|at| at.0));
        write.make_lazily(Entry::JobMoved { id, state, progress, report, ended }).await?;
        write.commit().await?;
        crash_point!(JobChanged);
        Ok(())
    }

    /// The job.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn get(&self, id: u32) -> Result<Option<JobRow>, DatabaseError> {
        let query = "SELECT id, kind, state, spec, progress, report, begun FROM jobs WHERE id = ?";
        let row = sqlx::query(query).bind(i64::from(id)).fetch_optional(self.inner.db.read()).await?;
        row.as_ref().map(job_of).transpose()
    }

    /// The newest `limit` jobs, newest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn list(&self, limit: u32) -> Result<Vec<JobRow>, DatabaseError> {
        let query =
            "SELECT id, kind, state, spec, progress, report, begun FROM jobs ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(self.inner.db.read()).await?;
        Ok(readable(&rows))
    }

    /// Jobs that are running or paused, oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn unfinished(&self) -> Result<Vec<JobRow>, DatabaseError> {
        let query =
            "SELECT id, kind, state, spec, progress, report, begun FROM jobs WHERE state <= 1 ORDER BY id";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await?;
        Ok(readable(&rows))
    }

    /// Jobs that failed before `then` and still hold segments, oldest first.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn failed_with_segments(&self, then: Timestamp) -> Result<Vec<JobRow>, DatabaseError> {
        let query = "SELECT id, kind, state, spec, progress, report, begun FROM jobs \
                     WHERE state = 3 AND ended < ? AND EXISTS (SELECT 1 FROM segments WHERE job = jobs.id) \
                     ORDER BY id";
        let rows = sqlx::query(query).bind(int(then.0)).fetch_all(self.inner.db.read()).await?;
        Ok(readable(&rows))
    }

    /// Reads every job once.
    ///
    /// # Errors
    /// [`DatabaseError`] if one of them cannot be read.
    pub(crate) async fn check(&self) -> Result<(), DatabaseError> {
        let query = "SELECT id, kind, state, spec, progress, report, begun FROM jobs";
        let rows = sqlx::query(query).fetch_all(self.inner.db.read()).await?;
        rows.iter().try_for_each(|row| job_of(row).map(drop))
    }
}

fn job_number(row: &SqliteRow) -> Result<u32, DatabaseError> {
    u32::try_from(number(row, 0)?).map_err(|_| DatabaseError::Corrupt { what: "a job's number" })
}

fn json(text: &str) -> Result<Value, DatabaseError> {
    serde_json::from_str(text).map_err(|_| DatabaseError::Corrupt { what: "a job's notes" })
}

/// A job that cannot be read stands in no other's way.
fn readable(rows: &[SqliteRow]) -> Vec<JobRow> {
    let read = rows.iter().map(job_of);
    read.filter_map(|job| job.inspect_err(|error| tracing::warn!(%error, "a job is left out")).ok()).collect()
}

fn job_of(row: &SqliteRow) -> Result<JobRow, DatabaseError> {
    Ok(JobRow {
        id: job_number(row)?,
        kind: row.try_get(1)?,
        state: JobState::of(number(row, 2)?)?,
        spec: json(row.try_get(3)?)?,
        progress: json(row.try_get(4)?)?,
        report: row.try_get::<Option<&str>, _>(5)?.map(json).transpose()?,
        begun: Timestamp(number(row, 6)?),
    })
}
