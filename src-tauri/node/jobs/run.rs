//! One run of a job: its work, told of as it goes, stopped by whoever halts it, and how it ended written down.
//!
//! Invariant: all tasks of a run have ended before its end is written down. Deliberately absent: which jobs there are.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt as _;
use hayloft_core::Timestamp;
use hayloft_store::jobs::JobState as RowState;
use tokio::sync::OwnedMutexGuard;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Jobs, Progress, Spec, shown};
use crate::{
    model::{Event, JobReport},
    owner::{Inner, OwnerError, get, lock, output, put, remove, repair},
};

/// How often a running job is told of.
const TICK: Duration = Duration::from_millis(250);
/// How long a job waits before it looks for room again.
const ROOM_PAUSE: Duration = Duration::from_secs(2);

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
pub(super) enum Halt {
    Pause,
    Cancel,
}

#[derive(Clone)]
pub(super) struct Live {
    pub(super) spec: Arc<Spec>,
    pub(super) begun: Timestamp,
    run: Run,
    pub(super) progress: Arc<Progress>,
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

impl Jobs {
    pub(super) fn spawn(&self, id: u32, spec: Spec, begun: Timestamp, run: Run) {
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
    pub(super) async fn clear(&self, id: u32, spec: &Spec) -> Result<(), OwnerError> {
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

    pub(super) async fn clear_placed(&self, id: u32) -> Result<(), OwnerError> {
        remove::leave_attempts(&self.owner, |placing| placing.job == Some(id)).await?;
        self.owner.catalog.store.end_job_segments(id).await?;
        remove::sweep(&self.owner).await
    }

    /// Whether the job was running; it has stopped then, or come to its own end just before.
    pub(super) async fn halt(&self, id: u32, halt: Halt) -> bool {
        let Some(live) = lock(&self.live).get(&id).cloned() else { return false };
        let passing = live.gate.one.lock().await;
        lock(&live.halt).get_or_insert(halt);
        live.gate.halted.cancel();
        drop(passing);
        live.ended.cancelled().await;
        true
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
