//! An owner's node as its workers see it: it may be killed at any moment and is soon back.
//!
//! Invariant: before it is killed its door is closed, so that a question that fails while the door is open, or after it
//! was opened again, tells of the node and not of the blow.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use hayloft_gateway::Client;
use hayloft_node::model::{ApiError, ErrorCode, Job, JobKind, JobState};
use tokio::{sync::watch, time::Instant};

/// How often a transfer is looked at at least.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After so long without the least progress a transfer hangs: longer than a put waits for farmers.
const HANGS: Duration = Duration::from_secs(15 * 60);

/// How the door stands.
#[derive(Clone, Default)]
struct State {
    opened: u64,
    client: Option<Client>,
}

/// The door of an owner's node.
#[derive(Default)]
pub(crate) struct Door(watch::Sender<State>);

/// An answer, and whether an earlier try may have been heard although its answer was lost.
pub(crate) struct Answer<T> {
    pub(crate) result: Result<T, ApiError>,
    pub(crate) asked_again: bool,
}

impl Door {
    pub(crate) fn open(&self, client: Client) {
        self.0.send_modify(|state| *state = State { opened: state.opened + 1, client: Some(client) });
    }

    pub(crate) fn close(&self) {
        self.0.send_modify(|state| state.client = None);
    }

    async fn client(&self) -> Result<(u64, Client)> {
        let mut seen = self.0.subscribe();
        let state = seen.wait_for(|state| state.client.is_some()).await.context("the door is gone")?.clone();
        Ok((state.opened, state.client.context("it was waited for")?))
    }

    fn still(&self, opened: u64) -> bool {
        let state = self.0.borrow();
        state.opened == opened && state.client.is_some()
    }

    /// Asks the node, again if it was killed meanwhile.
    ///
    /// # Errors
    /// If the run is over.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFn(Client) -> Result<T, ApiError>,
    ) -> Result<Answer<T>> {
        let mut asked_again = false;
        loop {
            let (opened, client) = self.client().await?;
            let result = question(client).await;
            let lost = matches!(&result, Err(error) if error.code == ErrorCode::Internal);
            if lost && !self.still(opened) {
                asked_again = true;
                continue;
            }
            return Ok(Answer { result, asked_again });
        }
    }

    /// Asks what may be asked twice.
    ///
    /// # Errors
    /// What the node refuses.
    pub(crate) async fn sure<T>(&self, question: impl AsyncFn(Client) -> Result<T, ApiError>) -> Result<T> {
        Ok(self.ask(question).await?.result?)
    }

    /// Begins a transfer. One whose number was lost with the node is found again by its kind and name among those that
    /// are not `known`; one that was never heard of is begun anew.
    ///
    /// # Errors
    /// If the run is over. What the node refuses is in the answer.
    pub(crate) async fn begin(
        &self,
        kind: JobKind,
        name: &str,
        known: &mut HashSet<u32>,
        question: impl AsyncFn(Client) -> Result<u32, ApiError>,
    ) -> Result<Result<u32, ApiError>> {
        loop {
            let (opened, client) = self.client().await?;
            let result = question(client).await;
            let lost = matches!(&result, Err(error) if error.code == ErrorCode::Internal);
            let id = match result {
                Err(_) if lost && !self.still(opened) => {
                    let jobs = self.sure(async |client: Client| client.jobs().await).await?;
                    let own = |job: &&Job| job.kind == kind && job.name == name && !known.contains(&job.id);
                    let Some(job) = jobs.iter().find(own) else { continue };
                    job.id
                }
                Ok(id) => id,
                Err(refused) => return Ok(Err(refused)),
            };
            ensure!(known.insert(id), "transfer {id} was begun twice");
            return Ok(Ok(id));
        }
    }

    /// Waits until a transfer is over, however often its node is killed meanwhile.
    ///
    /// # Errors
    /// If it hangs.
    pub(crate) async fn end_of(&self, id: u32) -> Result<Job> {
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            let (_, client) = self.client().await?;
            let Ok(mut news) = client.events().await else {
                tokio::task::yield_now().await;
                continue;
            };
            loop {
                let job = self.sure(async |client: Client| client.job(id).await).await?;
                if !matches!(job.state, JobState::Running | JobState::Paused) {
                    return Ok(job);
                }
                let now = Some((job.done_bytes, job.done_files, job.state));
                if now != seen {
                    (seen, since) = (now, Instant::now());
                }
                if since.elapsed() > HANGS {
                    bail!("a transfer hangs: {job:?}");
                }
                if let Ok(None) = tokio::time::timeout(LOOK_AGAIN, news.next()).await {
                    break;
                }
            }
        }
    }
}
