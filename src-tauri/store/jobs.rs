//! Transfers as rows: what was asked, how far it is, how it ended.

use std::sync::Arc;

use hayloft_core::Timestamp;
use serde_json::Value;

use crate::{DatabaseError, open::Inner};

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

/// The jobs' part of the store. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

impl Jobs {
    /// Writes down a new job as running and answers its number.
    pub async fn insert(&self, kind: &str, spec: &Value, progress: &Value, now: Timestamp) -> Result<u32, DatabaseError> { todo!() }
    /// Writes down how far it is. Unknown jobs are ignored.
    pub async fn update(&self, id: u32, state: JobState, progress: &Value) -> Result<(), DatabaseError> { todo!() }
    /// Writes down how it ended.
    pub async fn finish(&self, id: u32, state: JobState, progress: &Value, report: Option<&Value>) -> Result<(), DatabaseError> { todo!() }
    /// The job.
    pub async fn get(&self, id: u32) -> Result<Option<JobRow>, DatabaseError> { todo!() }
    /// The newest `limit` jobs, newest first.
    pub async fn list(&self, limit: u32) -> Result<Vec<JobRow>, DatabaseError> { todo!() }
    /// Jobs that are running or paused, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<JobRow>, DatabaseError> { todo!() }
}
