//! One contract, followed epoch by epoch.
//!
//! ```text
//! answer    = a quarter of an epoch              silence for so long: missed
//! closed    = answer + OPEN_EPOCHS epochs        silence for so long: failed
//! again     = a 48th of an epoch                 between two tries
//! silence   = Σ over tries that nobody answered of min(time since the try before, ASKING_SECONDS or 2 · again)
//! ```
//! Silence counts only while it is watched: an auditor that slept for a week did not hear a farmer be silent for a week.
//!
//! Invariants: an epoch has at most one question, and one judgement that is final; a question's nonce and beacon never
//! change; silence fails nobody that was not judged missed before; what hinders the auditor never counts against a
//! farmer; there are never more than [`MAX_OPEN`] open questions.

use serde::{Deserialize, Serialize};

use super::{Judgement, Reason, Verdict};
use crate::{
    ShardId, Timestamp,
    audit::{
        BLOCKS_PER_EPOCH, Beacon, Commitment, Committer, Epoch, Failure, MAX_SHARDS_NAMED, Opening, Question,
        Scope, Sectors,
    },
    contract::{Revision, ShardEntry, Terms},
    score::Observation,
};

/// Questions open at once.
pub const MAX_OPEN: usize = 8;
/// Epochs for which a missed question stays open.
pub const OPEN_EPOCHS: u64 = 3;
/// Epochs of the auditor's own absence that are written down one by one; older ones just have no verdict.
pub const MAX_AWAY: u64 = 32;
/// As long as one try may take until it counts as silence.
pub const ASKING_SECONDS: u64 = 40;

/// The waiting times of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Silence after which an epoch is missed.
    pub answer_seconds: u64,
    /// Silence after which it is failed.
    pub closed_seconds: u64,
    /// Between two tries.
    pub again_seconds: u64,
}

impl Waits {
    /// Those that follow from the length of an epoch.
    pub fn of(terms: &Terms) -> Self {
        let epoch = u64::from(terms.epoch_seconds);
        let answer_seconds = (epoch / 4).max(1);
        Self {
            answer_seconds,
            closed_seconds: answer_seconds + OPEN_EPOCHS * epoch,
            again_seconds: (epoch / 48).max(1),
        }
    }
}

/// What is asked of the farmer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The farmer's commitment is still to come.
    Committing,
    /// All but the farmer's nonce is fixed.
    Asking {
        from: Randomness,
        /// What the farmer said was lost before it could know the question, in ascending order.
        lost: Vec<ShardId>,
    },
}

/// Where a question's randomness comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Randomness {
    /// The auditor's nonce, and the farmer's, to which it has committed.
    Nonces {
        /// The farmer's.
        commitment: Commitment,
    },
    /// A ledger.
    Ledger {
        /// Its number.
        sequence: u64,
        /// Its hash.
        hash: [u8; 32],
    },
}

/// The open question of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    epoch: Epoch,
    nonce: [u8; 32],
    stage: Stage,
    /// Seconds for which the farmer was heard to be silent.
    silence: u64,
    /// When was asked last.
    tried: Option<Timestamp>,
    /// When to ask next.
    again: Timestamp,
    missed: bool,
}

impl Open {
    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The auditor's nonce: for the farmer only once it has committed to its own.
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// Where its randomness comes from, once that is fixed.
    pub fn randomness(&self) -> Option<Randomness> {
        match &self.stage {
            Stage::Committing => None,
            Stage::Asking { from, .. } => Some(*from),
        }
    }

    fn opening(&self, from: Randomness) -> Opening {
        match from {
            Randomness::Nonces { .. } => Opening::Revealed { auditor: self.nonce },
            Randomness::Ledger { sequence, hash } => Opening::Ledger { sequence, hash },
        }
    }
}

/// What is known of a followed contract beside its terms, revision and shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The next epoch that has no question yet.
    next: Epoch,
    /// The beacon of the first question, which fixed the order in which shards have their turn.
    order: Option<Beacon>,
    /// Open questions, the oldest first.
    open: Vec<Open>,
    /// As many shards as the farmer has reported lost already.
    reported: u64,
}

/// The contract, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its terms.
    pub terms: &'a Terms,
    /// Its newest revision.
    pub revision: &'a Revision,
    /// When the auditor stops following it.
    pub until: Timestamp,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed. The nonce is fresh, in case a question begins.
    Tick {
        /// 32 random bytes.
        nonce: [u8; 32],
    },
    /// The farmer said what it knows to have lost, and then committed to its nonce; or a ledger closed.
    Fixed {
        /// Of which epoch.
        epoch: Epoch,
        /// What fixes the question.
        from: Randomness,
        /// Shards that the farmer reports lost.
        lost: Vec<ShardId>,
    },
    /// The farmer answered, and its answer was verified.
    Answered {
        /// Of which epoch.
        epoch: Epoch,
        /// The beacon of the transcript that it signed.
        beacon: Beacon,
        /// What the answer shows.
        outcome: Result<(), Failure>,
    },
    /// The farmer was asked and gave no answer that it signed.
    Silent {
        /// Of which epoch.
        epoch: Epoch,
    },
    /// The auditor could not ask, or not judge.
    Hindered {
        /// Of which epoch.
        epoch: Epoch,
    },
    /// There is nothing to ask for: no shard has tags, or none is left beside those reported lost.
    Nothing {
        /// Of which epoch.
        epoch: Epoch,
    },
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the farmer what it has lost, then send it this commitment and ask for its own.
    Commit {
        /// Of which epoch.
        epoch: Epoch,
        /// To the auditor's nonce.
        commitment: Commitment,
    },
    /// Ask the farmer this epoch's question; see [`State::question`].
    Ask {
        /// Of which epoch.
        epoch: Epoch,
    },
    /// Write this down, in place of an earlier one of the same epoch.
    Judge(Judgement),
    /// Tell the farmer's record.
    Observe {
        /// In which epoch.
        epoch: Epoch,
        /// What was seen.
        observation: Observation,
    },
}

/// Something happened to a question that is not open, or not at that stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such question is open for epoch {0:?}")]
pub struct IllegalEvent(pub Epoch);

impl State {
    /// Begins to follow a contract: the first question is that of the running epoch.
    pub fn new(terms: &Terms, now: Timestamp) -> Self {
        let next = Epoch::at(terms, now).unwrap_or(Epoch(0));
        Self { next, order: None, open: Vec::new(), reported: 0 }
    }

    /// The open questions, the oldest first.
    pub fn open(&self) -> &[Open] {
        &self.open
    }

    /// The open question of an epoch.
    ///
    /// # Errors
    /// [`IllegalEvent`] if there is none.
    pub fn open_at(&self, epoch: Epoch) -> Result<&Open, IllegalEvent> {
        self.open.iter().find(|open| open.epoch == epoch).ok_or(IllegalEvent(epoch))
    }

    /// When the next [`Event::Tick`] is due; none once nothing is left to follow.
    pub fn due(&self, subject: &Subject<'_>) -> Option<Timestamp> {
        let begins = self.next.beacon_due(subject.terms);
        let begins = (begins < subject.until).then_some(begins);
        self.open.iter().map(|open| open.again).chain(begins).min()
    }

    /// The question of an epoch, once it is fixed: about the newest revision, so that shards that went meanwhile are
    /// asked of nobody. None if there is nothing to ask for beside what the farmer reported lost.
    ///
    /// # Errors
    /// [`IllegalEvent`] if there is none, or it is not fixed yet.
    pub fn question(
        &self,
        subject: &Subject<'_>,
        sectors: Sectors,
        shards: &[ShardEntry],
        epoch: Epoch,
    ) -> Result<Option<Question>, IllegalEvent> {
        let open = self.open_at(epoch)?;
        let Stage::Asking { from, lost } = &open.stage else { return Err(IllegalEvent(epoch)) };
        let scope = match lost.is_empty() {
            true => Some(Scope::Epoch).filter(|_| shards.iter().any(|shard| shard.tag_key.is_some())),
            false => rest(shards, lost).map(Scope::Shards),
        };
        Ok(scope.map(|scope| Question {
            contract: subject.revision.contract,
            revision: subject.revision.number,
            epoch,
            beacon: open.opening(*from),
            order: self.order.clone(),
            sectors,
            scope,
            blocks: BLOCKS_PER_EPOCH,
        }))
    }

    fn open_mut(&mut self, epoch: Epoch) -> Result<&mut Open, IllegalEvent> {
        self.open.iter_mut().find(|open| open.epoch == epoch).ok_or(IllegalEvent(epoch))
    }

    fn close(&mut self, epoch: Epoch) {
        self.open.retain(|open| open.epoch != epoch);
    }
}

/// The shards that are left to ask for, if that many can be named.
fn rest(shards: &[ShardEntry], lost: &[ShardId]) -> Option<Vec<ShardId>> {
    let rest =
        shards.iter().filter(|shard| shard.tag_key.is_some() && lost.binary_search(&shard.id).is_err());
    let rest: Vec<ShardId> = rest.map(|shard| shard.id).collect();
    (1..=MAX_SHARDS_NAMED).contains(&rest.len()).then_some(rest)
}

/// Moves a followed contract on by one event and says what the auditor must now do.
///
/// # Errors
/// [`IllegalEvent`] if the event is about a question that is not open or not at that stage; nothing changes then.
pub fn apply(
    mut state: State,
    subject: &Subject<'_>,
    event: Event,
    now: Timestamp,
) -> Result<(State, Vec<Action>), IllegalEvent> {
    let actions = match event {
        Event::Tick { nonce } => tick(&mut state, subject, nonce, now),
        Event::Fixed { epoch, from, lost } => fixed(&mut state, subject, epoch, from, lost, now)?,
        Event::Answered { epoch, beacon, outcome } => {
            let actions = answered(&mut state, subject, epoch, outcome, now)?;
            state.order.get_or_insert(beacon);
            actions
        }
        Event::Silent { epoch } => silent(&mut state, subject, epoch, now)?,
        Event::Hindered { epoch } => {
            let open = state.open_mut(epoch)?;
            (open.tried, open.again) = (None, now.plus_seconds(Waits::of(subject.terms).again_seconds));
            Vec::new()
        }
        Event::Nothing { epoch } => {
            state.open_at(epoch)?;
            state.close(epoch);
            vec![judge(subject, epoch, Verdict::Undecided, Some(Reason::NothingToAsk), now)]
        }
    };
    Ok((state, actions))
}

fn tick(state: &mut State, subject: &Subject<'_>, nonce: [u8; 32], now: Timestamp) -> Vec<Action> {
    let mut actions = begin_epochs(state, subject, nonce, now);
    while state.open.len() > MAX_OPEN {
        let oldest = state.open.remove(0);
        let reason = if oldest.missed { Reason::Silence } else { Reason::AuditorHindered };
        let verdict = if oldest.missed { Verdict::Missed } else { Verdict::Undecided };
        actions.push(judge(subject, oldest.epoch, verdict, Some(reason), now));
    }
    let again = Waits::of(subject.terms).again_seconds;
    for open in state.open.iter_mut().filter(|open| open.again <= now) {
        open.again = now.plus_seconds(again);
        let (contract, epoch) = (&subject.revision.contract, open.epoch);
        actions.push(match &open.stage {
            Stage::Committing => {
                let commitment = Commitment::to(contract, epoch, Committer::Auditor, &open.nonce);
                Action::Commit { epoch, commitment }
            }
            Stage::Asking { .. } => Action::Ask { epoch },
        });
    }
    actions
}

/// Opens the running epoch's question once its beacon is due; epochs that passed without one were the auditor's absence.
fn begin_epochs(state: &mut State, subject: &Subject<'_>, nonce: [u8; 32], now: Timestamp) -> Vec<Action> {
    let Some(running) = Epoch::at(subject.terms, now) else { return Vec::new() };
    let mut actions = Vec::new();
    if running > state.next {
        let first = running.0.saturating_sub(MAX_AWAY).max(state.next.0);
        let away = (first..running.0).map(Epoch);
        actions.extend(
            away.map(|epoch| judge(subject, epoch, Verdict::Undecided, Some(Reason::AuditorAway), now)),
        );
        state.next = running;
    }
    if running == state.next && running.beacon_due(subject.terms) <= now && now < subject.until {
        state.next = Epoch(running.0 + 1);
        if subject.revision.shards == 0 {
            return actions;
        }
        state.open.push(Open {
            epoch: running,
            nonce,
            stage: Stage::Committing,
            silence: 0,
            tried: None,
            again: now,
            missed: false,
        });
    }
    actions
}

fn fixed(
    state: &mut State,
    subject: &Subject<'_>,
    epoch: Epoch,
    from: Randomness,
    mut lost: Vec<ShardId>,
    now: Timestamp,
) -> Result<Vec<Action>, IllegalEvent> {
    lost.sort_unstable();
    lost.dedup();
    let count = lost.len() as u64;
    let open = state.open_mut(epoch)?;
    if open.stage != Stage::Committing {
        return Err(IllegalEvent(epoch));
    }
    open.stage = Stage::Asking { from, lost };
    open.again = now.plus_seconds(Waits::of(subject.terms).again_seconds);
    let newly = count > state.reported;
    state.reported = count;
    let mut actions = Vec::new();
    if newly {
        actions.push(Action::Observe { epoch, observation: Observation::ReportedLoss });
    }
    if (count > 0 && count >= subject.revision.shards) || count > MAX_SHARDS_NAMED as u64 {
        state.close(epoch);
        actions.push(judge(subject, epoch, Verdict::Failed, Some(Reason::AllLost), now));
    } else {
        actions.push(Action::Ask { epoch });
    }
    Ok(actions)
}

fn answered(
    state: &mut State,
    subject: &Subject<'_>,
    epoch: Epoch,
    outcome: Result<(), Failure>,
    now: Timestamp,
) -> Result<Vec<Action>, IllegalEvent> {
    let Stage::Asking { lost, .. } = &state.open_at(epoch)?.stage else { return Err(IllegalEvent(epoch)) };
    let whole = lost.is_empty();
    // What it admitted now it will also report before the next question: that costs nothing more.
    if let Err(Failure::Lost(_)) = outcome {
        state.reported = state.reported.saturating_add(1);
    }
    state.close(epoch);
    let (verdict, reason, observation) = match outcome {
        Ok(()) if whole => (Verdict::Passed, None, Observation::Passed),
        Ok(()) => (Verdict::Undecided, Some(Reason::LossReported), Observation::Answered),
        Err(failure) => (Verdict::Failed, Some(Reason::WrongProof(failure)), Observation::Failed),
    };
    Ok(vec![judge(subject, epoch, verdict, reason, now), Action::Observe { epoch, observation }])
}

fn silent(
    state: &mut State,
    subject: &Subject<'_>,
    epoch: Epoch,
    now: Timestamp,
) -> Result<Vec<Action>, IllegalEvent> {
    let waits = Waits::of(subject.terms);
    let open = state.open_mut(epoch)?;
    let most = ASKING_SECONDS.max(2 * waits.again_seconds);
    let since = open.tried.map_or(0, |tried| now.seconds_since(tried));
    open.silence += since.min(most);
    open.tried = Some(now);
    open.again = now.plus_seconds(waits.again_seconds);
    if open.missed && open.silence >= waits.closed_seconds {
        state.close(epoch);
        let judged = judge(subject, epoch, Verdict::Failed, Some(Reason::Silence), now);
        return Ok(vec![judged, Action::Observe { epoch, observation: Observation::Failed }]);
    }
    if !open.missed && open.silence >= waits.answer_seconds {
        open.missed = true;
        let judged = judge(subject, epoch, Verdict::Missed, Some(Reason::Silence), now);
        return Ok(vec![judged, Action::Observe { epoch, observation: Observation::Missed }]);
    }
    Ok(Vec::new())
}

fn judge(
    subject: &Subject<'_>,
    epoch: Epoch,
    verdict: Verdict,
    reason: Option<Reason>,
    at: Timestamp,
) -> Action {
    Action::Judge(Judgement { epoch, revision: subject.revision.number, verdict, reason, at })
}
