//! The auditor's side of a node: follows contracts that name it, asks their farmers each epoch, and judges.
//!
//! ```text
//! owner ── Follow ──► follow.rs ──► books (store)
//!                                     │ due
//!                      run.rs ◄───────┘ one task for each contract that is due, so many at once
//!                        └─► case.rs: commitment, question, proof, verdict ──► books.rs: farmers' records, brake
//! vetting.rs: data of its own with each farmer, read now and then
//!                                └─► second.rs: while the brake holds, another auditor asks the same
//! anybody ── Verdicts, Receipt, Standing ──► told.rs
//! ```
//! Invariants: it goes on without the owner, by public data alone; each event's outcome is on the disk before the next
//! step; a contract is worked at by one task at a time; whatever others send is verified, and bounded by
//! `hayloft_store::auditor::Bounds`.
//! Deliberately absent: what follows from what (`core::auditor`), and proving (`farmer`).

pub(crate) mod asking;
mod books;
mod case;
mod follow;
mod planting;
mod run;
pub(crate) mod second;
pub(crate) mod shown;
mod taking_back;
mod told;
mod vetting;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use hayloft_core::{ContractId, contract::MIN_EPOCH_SECONDS, placement::Subnet, record::SignedAuditorRecord};
use hayloft_net::{
    Inbound, NetError,
    messages::{Answer, Refusal, RefusalCode, Request},
};
use hayloft_store::{
    DatabaseError,
    auditor::{AuditorError, Bounds},
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use self::{books::Books, second::Relaying};
use crate::{
    farmer::{refuse, serve::working},
    locks::{Held, Locks},
    parts::Parts,
};

/// Contracts worked at at once.
const AT_ONCE: usize = 16;
/// Answers verified at once.
const JUDGING: usize = 2;
/// An epoch of farmers, for the brake.
const ROUND_SECONDS: u64 = 24 * 60 * 60;

/// The auditor's side. Clones are the same auditor.
#[derive(Clone)]
pub(crate) struct Auditor {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    parts: Parts,
    enabled: bool,
    bounds: Bounds,
    books: tokio::sync::Mutex<Books>,
    locks: Locks,
    /// Contracts that a task works at, and where their farmers are.
    under_way: Mutex<HashMap<ContractId, Subnet>>,
    asking: Arc<Semaphore>,
    judging: Semaphore,
    relaying: Relaying,
    /// Something became due, or a place free.
    wake: Notify,
}

impl Auditor {
    /// Begins to audit if it is `enabled`, and to vet farmers if it does that too; else it refuses what is asked of auditors, and what it followed stays.
    ///
    /// # Errors
    /// [`AuditorError`] if the books cannot be read.
    pub(crate) async fn start(parts: Parts, enabled: bool, vets: bool) -> Result<Self, AuditorError> {
        let kept = parts.store.auditor().round().await?;
        let round = parts.epoch_seconds.map_or(ROUND_SECONDS, u64::from);
        let books = Books::new(round, kept, parts.clock.now());
        let shared = Arc::new(Shared {
            parts,
            enabled,
            bounds: Bounds::default(),
            books: tokio::sync::Mutex::new(books),
            locks: Locks::default(),
            under_way: Mutex::default(),
            asking: Arc::new(Semaphore::new(AT_ONCE)),
            judging: Semaphore::new(JUDGING),
            relaying: Relaying::default(),
            wake: Notify::new(),
        });
        let auditor = Self { shared, tasks: TaskTracker::new() };
        if enabled {
            auditor.tasks.spawn(run::run(auditor.shared.clone(), auditor.tasks.clone()));
        }
        if enabled && vets {
            auditor.tasks.spawn(vetting::run(auditor.shared.clone()));
        }
        Ok(auditor)
    }

    /// Whether this node audits.
    pub(crate) fn is_enabled(&self) -> bool {
        self.shared.enabled
    }

    /// Waits for the work under way; the node's stop token has been cancelled before.
    pub(crate) async fn shutdown(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What others may know of this auditor; none if it is none.
    ///
    /// # Errors
    /// [`Refusal`] if its books cannot be read.
    pub(crate) async fn record(
        &self,
        operator: Option<String>,
    ) -> Result<Option<SignedAuditorRecord>, Refusal> {
        match self.is_enabled() {
            true => Ok(Some(self.shared.record(operator).await?)),
            false => Ok(None),
        }
    }

    /// Answers what is asked of auditors.
    ///
    /// # Errors
    /// [`NetError`] if the answer could not be sent.
    pub(crate) async fn answer(&self, mut inbound: Inbound) -> Result<(), NetError> {
        if !self.is_enabled() {
            return inbound.refuse(RefusalCode::NotAccepting, "This node does not audit.").await;
        }
        if let Request::Relay(relay) = &inbound.envelope.request {
            let relayed = self.shared.relay(inbound.from, (**relay).clone());
            let answer = working(&mut inbound, relayed).await?;
            return inbound.answer(answer.unwrap_or_else(Answer::Refused)).await;
        }
        let answer = self.shared.answer(&inbound).await;
        if matches!(answer, Ok(Answer::Following { .. })) {
            inbound.welcome();
        }
        inbound.answer(answer.unwrap_or_else(Answer::Refused)).await
    }
}

impl Shared {
    async fn answer(&self, inbound: &Inbound) -> Result<Answer, Refusal> {
        match inbound.envelope.request.clone() {
            Request::Follow(followed) => self.follow(inbound, *followed).await,
            Request::Verdicts { contract, before } => self.verdicts(inbound, contract, before).await,
            Request::Receipt { contract, epoch } => self.receipt(inbound, contract, epoch).await,
            Request::RevisionShards { contract, number, after } => {
                self.revision_shards(inbound, contract, number, after).await
            }
            Request::Standing { farmer } => self.standing(farmer).await,
            _ => Err(refuse::refuse(RefusalCode::BadRequest, "That is not asked of auditors.")),
        }
    }

    async fn lock(&self, contract: ContractId) -> Held<'_> {
        self.locks.lock(contract).await
    }

    /// The shortest epoch whose audits this auditor takes upon itself.
    fn shortest_epoch(&self) -> u32 {
        self.parts.epoch_seconds.unwrap_or(MIN_EPOCH_SECONDS)
    }
}

/// What a stranger is told of the books' refusal. Failures of this node's own disk are logged and stay here.
fn refusal(error: AuditorError) -> Refusal {
    let code = match &error {
        AuditorError::NotFollowed => RefusalCode::UnknownContract,
        AuditorError::OwnersShare | AuditorError::Full => RefusalCode::NoSpace,
        AuditorError::Stale => RefusalCode::StaleRevision,
        AuditorError::Database(error) => return internal(error),
    };
    refuse::refuse(code, format!("Refused: {error}."))
}

fn internal(error: &DatabaseError) -> Refusal {
    tracing::error!(%error, "the auditor's books failed");
    refuse::refuse(RefusalCode::Internal, "This auditor's own disk failed.")
}

#[cfg(test)]
mod tests;
