//! Transactions that wait for the next ledger, in the order in which they came.
//!
//! Invariant: everything that waits was valid behind what waits before it, the whole is bounded, and the identical
//! envelope is in it at most once: whoever offers it again waits for the same answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::sync::watch;

use crate::{
    db::{DatabaseError, history::TransactionRow},
    rules::{
        MAX_LEDGER_OPERATIONS, Moment,
        close::Waiting,
        envelope::Envelope,
        state::{Draft, State},
        transaction::{self, Outcome},
    },
};

/// Most transactions that wait.
const MAX_WAITING: usize = 20_000;
/// Most bytes of envelopes that wait.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// A recorded transaction.
pub(crate) type Applied = Arc<TransactionRow>;

/// What came of a submission.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// It is in a ledger, successful or failed.
    Applied(Applied),
    /// It was not valid and left no trace.
    Refused(Outcome),
    /// Its ledger could not be written; it may be offered again.
    Unavailable,
}

/// Why a submission has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// Not valid.
    #[error("the transaction is not valid")]
    Refused(Box<(Envelope, Outcome)>),
    /// Too much waits already.
    #[error("too many transactions wait for the next ledger")]
    Full,
    /// The ledger closes no more, or cannot be written.
    #[error("the ledger cannot take transactions now")]
    Unavailable,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A transaction that waits.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) envelope: Envelope,
    answer: watch::Sender<Option<Answer>>,
}

impl Pending {
    /// Waits for what comes of it.
    pub(crate) async fn answer(&self) -> Result<Answer, SubmitError> {
        let mut answers = self.answer.subscribe();
        let answer = answers.wait_for(Option::is_some).await;
        answer.ok().and_then(|answer| answer.clone()).ok_or(SubmitError::Unavailable)
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Arc<Pending>>,
    known: HashMap<[u8; 32], Arc<Pending>>,
    judge: Waiting,
    bytes: usize,
}

/// Judges a transaction for the sake of its signatures' verdicts, which it remembers.
pub(super) fn check_signatures(state: &State, moment: Moment, envelope: &Envelope) {
    let expected = envelope.inner.sequence().checked_sub(1);
    transaction::validate(&Draft::new(state), moment, envelope, expected);
}

impl Queue {
    /// How many wait, those of a ledger that is being closed included.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Takes a transaction in if it is valid behind what waits.
    pub(super) fn offer(
        &mut self,
        state: &State,
        moment: Moment,
        envelope: Envelope,
    ) -> Result<Arc<Pending>, SubmitError> {
        if let Some(pending) = self.known.get(&envelope.hash()) {
            return Ok(Arc::clone(pending));
        }
        let bytes = self.bytes + envelope.bytes.len();
        if self.known.len() >= MAX_WAITING || bytes > MAX_WAITING_BYTES {
            return Err(SubmitError::Full);
        }
        let outcome = self.judge.offer(&Draft::new(state), moment, &envelope);
        if !outcome.success() {
            return Err(SubmitError::Refused(Box::new((envelope, outcome))));
        }
        let pending = Arc::new(Pending { envelope, answer: watch::Sender::new(None) });
        self.bytes = bytes;
        self.known.insert(pending.envelope.hash(), Arc::clone(&pending));
        self.waiting.push_back(Arc::clone(&pending));
        Ok(pending)
    }

    /// The next sequence number that a transaction of this account needs.
    pub(super) fn next_sequence(&self, state: &State, account: &[u8; 32]) -> Option<i64> {
        self.judge.sequence(account).or_else(|| Some(state.account(account)?.sequence))?.checked_add(1)
    }

    /// Takes out what the next ledger has room for. It stays known until it is answered.
    pub(super) fn take_batch(&mut self) -> Vec<Arc<Pending>> {
        let mut room = usize::try_from(MAX_LEDGER_OPERATIONS).unwrap_or(usize::MAX);
        let mut batch = Vec::new();
        while let Some(next) = self.waiting.front() {
            let operations = next.envelope.inner.tx.operations.len();
            if operations > room {
                break;
            }
            room -= operations;
            batch.extend(self.waiting.pop_front());
        }
        batch
    }

    /// Answers one that was taken out.
    pub(super) fn answer(&mut self, pending: &Arc<Pending>, answer: Answer) {
        if self.known.remove(&pending.envelope.hash()).is_some() {
            self.bytes = self.bytes.saturating_sub(pending.envelope.bytes.len());
        }
        pending.answer.send_replace(Some(answer));
    }

    /// Tells those whose ledger could not be written that they may try again.
    pub(super) fn give_up(&mut self, batch: &[Arc<Pending>]) {
        for pending in batch {
            self.answer(pending, Answer::Unavailable);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for pending in &waiting {
            self.answer(pending, Answer::Unavailable);
        }
        self.judge = Waiting::default();
    }

    /// Judges what still waits against the state after a ledger.
    pub(super) fn judge_again(&mut self, state: &State, moment: Moment) {
        self.judge = Waiting::default();
        let view = Draft::new(state);
        let mut refused = Vec::new();
        self.waiting.retain(|pending| {
            let outcome = self.judge.offer(&view, moment, &pending.envelope);
            let valid = outcome.success();
            if !valid {
                refused.push((Arc::clone(pending), outcome));
            }
            valid
        });
        for (pending, outcome) in refused {
            self.answer(&pending, Answer::Refused(outcome));
        }
    }
}
