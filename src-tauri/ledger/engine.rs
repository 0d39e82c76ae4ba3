//! The one place where ledgers close: transactions wait here, and are answered once their ledger is on the disk.
//!
//! Invariant: the state in memory is never ahead of the database. Locks are taken in the order queue, state.

mod friendbot;
mod queue;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use rand::Rng;
use tokio::sync::watch;

pub(crate) use friendbot::FriendbotError;
pub(crate) use queue::{Answer, Applied, SubmitError};
use queue::{Pending, Queue};

use crate::{
    db::{ClosedRows, DatabaseError, Db, Network, history::TransactionRow},
    rules::{
        Moment,
        close::{self, Closed, Fate},
        envelope::Envelope,
        sha256,
        state::State,
        to_xdr,
    },
};

/// The ledger behind its HTTP doors.
pub(crate) struct Engine {
    pub(crate) db: Db,
    pub(crate) passphrase: String,
    pub(crate) network: [u8; 32],
    root: SigningKey,
    state: RwLock<State>,
    queue: Mutex<Queue>,
    closing: tokio::sync::Mutex<()>,
    closed: watch::Sender<u32>,
    arrived: tokio::sync::Notify,
    /// What the clock says instead of the system's, if not zero.
    set_time: AtomicU64,
    /// Whether each close time is later than the one before, as on a Stellar network.
    strict_times: bool,
}

impl Engine {
    /// Opens a ledger's folder, founding a new network in an empty one.
    pub(crate) async fn open(home: &Path, strict_times: bool) -> Result<Self, DatabaseError> {
        let db = Db::open(&home.join("ledger.db")).await?;
        let (network, state) = match db.load().await? {
            Some(found) => found,
            None => {
                let (network, state) = found();
                db.found(&network, &state).await?;
                (network, state)
            }
        };
        let newest = state.header().ledger_seq;
        Ok(Self {
            db,
            network: sha256(&[network.passphrase.as_bytes()]),
            passphrase: network.passphrase,
            root: SigningKey::from_bytes(&network.root),
            state: RwLock::new(state),
            queue: Mutex::default(),
            closing: tokio::sync::Mutex::default(),
            closed: watch::Sender::new(newest),
            arrived: tokio::sync::Notify::new(),
            set_time: AtomicU64::new(0),
            strict_times,
        })
    }

    /// The state after the newest ledger. Nothing that waits may be done while it is held.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says the number of each ledger once it is closed.
    pub(crate) fn watch(&self) -> watch::Receiver<u32> {
        self.closed.subscribe()
    }

    /// Makes the clock stand at this second, or follow the system again.
    pub(crate) fn set_time(&self, time: Option<u64>) {
        self.set_time.store(time.unwrap_or(0), Ordering::Relaxed);
    }

    /// How many transactions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue().len()
    }

    fn next_moment(&self, state: &State) -> Moment {
        let now = match self.set_time.load(Ordering::Relaxed) {
            0 => unix_now(),
            set => set,
        };
        let least = state.close_time() + u64::from(self.strict_times);
        Moment { ledger: state.header().ledger_seq + 1, close_time: now.max(least) }
    }

    /// Takes a transaction in, unless it can be refused at once, and waits for its ledger.
    pub(crate) async fn submit(&self, envelope: Envelope) -> Result<Answer, SubmitError> {
        let hash = envelope.hash();
        if let Some(answer) = self.recorded(hash).await? {
            return Ok(answer);
        }
        match self.enqueue(envelope) {
            Ok(pending) => pending.answer().await,
            // Its twin may have got in since we looked.
            Err(SubmitError::Refused(refusal)) => {
                self.recorded(hash).await?.ok_or(SubmitError::Refused(refusal))
            }
            Err(error) => Err(error),
        }
    }

    /// The answer to a transaction that is in a ledger already.
    async fn recorded(&self, hash: [u8; 32]) -> Result<Option<Answer>, DatabaseError> {
        let row = self.db.transaction(hash).await?.filter(|row| row.hash == hash);
        Ok(row.map(|row| Answer::Applied(Arc::new(row))))
    }

    fn enqueue(&self, envelope: Envelope) -> Result<Arc<Pending>, SubmitError> {
        // Signatures are checked here, on as many cores as there are requests, and remembered.
        {
            let state = self.state();
            queue::check_signatures(&state, self.next_moment(&state), &envelope);
        }
        let mut queue = self.queue();
        let state = self.state();
        self.offer(&mut queue, &state, envelope)
    }

    fn offer(
        &self,
        queue: &mut Queue,
        state: &State,
        envelope: Envelope,
    ) -> Result<Arc<Pending>, SubmitError> {
        let pending = queue.offer(state, self.next_moment(state), envelope)?;
        self.arrived.notify_waiters();
        Ok(pending)
    }

    /// Returns once at least this many transactions wait for the next ledger.
    pub(crate) async fn until_waiting(&self, count: usize) {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if self.waiting() >= count {
                return;
            }
            arrived.await;
        }
    }

    /// Tells everybody who waits that no ledger will close.
    pub(crate) fn refuse_waiting(&self) {
        self.queue().give_up(&[]);
    }

    /// Closes the next ledger and answers those who wait for it. Returns its number. Once begun it goes on to its end,
    /// whether or not the caller waits for it.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<u32, DatabaseError> {
        let engine = Arc::clone(self);
        let closed = tokio::spawn(async move { engine.close_now().await }).await;
        closed.unwrap_or(Err(DatabaseError::Corrupt { what: "a ledger being closed" }))
    }

    async fn close_now(self: &Arc<Self>) -> Result<u32, DatabaseError> {
        let _one_at_a_time = self.closing.lock().await;
        let batch = self.queue().take_batch();
        let engine = Arc::clone(self);
        let offered = batch.clone();
        // Applying thousands of transactions would hold up everything else that runs here.
        let closed = tokio::task::spawn_blocking(move || engine.judge(&offered)).await;
        let Ok(closed) = closed else { return Err(DatabaseError::Corrupt { what: "a ledger being closed" }) };
        let rows = rows(&closed, &batch);
        let transactions: Vec<(&Envelope, &TransactionRow)> = batch
            .iter()
            .zip(&rows)
            .filter_map(|(pending, row)| Some((&pending.envelope, row.as_deref()?)))
            .collect();
        let hash = sha256(&[&to_xdr(&closed.header)]);
        let written = ClosedRows {
            header: &closed.header,
            hash,
            changes: &closed.changes,
            transactions: &transactions,
        };
        if let Err(error) = self.db.write(&written).await {
            self.queue().give_up(&batch);
            return Err(error);
        }
        let number = closed.header.ledger_seq;
        self.advance(closed, &batch, rows);
        self.closed.send_replace(number);
        Ok(number)
    }

    fn judge(&self, batch: &[Arc<Pending>]) -> Closed {
        let state = self.state();
        let offered: Vec<&Envelope> = batch.iter().map(|pending| &pending.envelope).collect();
        close::close(&state, &offered, self.next_moment(&state).close_time)
    }

    fn advance(&self, closed: Closed, batch: &[Arc<Pending>], rows: Vec<Option<Arc<TransactionRow>>>) {
        let mut queue = self.queue();
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.advance(closed.changes, closed.header);
        }
        for ((pending, fate), row) in batch.iter().zip(closed.fates).zip(rows) {
            let answer = match (fate, row) {
                (Fate::Refused(outcome), _) => Answer::Refused(outcome),
                (Fate::Applied { .. }, Some(row)) => Answer::Applied(row),
                (Fate::Applied { .. }, None) => Answer::Unavailable,
            };
            queue.answer(pending, answer);
        }
        let state = self.state();
        queue.judge_again(&state, self.next_moment(&state));
    }
}

/// The record of each transaction that entered the ledger.
fn rows(closed: &Closed, batch: &[Arc<Pending>]) -> Vec<Option<Arc<TransactionRow>>> {
    let mut index = 0;
    let row = |(pending, fate): (&Arc<Pending>, &Fate)| {
        let Fate::Applied { success, result } = fate else { return None };
        index += 1;
        let envelope = &pending.envelope;
        Some(Arc::new(TransactionRow {
            id: (i64::from(closed.header.ledger_seq) << 32) | (index << 12),
            hash: envelope.hash(),
            inner_hash: envelope.bump.is_some().then_some(envelope.inner.hash),
            closed: i64::try_from(closed.header.scp_value.close_time.0).unwrap_or(i64::MAX),
            successful: *success,
            envelope: envelope.bytes.clone(),
            result: to_xdr(result),
        }))
    };
    batch.iter().zip(&closed.fates).map(row).collect()
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A new network, with an id that no other has.
fn found() -> (Network, State) {
    let mut id = [0; 16];
    let mut root = [0; 32];
    rand::rng().fill_bytes(&mut id);
    rand::rng().fill_bytes(&mut root);
    let passphrase = format!("Hayloft local ledger ; {}", HEXLOWER.encode(&id));
    let holder = SigningKey::from_bytes(&root).verifying_key().to_bytes();
    let state = close::genesis(holder, unix_now());
    (Network { passphrase, root }, state)
}
