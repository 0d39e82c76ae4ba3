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
        BLOCKS_PER_EPOCH, Beacon, Commitment, Committer, Epoch, Failure, MAX_SHARDS_NAMED, Scope, Sectors,
        Transcript,
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
    /// The farmer's nonce is still to come.
    Committing,
    /// The beacon is known.
    Asking {
        beacon: Beacon,
        /// What the farmer said was lost before it could know the question, in ascending order.
        lost: Vec<ShardId>,
    },
}

/// The question of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
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

impl Question {
    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The auditor's nonce: for the farmer only once its own is known.
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The beacon, once it is known.
    pub fn beacon(&self) -> Option<&Beacon> {
        match &self.stage {
            Stage::Committing => None,
            Stage::Asking { beacon, .. } => Some(beacon),
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
    /// Epochs of open questions, the oldest first.
    open: Vec<Question>,
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
    /// The farmer answered the commitment: its nonce, and what it knows to have lost.
    Revealed {
        /// Of which epoch.
        epoch: Epoch,
        /// The farmer's.
        nonce: [u8; 32],
        /// Shards that it reports lost.
        lost: Vec<ShardId>,
    },
    /// A ledger gave the epoch's beacon.
    Beacon {
        /// Of which epoch.
        epoch: Epoch,
        /// The beacon.
        beacon: Beacon,
        /// Shards that the farmer reports lost.
        lost: Vec<ShardId>,
    },
    /// The farmer answered, and its answer was verified against the newest revision.
    Answered {
        /// Of which epoch.
        epoch: Epoch,
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
    /// Send the farmer this commitment, and ask for its nonce.
    Commit {
        /// Of which epoch.
        epoch: Epoch,
        /// To the auditor's nonce.
        commitment: Commitment,
    },
    /// Ask the farmer this epoch's question; see [`State::transcript`].
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
    pub fn open(&self) -> &[Question] {
        &self.open
    }

    /// When the next [`Event::Tick`] is due; none once nothing is left to follow.
    pub fn due(&self, subject: &Subject<'_>) -> Option<Timestamp> {
        let begins = self.next.beacon_due(subject.terms);
        let begins = (begins < subject.until).then_some(begins);
        self.open.iter().map(|question| question.again).chain(begins).min()
    }

    /// The question of an epoch in full, once its beacon is known: about the newest revision, so that shards that went
    /// meanwhile are asked of nobody. None if the farmer reported too much lost to name the rest.
    pub fn transcript(
        &self,
        subject: &Subject<'_>,
        sectors: Sectors,
        shards: &[ShardEntry],
        epoch: Epoch,
    ) -> Option<Transcript> {
        let question = self.open.iter().find(|question| question.epoch == epoch)?;
        let Stage::Asking { beacon, lost } = &question.stage else { return None };
        let scope = if lost.is_empty() { Scope::Epoch } else { Scope::Shards(rest(shards, lost)?) };
        Some(Transcript {
            network: subject.terms.network.clone(),
            contract: subject.revision.contract,
            revision: subject.revision.number,
            root: subject.revision.root,
            farmer: subject.terms.farmer,
            epoch,
            beacon: beacon.clone(),
            order: self.order.clone().unwrap_or_else(|| beacon.clone()),
            sectors,
            scope,
            blocks: BLOCKS_PER_EPOCH,
        })
    }

    fn question(&mut self, epoch: Epoch) -> Result<&mut Question, IllegalEvent> {
        self.open.iter_mut().find(|question| question.epoch == epoch).ok_or(IllegalEvent(epoch))
    }

    fn close(&mut self, epoch: Epoch) {
        self.open.retain(|question| question.epoch != epoch);
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
        Event::Revealed { epoch, nonce, lost } => {
            let question = state.question(epoch)?;
            let beacon = Beacon::Revealed { auditor: question.nonce, farmer: nonce };
            begin_asking(&mut state, subject, epoch, beacon, lost, now)?
        }
        Event::Beacon { epoch, beacon, lost } => begin_asking(&mut state, subject, epoch, beacon, lost, now)?,
        Event::Answered { epoch, outcome } => answered(&mut state, subject, epoch, outcome, now)?,
        Event::Silent { epoch } => silent(&mut state, subject, epoch, now)?,
        Event::Hindered { epoch } => {
            let question = state.question(epoch)?;
            (question.tried, question.again) =
                (None, now.plus_seconds(Waits::of(subject.terms).again_seconds));
            Vec::new()
        }
        Event::Nothing { epoch } => {
            state.question(epoch)?;
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
    for question in state.open.iter_mut().filter(|question| question.again <= now) {
        question.again = now.plus_seconds(again);
        actions.push(match &question.stage {
            Stage::Committing => Action::Commit {
                epoch: question.epoch,
                commitment: Commitment::to(
                    &subject.revision.contract,
                    question.epoch,
                    Committer::Auditor,
                    &question.nonce,
                ),
            },
            Stage::Asking { .. } => Action::Ask { epoch: question.epoch },
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
        state.open.push(Question {
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

fn begin_asking(
    state: &mut State,
    subject: &Subject<'_>,
    epoch: Epoch,
    beacon: Beacon,
    mut lost: Vec<ShardId>,
    now: Timestamp,
) -> Result<Vec<Action>, IllegalEvent> {
    lost.sort_unstable();
    lost.dedup();
    let count = lost.len() as u64;
    let question = state.question(epoch)?;
    if question.stage != Stage::Committing {
        return Err(IllegalEvent(epoch));
    }
    question.stage = Stage::Asking { beacon: beacon.clone(), lost };
    question.again = now.plus_seconds(Waits::of(subject.terms).again_seconds);
    state.order.get_or_insert(beacon);
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
    let Stage::Asking { lost, .. } = &state.question(epoch)?.stage else { return Err(IllegalEvent(epoch)) };
    let whole = lost.is_empty();
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
    let question = state.question(epoch)?;
    let most = ASKING_SECONDS.max(2 * waits.again_seconds);
    let since = question.tried.map_or(0, |tried| now.seconds_since(tried));
    question.silence += since.min(most);
    question.tried = Some(now);
    question.again = now.plus_seconds(waits.again_seconds);
    if question.missed && question.silence >= waits.closed_seconds {
        state.close(epoch);
        let judged = judge(subject, epoch, Verdict::Failed, Some(Reason::Silence), now);
        return Ok(vec![judged, Action::Observe { epoch, observation: Observation::Failed }]);
    }
    if !question.missed && question.silence >= waits.answer_seconds {
        question.missed = true;
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
