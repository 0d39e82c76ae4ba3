//! Jobs as front ends see them: one that runs from memory, any other from its row, and one whose row cannot be read too, so
//! that it can be cancelled.

use hayloft_core::Timestamp;
use hayloft_store::jobs::{JobRow, JobState as RowState};

use super::{GET, Jobs, PUT, Snapshot, Spec, run::Live};
use crate::{
    model::{Job, JobKind, JobState},
    owner::{OwnerError, lock},
};

/// Jobs that are listed.
const LISTED: u32 = 200;

impl Jobs {
    /// All jobs, the newest first; those that cannot be read only until they are over.
    pub(crate) async fn list(&self) -> Result<Vec<Job>, OwnerError> {
        let is_over = |row: &JobRow| matches!(row.state, RowState::Done | RowState::Cancelled);
        let rows = self.rows.list(LISTED).await?.into_iter();
        let shown = rows.filter(|row| !is_over(row) || self.opened(row).is_ok());
        Ok(shown.map(|row| self.as_seen(&row)).collect())
    }

    /// One job.
    pub(crate) async fn job(&self, id: u32) -> Result<Job, OwnerError> {
        Ok(self.as_seen(&self.row(id).await?))
    }

    fn as_seen(&self, row: &JobRow) -> Job {
        if let Some(live) = lock(&self.live).get(&row.id) {
            return running(row.id, live);
        }
        let Ok((spec, snapshot)) = self.opened(row) else { return unreadable(row) };
        if let (RowState::Running, Some(why)) = (row.state, lock(&self.unwritten).get(&row.id).cloned()) {
            let snapshot = Snapshot { message: Some(why), ..snapshot };
            return shown(row.id, &spec, JobState::Paused, row.begun, snapshot);
        }
        shown(row.id, &spec, state_of(row), row.begun, snapshot)
    }

    /// What a job is about and how far it is.
    pub(super) fn opened(&self, row: &JobRow) -> Result<(Spec, Snapshot), OwnerError> {
        Ok((self.open(&row.spec)?, self.open(&row.progress)?))
    }
}

fn state_of(row: &JobRow) -> JobState {
    match row.state {
        RowState::Running => JobState::Running,
        RowState::Paused => JobState::Paused,
        RowState::Done => JobState::Done,
        RowState::Failed => JobState::Failed,
        RowState::Cancelled => JobState::Cancelled,
    }
}

/// A job of which nothing can be read but what its row says without its seal. It does not go on.
fn unreadable(row: &JobRow) -> Job {
    let kind = match row.kind.as_str() {
        PUT => JobKind::Put,
        GET => JobKind::Get,
        _ => JobKind::Repair,
    };
    let state = match state_of(row) {
        JobState::Running => JobState::Paused,
        state => state,
    };
    Job {
        id: row.id,
        kind,
        name: format!("unreadable-{}", row.id),
        state,
        done_bytes: 0,
        total_bytes: 0,
        done_files: 0,
        total_files: 0,
        bytes_per_second: 0,
        message: Some(OwnerError::JobRecord.to_string()),
        error: Some(OwnerError::JobRecord.code()),
        begun: row.begun.0,
    }
}

pub(super) fn running(id: u32, live: &Live) -> Job {
    shown(id, &live.spec, JobState::Running, live.begun, live.progress.look())
}

fn shown(id: u32, spec: &Spec, state: JobState, begun: Timestamp, snapshot: Snapshot) -> Job {
    Job {
        id,
        kind: spec.kind(),
        name: spec.name(),
        state,
        done_bytes: snapshot.done_bytes,
        total_bytes: snapshot.total_bytes,
        done_files: snapshot.done_files,
        total_files: snapshot.total_files,
        bytes_per_second: snapshot.bytes_per_second,
        message: snapshot.message,
        error: snapshot.error,
        begun: begun.0,
    }
}
