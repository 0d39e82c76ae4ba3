//! The owner's side of a node: its files, kept with farmers.
//!
//! Invariants: no half-stored file is ever listed; every shard id sent to a farmer is known to the store before the
//! first byte leaves; what a farmer answers is believed only after its signature or hash was checked.
//! Deliberately absent: how bytes are sealed and coded, who may get which shard, and what a revision may do (`core`).

mod attempt;
mod audits;
mod catalog;
mod column;
pub(crate) mod contracts;
mod egress;
mod error;
mod farmers;
mod fetch;
mod following;
mod funding;
mod gates;
mod gathering;
pub(crate) mod get;
mod get_folder;
mod health;
mod history;
mod keep;
mod line;
mod listing;
mod load;
mod losses;
mod making;
mod meet;
mod mending;
mod nobody;
mod opening;
pub(crate) mod output;
mod patience;
pub(crate) mod put;
mod quote;
mod race;
mod reader;
pub(crate) mod remove;
pub(crate) mod repair;
mod rewrite;
mod room;
pub(crate) mod scan;
mod sending;
mod sources;
mod survey;
mod tagging;
mod tally;
mod upload;
pub(crate) mod wire;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hayloft_core::{
    SegmentId,
    auditor::exported::Exported,
    content::{Coder, Coding},
    record::DeviceCertificate,
};
use tokio::sync::{Notify, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use error::OwnerError;

use self::{
    catalog::Catalog, contracts::Contracts, farmers::Farmers, line::OwnLine, tagging::Tagging, wire::Wire,
};
use crate::{
    Clock,
    jobs::{Jobs, Spec},
    model::{
        ApiError, AuditHistory, AuditReport, Event, FileEntry, FileHealth, GetRequest, Job, JobReport,
        PutRequest, Quote, ReceiptWish,
    },
    notices,
    parts::OwnerParts,
    witness::Witness,
};

/// What all of the owner's work shares.
pub(crate) struct Inner {
    /// The owner's word for this device.
    pub(crate) certificate: DeviceCertificate,
    pub(crate) catalog: Catalog,
    pub(crate) contracts: Contracts,
    pub(crate) farmers: Farmers,
    pub(crate) line: OwnLine,
    pub(crate) wire: Wire,
    pub(crate) vouching: egress::Vouching,
    pub(crate) tagging: Arc<Tagging>,
    pub(crate) net: hayloft_net::Net,
    pub(crate) clock: Clock,
    pub(crate) witness: Arc<Witness>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) stop: CancellationToken,
    /// Turns to send a shard.
    pub(crate) turns: sending::Turns,
    pub(crate) started: tokio::time::Instant,
    /// Wakes whoever tells farmers what to remove.
    pub(crate) removals: Notify,
    /// What farmers hold and no record here knows.
    pub(crate) strangers: remove::Strangers,
    /// Wakes whoever rewrites half-dead segments.
    pub(crate) rewrites: Notify,
    pub(crate) repairs: repair::Desk,
    pub(crate) looked_into: survey::LookedInto,
    pub(crate) written_down: survey::WrittenDown,
    /// Living shards of segments, as last seen by whoever asked for all of them.
    pub(crate) seen: Mutex<HashMap<SegmentId, u8>>,
    coders: Mutex<HashMap<Coding, Arc<Coder>>>,
}

impl Inner {
    /// The matrices of a coding, made once.
    pub(crate) fn coder(&self, coding: Coding) -> Arc<Coder> {
        lock(&self.coders).entry(coding).or_insert_with(|| Arc::new(Coder::new(coding))).clone()
    }

    /// The same error; where farmers are missing whose clocks differ from this computer's, it says so.
    pub(crate) fn with_clocks(&self, error: OwnerError) -> OwnerError {
        match self.net.clocks_that_differ() {
            farmers if farmers > 0 && error.is_for_want_of_answers() => {
                OwnerError::Clocks { farmers, cause: Box::new(error) }
            }
            _ => error,
        }
    }

    /// Tells front ends to list files again.
    pub(crate) fn files_changed(&self) {
        let _ = self.events.send(Event::FilesChanged);
    }
}

/// Locks a mutex whose holders never panic half-way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The owner's side; clones share it.
#[derive(Clone)]
pub(crate) struct Owner {
    inner: Arc<Inner>,
    jobs: Jobs,
    tasks: TaskTracker,
    notice: Option<String>,
}

impl Owner {
    /// Begins the owner's background work: unfinished jobs go on, leftovers are cleared, files are renewed in time.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn start(parts: OwnerParts) -> Result<Self, ApiError> {
        Ok(Self::open(parts).await?)
    }

    async fn open(parts: OwnerParts) -> Result<Self, OwnerError> {
        let store = parts.store.owner();
        let certificate = parts.certificate;
        let wire = Wire::new(parts.net.clone(), certificate.clone());
        let farmers = Farmers::load(parts.net.clone(), parts.store.peers(), parts.clock.clone()).await?;
        let tagging = Arc::new(Tagging::new(&parts.keys.audit, parts.sectors));
        let contracts = Contracts::new(
            (wire.clone(), parts.money.clone()),
            tagging.clone(),
            store.clone(),
            parts.keys.clone(),
            parts.network.clone(),
            parts.clock.clone(),
            contracts::Judged {
                epoch_seconds: parts.epoch_seconds.unwrap_or(contracts::EPOCH_SECONDS),
                auditor: following::meet(&parts.net, parts.auditor.as_deref()),
            },
        );
        let vouching = egress::Vouching::new(
            (parts.device, certificate.clone()),
            parts.network.clone(),
            (wire.clone(), parts.money),
            (store.clone(), parts.store.funds()),
        );
        let inner = Arc::new(Inner {
            certificate: certificate.clone(),
            catalog: Catalog::new(store, parts.keys, parts.network),
            contracts,
            farmers,
            line: OwnLine::new(parts.net.clone(), wire.clone()),
            vouching,
            wire,
            tagging,
            net: parts.net,
            clock: parts.clock,
            witness: parts.witness,
            events: parts.events,
            stop: parts.stop,
            turns: sending::Turns::default(),
            started: tokio::time::Instant::now(),
            removals: Notify::new(),
            strangers: remove::Strangers::default(),
            rewrites: Notify::new(),
            repairs: repair::Desk::new(parts.epoch_seconds, parts.repair),
            looked_into: survey::LookedInto::default(),
            written_down: survey::WrittenDown::default(),
            seen: Mutex::default(),
            coders: Mutex::default(),
        });
        let jobs = Jobs::new(inner.clone(), parts.store.jobs());
        let notice = mending::mend(&inner, &jobs).await?;
        let owner = Self { inner, jobs, tasks: TaskTracker::new(), notice };
        remove::leave_attempts(&owner.inner, |_| true).await?;
        remove::sweep(&owner.inner).await?;
        owner.until_stopped(meet::keep_looking(owner.inner.clone()));
        owner.until_stopped(meet::keep_telling(owner.inner.clone()));
        owner.until_stopped(remove::keep_removing(owner.inner.clone()));
        owner.until_stopped(following::keep_telling(owner.inner.clone()));
        owner.until_stopped(rewrite::keep_rewriting(owner.inner.clone()));
        owner.until_stopped(repair::keep_repairing(owner.inner.clone(), owner.jobs.clone()));
        owner.until_stopped(keep::keep_files(owner.inner.clone(), owner.jobs.clone()));
        owner.jobs.go_on().await?;
        Ok(owner)
    }

    fn until_stopped(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.inner.stop.clone().run_until_cancelled_owned(work));
    }

    /// Waits until all tasks have ended, once the node's stop is cancelled. Unfinished jobs go on at the next start.
    pub(crate) async fn shutdown(&self) {
        self.jobs.stopped().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What its start found and mended, and what farmers hold that it does not know.
    pub(crate) fn notices(&self) -> Vec<String> {
        let strangers = self.inner.strangers.count();
        self.notice
            .clone()
            .into_iter()
            .chain((strangers > 0).then(|| notices::of_strangers(strangers)))
            .collect()
    }

    /// Farmers seen with a valid offer lately.
    pub(crate) fn farmer_count(&self) -> u32 {
        u32::try_from(self.inner.net.farmers().len()).unwrap_or(u32::MAX)
    }

    /// What a put would do, before a byte is sent.
    pub(crate) async fn quote(&self, request: PutRequest) -> Result<Quote, ApiError> {
        Ok(quote::quote(&self.inner, &request).await.map_err(|error| self.inner.with_clocks(error))?)
    }

    /// Begins to store files; returns the job's number, which is that of a job that is not over if it was asked for the
    /// same. What can be refused by looking at the disk and the list is refused now.
    pub(crate) async fn put(&self, request: PutRequest) -> Result<u32, ApiError> {
        quote::check(&self.inner, &request).await?;
        Ok(self.jobs.begin_put(request).await?)
    }

    /// Begins to bring a file back, or all files of a folder; returns the job's number.
    pub(crate) async fn get(&self, request: GetRequest) -> Result<u32, ApiError> {
        let output = output::Output { path: request.output.clone(), overwrite: request.overwrite };
        match self.inner.catalog.find(&request.name).await? {
            Some(record) => {
                get::wanted(&record, &request)?;
                output.check()?;
            }
            None => {
                get::folder(&self.inner, &request).await?;
                output.check_for_folder()?;
            }
        }
        Ok(self.jobs.begin(Spec::get(request)).await?)
    }

    /// All jobs, the newest first.
    pub(crate) async fn jobs(&self) -> Result<Vec<Job>, ApiError> {
        Ok(self.jobs.list().await?)
    }

    /// One job.
    pub(crate) async fn job(&self, id: u32) -> Result<Job, ApiError> {
        Ok(self.jobs.job(id).await?)
    }

    /// What a job did; none unless it is done.
    pub(crate) async fn job_report(&self, id: u32) -> Result<Option<JobReport>, ApiError> {
        Ok(self.jobs.report(id).await?)
    }

    /// Holds a job until it is resumed.
    pub(crate) async fn pause(&self, id: u32) -> Result<(), ApiError> {
        Ok(self.jobs.pause(id).await?)
    }

    /// Lets a paused or failed job go on.
    pub(crate) async fn resume(&self, id: u32) -> Result<(), ApiError> {
        Ok(self.jobs.resume(id).await?)
    }

    /// Ends a job for good; what it had half done is undone.
    pub(crate) async fn cancel(&self, id: u32) -> Result<(), ApiError> {
        Ok(self.jobs.cancel(id).await?)
    }

    /// All stored files, by name.
    pub(crate) async fn files(&self) -> Result<Vec<FileEntry>, ApiError> {
        Ok(listing::files(&self.inner).await?)
    }

    /// Removes files; all or none.
    pub(crate) async fn remove(&self, names: Vec<String>) -> Result<(), ApiError> {
        Ok(remove::remove(&self.inner, &names).await?)
    }

    /// Asks the farmers of a file now whether its shards are there.
    pub(crate) async fn health(&self, name: String) -> Result<FileHealth, ApiError> {
        Ok(health::health(&self.inner, &name).await?)
    }

    /// Begins to repair a file; returns the job's number.
    pub(crate) async fn repair(&self, name: String) -> Result<u32, ApiError> {
        Ok(repair::by_hand(&self.inner, &self.jobs, name).await?)
    }

    /// Audits the shards of a file now.
    pub(crate) async fn audit(&self, name: Option<String>) -> Result<AuditReport, ApiError> {
        Ok(audits::audit(&self.inner, name.as_deref()).await?)
    }

    /// What this owner's audits and its auditors found, of a file's or folder's farmers or all.
    pub(crate) async fn audit_history(&self, name: Option<String>) -> Result<AuditHistory, ApiError> {
        Ok(history::history(&self.inner, name.as_deref()).await?)
    }

    /// A receipt that shows everything by itself.
    pub(crate) async fn audit_export(&self, wish: ReceiptWish) -> Result<Exported, ApiError> {
        history::export(&self.inner, &wish).await
    }

    /// Keeps a file for `keep_seconds` from now, or for as long as before if that is longer; `auto` sets whether it is
    /// renewed by itself from then on.
    pub(crate) async fn renew(
        &self,
        name: String,
        keep_seconds: u64,
        auto: Option<bool>,
    ) -> Result<FileEntry, ApiError> {
        Ok(keep::renew(&self.inner, &name, keep_seconds, auto).await?)
    }
}

#[cfg(test)]
mod tests;
