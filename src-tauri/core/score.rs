//! How good a farmer is: three scores, the rule each lives by, and the standing that follows.
//!
//! ```text
//! score        = good / (good + bad), both forgetting a share of the past with each new observation
//! audits       proofs that were right, wrong, or not given in time
//! availability answers to audits, in time or not: silence costs this one first
//! service      probes of ranged reads
//! standing     good → suspended  when audits < 0.96 or availability < 0.60, and says so
//!              suspended → good  when both are above their limits by a little again
//!              suspended → disqualified  when audits < 0.60, and a day or more after the farmer was told
//! ```
//! Source of the scores: Jøsang and Ismail, *The Beta Reputation System*, 2002, with forgetting.
//!
//! Invariants: nobody is disqualified who was not told a day before; a score is never shown without evidence; a loss
//! that the farmer reported itself costs a fifth of one that an audit found; low service moves no standing, only
//! the order in which farmers are chosen.
//!
//! Deliberately absent: whose audits count (see [`crate::audit`]: in public, only passes of vetting data), and the
//! brake, which holds observations back before they come here.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

const DAY_SECONDS: u64 = 24 * 3600;
/// How long after a warning nothing worse happens.
pub const NOTICE_SECONDS: u64 = DAY_SECONDS;

/// What happened with a farmer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Observation {
    /// A right proof in time.
    Passed,
    /// An answer that shows that the farmer is there, and nothing about what it has.
    Answered,
    /// A wrong proof, or a challenge that stayed open for too long.
    Failed,
    /// It reported a loss before an audit found it.
    ReportedLoss,
    /// No answer in time; the challenge stays open.
    Missed,
    /// A probe read the bytes it asked for.
    Served,
    /// A probe did not get what it asked for.
    NotServed,
}

/// Which of a farmer's scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Whether it has what it keeps.
    Audits,
    /// Whether it is there.
    Availability,
    /// Whether it gives back what it keeps.
    Service,
}

impl Kind {
    /// Observations that weigh as much as all before them: the longer, the more a score remembers.
    fn memory(self) -> f64 {
        match self {
            Self::Audits => 100.0,
            Self::Availability | Self::Service => 30.0,
        }
    }

    /// Under this score a farmer is suspended; none where the score moves no standing.
    pub fn limit(self) -> Option<f64> {
        match self {
            Self::Audits => Some(0.96),
            Self::Availability => Some(0.60),
            Self::Service => None,
        }
    }
}

/// Under this score of audits a suspended farmer is disqualified.
pub const HOPELESS: f64 = 0.60;
/// Good observations that one failure outweighs.
const FAILURE_WEIGHT: f64 = 5.0;
/// Weight of observations without which no score moves the standing.
const LEAST_EVIDENCE: f64 = 5.0;
/// Weight of observations without which nobody is beyond hope.
const HOPELESS_EVIDENCE: f64 = 20.0;
/// How far above its limit a score must come before a suspension ends, so that it does not flicker.
pub const MARGIN: f64 = 0.01;

/// What lowered a score last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fall {
    /// What happened.
    pub over: Observation,
    /// When it counted.
    pub at: Timestamp,
}

/// Good and bad observations, the older ones faded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    good: f64,
    bad: f64,
    fall: Option<Fall>,
}

impl Score {
    /// Between 0 and 1; `None` without evidence, which is shown as such and never as green.
    pub fn value(self) -> Option<f64> {
        self.value_of(f64::MIN_POSITIVE)
    }

    fn value_of(self, evidence: f64) -> Option<f64> {
        let all = self.good + self.bad;
        (all >= evidence).then(|| self.good / all)
    }

    /// What lowered it last; none if nothing ever did.
    pub fn fall(self) -> Option<Fall> {
        self.fall
    }

    fn observe(self, kind: Kind, good: f64, bad: f64) -> Self {
        let keep = 1.0 - 1.0 / kind.memory();
        Self { good: self.good * keep + good, bad: self.bad * keep + bad, fall: self.fall }
    }

    /// Good observations in a row that lift the score to `value`; `None` if it is there, or can never be.
    fn good_ones_until(mut self, kind: Kind, value: f64) -> Option<u32> {
        const MOST: u32 = 10_000;
        let reached = |score: Self| score.value().is_some_and(|found| found >= value);
        (!reached(self)).then_some(())?;
        (1..=MOST).find(|_| {
            self = self.observe(kind, 1.0, 0.0);
            reached(self)
        })
    }
}

/// Where a farmer stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It is given data.
    #[default]
    Good,
    /// It keeps and serves what it has, and is given nothing new.
    Suspended {
        /// The score that fell.
        over: Kind,
        /// Since when.
        since: Timestamp,
    },
    /// Its shards count as lost.
    Disqualified {
        /// Since when.
        since: Timestamp,
    },
}

/// All that is known of a farmer's worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    audits: Score,
    availability: Score,
    service: Score,
    standing: Standing,
}

/// What a person is told about one score: the live rule, its value, why it fell, and what restores it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which score.
    pub kind: Kind,
    /// Its value; none without evidence.
    pub value: Option<f64>,
    /// Under this it costs the good standing; none if it never does.
    pub limit: Option<f64>,
    /// Good observations in a row that bring it back to the limit; none if it is not under it, or nothing can any more.
    pub restored_by: Option<u32>,
    /// What lowered it last.
    pub fall: Option<Fall>,
}

/// What the node must do or say after an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Tell the farmer that it is suspended, over which score, and what restores it.
    Warn(Kind),
    /// Tell the farmer that it is in good standing again.
    Restore,
    /// Tell the farmer that it is disqualified, and count its shards as lost.
    Disqualify,
}

impl Scores {
    /// Where it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// One of its scores.
    pub fn score(&self, kind: Kind) -> Score {
        match kind {
            Kind::Audits => self.audits,
            Kind::Availability => self.availability,
            Kind::Service => self.service,
        }
    }

    /// Why each score is what it is, as data for every front end.
    pub fn explain(&self) -> [Explanation; 3] {
        [Kind::Audits, Kind::Availability, Kind::Service].map(|kind| {
            let (score, limit) = (self.score(kind), kind.limit());
            let suspended = matches!(self.standing, Standing::Suspended { over, .. } if over == kind);
            let wanted = limit.map(|limit| if suspended { limit + MARGIN } else { limit });
            let open = score.value().is_some() && !matches!(self.standing, Standing::Disqualified { .. });
            let restored_by = wanted.filter(|_| open).and_then(|limit| score.good_ones_until(kind, limit));
            Explanation { kind, value: score.value(), limit, restored_by, fall: score.fall }
        })
    }

    fn count(&mut self, kind: Kind, good: f64, bad: f64, fall: Fall) {
        let score = match kind {
            Kind::Audits => &mut self.audits,
            Kind::Availability => &mut self.availability,
            Kind::Service => &mut self.service,
        };
        *score = score.observe(kind, good, bad);
        if bad > 0.0 {
            score.fall = Some(fall);
        }
    }

    fn under(&self, kind: Kind, margin: f64) -> bool {
        let value = self.score(kind).value_of(LEAST_EVIDENCE);
        kind.limit().zip(value).is_some_and(|(limit, value)| value < limit + margin)
    }
}

/// Takes in what happened, and says what follows. A disqualification is final: a farmer starts anew as a newcomer.
pub fn observe(mut scores: Scores, observation: Observation, now: Timestamp) -> (Scores, Option<Action>) {
    let mut count = |kind, good, bad| scores.count(kind, good, bad, Fall { over: observation, at: now });
    match observation {
        Observation::Passed => {
            count(Kind::Audits, 1.0, 0.0);
            count(Kind::Availability, 1.0, 0.0);
        }
        Observation::Answered => count(Kind::Availability, 1.0, 0.0),
        Observation::Failed => count(Kind::Audits, 0.0, FAILURE_WEIGHT),
        Observation::ReportedLoss => count(Kind::Audits, 0.0, 1.0),
        Observation::Missed => count(Kind::Availability, 0.0, 1.0),
        Observation::Served => count(Kind::Service, 1.0, 0.0),
        Observation::NotServed => count(Kind::Service, 0.0, 1.0),
    }
    judge(scores, now)
}

/// What follows from the scores as they are, now: time alone ends a notice.
pub fn judge(mut scores: Scores, now: Timestamp) -> (Scores, Option<Action>) {
    let next = match scores.standing {
        Standing::Good => [Kind::Audits, Kind::Availability]
            .into_iter()
            .find(|kind| scores.under(*kind, 0.0))
            .map(|over| (Standing::Suspended { over, since: now }, Action::Warn(over))),
        Standing::Suspended { over, since } => suspended(&scores, over, since, now),
        Standing::Disqualified { .. } => None,
    };
    let action = next.map(|(standing, action)| {
        scores.standing = standing;
        action
    });
    (scores, action)
}

fn suspended(scores: &Scores, over: Kind, since: Timestamp, now: Timestamp) -> Option<(Standing, Action)> {
    let told = now.seconds_since(since);
    let hopeless = scores.audits.value_of(HOPELESS_EVIDENCE).is_some_and(|value| value < HOPELESS);
    if over == Kind::Audits && hopeless && told >= NOTICE_SECONDS {
        return Some((Standing::Disqualified { since: now }, Action::Disqualify));
    }
    let others = [Kind::Audits, Kind::Availability].into_iter().find(|kind| scores.under(*kind, MARGIN));
    match others {
        None => Some((Standing::Good, Action::Restore)),
        // The more serious of the two is what the farmer is told of, once, and from then on the notice runs.
        Some(Kind::Audits) if over != Kind::Audits && scores.under(Kind::Audits, 0.0) => {
            Some((Standing::Suspended { over: Kind::Audits, since: now }, Action::Warn(Kind::Audits)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp(1_800_000_000);

    /// One observation a day, and what was said when.
    fn days(observations: impl IntoIterator<Item = Observation>) -> (Scores, Vec<(u64, Action)>) {
        let mut scores = Scores::default();
        let mut said = Vec::new();
        for (day, observation) in (0..).zip(observations) {
            let (next, action) = observe(scores, observation, START.plus_seconds(day * DAY_SECONDS));
            scores = next;
            said.extend(action.map(|action| (day, action)));
        }
        (scores, said)
    }

    fn repeat(observation: Observation, times: usize) -> Vec<Observation> {
        vec![observation; times]
    }

    #[test]
    fn without_evidence_there_is_no_score() {
        assert!(Scores::default().explain().iter().all(|explanation| explanation.value.is_none()));
        assert!(Scores::default().explain().iter().all(|explanation| explanation.restored_by.is_none()));
    }

    #[test]
    fn a_farmer_that_always_passes_is_never_spoken_to() {
        let (scores, said) = days(repeat(Observation::Passed, 400));
        assert_eq!((scores.standing(), said), (Standing::Good, vec![]));
    }

    #[test]
    fn one_failed_audit_after_a_good_year_warns_or_less_and_passes_restore() {
        let mut history = repeat(Observation::Passed, 365);
        history.push(Observation::Failed);
        let (scores, said) = days(history.clone());
        assert_eq!(said, [(365, Action::Warn(Kind::Audits))]);
        let until = scores.explain()[0].restored_by.expect("it can be restored");
        history.extend(repeat(Observation::Passed, until as usize));
        let (scores, said) = days(history);
        assert_eq!(said.last(), Some(&(365 + u64::from(until), Action::Restore)));
        assert_eq!(scores.standing(), Standing::Good);
    }

    #[test]
    fn a_newcomer_that_misses_its_first_audit_is_not_suspended_for_it() {
        assert_eq!(days([Observation::Missed]).1, []);
        let history: Vec<_> =
            [Observation::Failed].into_iter().chain(repeat(Observation::Passed, 10)).collect();
        assert_eq!(days(history).1, [(0, Action::Warn(Kind::Audits))]);
    }

    #[test]
    fn a_farmer_that_lost_everything_is_warned_first_and_disqualified_within_days() {
        let mut history = repeat(Observation::Passed, 60);
        history.extend(repeat(Observation::Failed, 30));
        let (scores, said) = days(history);
        assert_eq!(said[0], (60, Action::Warn(Kind::Audits)));
        let (day, action) = said[1];
        assert_eq!(action, Action::Disqualify);
        assert!((61..75).contains(&day), "on day {day}");
        assert!(matches!(scores.standing(), Standing::Disqualified { .. }));
    }

    #[test]
    fn a_reported_loss_costs_less_than_a_failed_audit() {
        let after = |last| {
            let mut history = repeat(Observation::Passed, 100);
            history.push(last);
            days(history).0.score(Kind::Audits).value().expect("evidence")
        };
        let (reported, failed) = (after(Observation::ReportedLoss), after(Observation::Failed));
        assert!(reported > failed);
        assert!(reported > 0.96 && failed < 0.96, "{reported} {failed}");
    }

    #[test]
    fn each_score_tells_what_lowered_it_last_and_when() {
        let (scores, _) =
            days([Observation::Passed, Observation::Failed, Observation::Missed, Observation::Passed]);
        let fall = |over, day| Some(Fall { over, at: START.plus_seconds(day * DAY_SECONDS) });
        let falls = scores.explain().map(|line| line.fall);
        assert_eq!(falls, [fall(Observation::Failed, 1), fall(Observation::Missed, 2), None]);
    }

    #[test]
    fn silence_suspends_over_availability_and_never_disqualifies_by_itself() {
        let mut history = repeat(Observation::Passed, 100);
        history.extend(repeat(Observation::Missed, 300));
        let (scores, said) = days(history);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].1, Action::Warn(Kind::Availability));
        assert!(matches!(scores.standing(), Standing::Suspended { over: Kind::Availability, .. }));
    }

    #[test]
    fn bad_service_moves_no_standing() {
        let (scores, said) = days(repeat(Observation::NotServed, 100));
        assert_eq!((scores.standing(), said), (Standing::Good, vec![]));
        assert_eq!(scores.score(Kind::Service).value(), Some(0.0));
    }

    fn observations() -> impl Strategy<Value = Vec<(Observation, u64)>> {
        let one = prop_oneof![
            8 => Just(Observation::Passed),
            2 => Just(Observation::Failed),
            1 => Just(Observation::ReportedLoss),
            2 => Just(Observation::Missed),
            1 => Just(Observation::Served),
            1 => Just(Observation::NotServed),
        ];
        prop::collection::vec((one, 0u64..2 * DAY_SECONDS), 0..300)
    }

    proptest! {
        #[test]
        fn nobody_is_disqualified_unwarned(observations in observations()) {
            let (mut scores, mut now, mut warned) = (Scores::default(), START, None);
            for (observation, pause) in observations {
                now = now.plus_seconds(pause);
                let before = scores;
                let (after, action) = observe(scores, observation, now);
                scores = after;
                match action {
                    Some(Action::Warn(Kind::Audits)) => warned = Some(now),
                    Some(Action::Disqualify) => {
                        let warned: Option<Timestamp> = warned;
                        prop_assert!(warned.is_some_and(|at| now.seconds_since(at) >= NOTICE_SECONDS));
                    }
                    Some(Action::Warn(_) | Action::Restore) => {}
                    None => prop_assert_eq!(before.standing(), after.standing()),
                }
                for explanation in scores.explain() {
                    prop_assert!(explanation.value.is_none_or(|value| (0.0..=1.0).contains(&value)));
                    let low = explanation.value.zip(explanation.limit).is_some_and(|(value, limit)| value < limit);
                    let over = matches!(scores.standing(), Standing::Disqualified { .. });
                    prop_assert!(!low || over || explanation.restored_by.is_some(), "{:?}", explanation);
                    prop_assert!(!over || explanation.restored_by.is_none(), "nothing undoes it");
                }
            }
        }
    }
}
