//! What an auditor knows of one farmer over all contracts: since when, whether it is there, and its public scores.
//!
//! A pass counts for the score of audits only if the data is the auditor's own vetting data: an owner who works with a farmer
//! can fake proofs to itself. It still shows that the farmer was there. A wrong proof counts from any contract, because
//! the farmer checked those tags and signed that proof; so does silence.
//!
//! While the brake holds, what speaks against a farmer is held back. It acts once a second auditor has seen the same, or once
//! the brake lets go; it is dropped once a right proof comes.
//!
//! Invariants: an observation acts at most once; at most [`MAX_HELD`] are held, the oldest act first.

use serde::{Deserialize, Serialize};

use crate::{
    ContractId, Timestamp,
    audit::Epoch,
    score::{self, Explanation, Fall, Kind, Observation, Scores, Standing},
};

/// Observations held back at once.
pub const MAX_HELD: usize = 64;

/// Whose data an audit was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// An owner's: its passes say nothing in public.
    Owner,
    /// Made by this auditor from a seed that it alone knows.
    Vetting,
}

/// Something held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    contract: ContractId,
    epoch: Epoch,
    observation: Observation,
}

/// A farmer as an auditor knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was first asked.
    pub first_seen: Timestamp,
    /// Since when it has answered whenever it was asked; none while it does not.
    pub online_since: Option<Timestamp>,
    /// When an audit of it was last due.
    pub last_due: Option<Timestamp>,
    /// Audits passed, of whatever data.
    pub passed: u64,
    scores: Scores,
    held: Vec<Held>,
}

/// What happens to a farmer's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An audit came due.
    Due,
    /// It answered something.
    Heard,
    /// It did not answer, and nothing says that the auditor is to blame.
    Unheard,
    /// An audit, or a probe, showed something.
    Observed {
        /// Under which contract.
        contract: ContractId,
        /// In which epoch.
        epoch: Epoch,
        /// What.
        observation: Observation,
        /// Whose data.
        origin: Origin,
        /// Whether the brake holds.
        braked: bool,
    },
    /// A second auditor saw the same of it.
    Confirmed,
    /// The brake has let go.
    Released,
    /// Time has passed.
    Tick,
}

impl Record {
    /// A farmer that is asked for the first time.
    pub fn new(now: Timestamp) -> Self {
        Self {
            first_seen: now,
            online_since: None,
            last_due: None,
            passed: 0,
            scores: Scores::default(),
            held: Vec::new(),
        }
    }

    /// The public scores.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// Observations held back by the brake.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// One score as it is told to others: in millionths, since what travels has one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreTold {
    /// Which.
    pub kind: Kind,
    /// Its value; none without evidence.
    pub value_ppm: Option<u32>,
    /// Under this it costs the good standing; none if it never does.
    pub limit_ppm: Option<u32>,
    /// Good observations in a row that bring it back; none if it is not under its limit.
    pub restored_by: Option<u32>,
    /// What lowered it last.
    pub fall: Option<Fall>,
}

/// A farmer's record as its auditor tells it to anybody who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// When it was first asked.
    pub first_seen: Timestamp,
    /// Since when it has answered; none while it does not.
    pub online_since: Option<Timestamp>,
    /// When an audit of it was last due.
    pub last_due: Option<Timestamp>,
    /// Audits passed, of whatever data.
    pub passed: u64,
    /// Contracts followed.
    pub contracts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Observations that the brake holds back.
    pub held: u64,
    /// Where it stands.
    pub standing: Standing,
    /// One line for each kind of score.
    pub scores: [ScoreTold; 3],
}

impl Record {
    /// The account of a farmer that keeps so many contracts and bytes.
    pub fn account(&self, contracts: u64, bytes: u64) -> Account {
        let ppm = |share: f64| (share.clamp(0.0, 1.0) * 1e6).round() as u32;
        let told = |line: Explanation| ScoreTold {
            kind: line.kind,
            value_ppm: line.value.map(ppm),
            limit_ppm: line.limit.map(ppm),
            restored_by: line.restored_by,
            fall: line.fall,
        };
        Account {
            first_seen: self.first_seen,
            online_since: self.online_since,
            last_due: self.last_due,
            passed: self.passed,
            contracts,
            bytes,
            held: self.held.len() as u64,
            standing: self.scores.standing(),
            scores: self.scores.explain().map(told),
        }
    }
}

/// Whether an observation costs a farmer something.
pub fn speaks_against(observation: Observation) -> bool {
    match observation {
        Observation::Failed | Observation::Missed | Observation::NotServed | Observation::ReportedLoss => {
            true
        }
        Observation::Passed | Observation::Answered | Observation::Served => false,
    }
}

/// As a contract of an owner counts in public.
fn in_public(observation: Observation, origin: Origin) -> Observation {
    match (observation, origin) {
        (Observation::Passed, Origin::Owner) => Observation::Answered,
        (observation, _) => observation,
    }
}

/// Moves a farmer's record on by one event, and says what its scores lead to.
pub fn apply(mut record: Record, event: Event, now: Timestamp) -> (Record, Vec<score::Action>) {
    let mut actions = Vec::new();
    match event {
        Event::Due => record.last_due = Some(now),
        Event::Heard => record.online_since = record.online_since.or(Some(now)),
        Event::Unheard => record.online_since = None,
        Event::Observed { contract, epoch, observation, origin, braked } => {
            if observation == Observation::Passed {
                record.passed = record.passed.saturating_add(1);
                record.held.retain(|held| (held.contract, held.epoch) != (contract, epoch));
            }
            let observation = in_public(observation, origin);
            if braked && speaks_against(observation) {
                record.held.push(Held { contract, epoch, observation });
                if record.held.len() > MAX_HELD {
                    let oldest = record.held.remove(0);
                    observe(&mut record, oldest.observation, now, &mut actions);
                }
            } else {
                observe(&mut record, observation, now, &mut actions);
            }
        }
        Event::Confirmed | Event::Released => {
            for held in std::mem::take(&mut record.held) {
                observe(&mut record, held.observation, now, &mut actions);
            }
        }
        Event::Tick => {
            let (scores, action) = score::judge(record.scores, now);
            record.scores = scores;
            actions.extend(action);
        }
    }
    (record, actions)
}

fn observe(record: &mut Record, observation: Observation, now: Timestamp, actions: &mut Vec<score::Action>) {
    let (scores, action) = score::observe(record.scores, observation, now);
    record.scores = scores;
    actions.extend(action);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);

    fn seen(observation: Observation, origin: Origin, epoch: u64, braked: bool) -> Event {
        let contract = ContractId([1; 32]);
        Event::Observed { contract, epoch: Epoch(epoch), observation, origin, braked }
    }

    fn play(events: impl IntoIterator<Item = Event>) -> Record {
        let mut now = START;
        events.into_iter().fold(Record::new(START), |record, event| {
            now = now.plus_seconds(86_400);
            apply(record, event, now).0
        })
    }

    #[test]
    fn passes_of_an_owners_data_say_nothing_about_what_a_farmer_has() {
        let record = play((0..50).map(|epoch| seen(Observation::Passed, Origin::Owner, epoch, false)));
        assert_eq!(record.scores().score(Kind::Audits).value(), None);
        assert_eq!(record.scores().score(Kind::Availability).value(), Some(1.0));
        assert_eq!(record.passed, 50);
        let record = play([seen(Observation::Passed, Origin::Vetting, 0, false)]);
        assert_eq!(record.scores().score(Kind::Audits).value(), Some(1.0));
    }

    #[test]
    fn a_wrong_proof_counts_whosever_data_it_is_about() {
        let record = play([seen(Observation::Failed, Origin::Owner, 0, false)]);
        assert_eq!(record.scores().score(Kind::Audits).value(), Some(0.0));
        assert!(matches!(record.scores().standing(), Standing::Suspended { .. }));
    }

    #[test]
    fn what_the_brake_holds_acts_once_when_it_lets_go_or_is_dropped_by_a_right_proof() {
        let held = play((0..3).map(|epoch| seen(Observation::Failed, Origin::Owner, epoch, true)));
        assert_eq!((held.held(), held.scores().standing()), (3, Standing::Good));
        let (dropped, _) = apply(held.clone(), seen(Observation::Passed, Origin::Owner, 1, false), START);
        assert_eq!(dropped.held(), 2);
        let (released, actions) = apply(held, Event::Released, START);
        assert_eq!(released.held(), 0);
        assert!(matches!(actions[..], [score::Action::Warn(Kind::Audits)]), "{actions:?}");
        assert_eq!(apply(released.clone(), Event::Released, START).0, released);
    }

    #[test]
    fn what_is_held_is_bounded_and_nothing_of_it_is_lost() {
        let many = MAX_HELD as u64 + 10;
        let record = play((0..many).map(|epoch| seen(Observation::Missed, Origin::Owner, epoch, true)));
        assert_eq!(record.held(), MAX_HELD);
        assert_eq!(record.scores().score(Kind::Availability).value(), Some(0.0));
    }

    #[test]
    fn uptime_begins_anew_after_silence() {
        let record = play([Event::Heard, Event::Heard]);
        assert_eq!(record.online_since, Some(START.plus_seconds(86_400)));
        assert_eq!(play([Event::Heard, Event::Unheard]).online_since, None);
    }
}
