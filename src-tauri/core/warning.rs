//! Of what a farmer's person is told when an auditor thinks less of it: each fall once, the smaller before the greater.
//!
//! ```text
//! fell          a score fell: one warning, then none about that score for a day
//! suspended     it is given nothing new: one warning for each time that happens
//! disqualified  its shards count as lost: one warning
//! ```
//! Invariants: nothing is told twice, also over a restart, since what was told is kept; a disqualification is never the first
//! that is told: where nothing was told before, because the farmer was away, what led to it comes first.
//! Deliberately absent: the words, and what an auditor decides ([`crate::score`]).

use serde::{Deserialize, Serialize};

use crate::{
    DeviceId, Timestamp,
    auditor::record::{Account, ScoreTold},
    score::{Kind, Standing},
};

/// After a warning that a score fell, it may fall on for so long without another one.
const QUIET_SECONDS: u64 = 24 * 3600;
/// Auditors about which is remembered what was told: the last that were heard of.
pub const MAX_AUDITORS: usize = 64;

/// What a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Warning {
    /// A score fell.
    Fell(Kind),
    /// The farmer is given nothing new for now.
    Suspended(Kind),
    /// What it keeps counts as lost.
    Disqualified,
}

/// What was told about one auditor's opinion, and of when that was: a fall, or the beginning of a standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    warning: Warning,
    of: Timestamp,
}

/// All that was told. At most five entries for each auditor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    auditors: Vec<(DeviceId, Vec<Told>)>,
}

impl Memory {
    /// What is to be told now that an auditor gives this account, in that order. It counts as told from then on.
    pub fn hear(&mut self, auditor: DeviceId, account: &Account) -> Vec<Warning> {
        let told = self.of(auditor);
        let mut due: Vec<Told> = account.scores.iter().filter_map(|score| fall_due(told, score)).collect();
        match account.standing {
            Standing::Good => {}
            Standing::Suspended { over, since } => {
                due.retain(|one| one.warning != Warning::Fell(over));
                due.extend(standing_due(told, Warning::Suspended(over), since));
            }
            Standing::Disqualified { since } => {
                let warned = told.iter().any(|old| speaks_of_audits(old.warning));
                due.retain(|one| !warned && speaks_of_audits(one.warning));
                due.extend(standing_due(told, Warning::Disqualified, since));
            }
        }
        // Also what a graver warning spoke for counts as told.
        let falls = account.scores.iter().filter_map(|score| fall_due(told, score));
        for one in falls.collect::<Vec<_>>().iter().chain(&due) {
            told.retain(|old| old.warning != one.warning);
            told.push(*one);
        }
        due.into_iter().map(|one| one.warning).collect()
    }

    /// What was told of an auditor, which is now the last heard of.
    fn of(&mut self, auditor: DeviceId) -> &mut Vec<Told> {
        let known = self.auditors.iter().position(|(known, _)| *known == auditor);
        let entry = known.map_or((auditor, Vec::new()), |at| self.auditors.remove(at));
        if self.auditors.len() >= MAX_AUDITORS {
            self.auditors.remove(0);
        }
        self.auditors.push(entry);
        &mut self.auditors.last_mut().expect("one was just pushed").1
    }
}

fn speaks_of_audits(warning: Warning) -> bool {
    matches!(warning, Warning::Fell(Kind::Audits) | Warning::Suspended(Kind::Audits))
}

fn fall_due(told: &[Told], score: &ScoreTold) -> Option<Told> {
    let (warning, of) = (Warning::Fell(score.kind), score.fall?.at);
    let quiet = told.iter().find(|old| old.warning == warning).map(|old| old.of.plus_seconds(QUIET_SECONDS));
    quiet.is_none_or(|until| of >= until).then_some(Told { warning, of })
}

fn standing_due(told: &[Told], warning: Warning, of: Timestamp) -> Option<Told> {
    let due = Told { warning, of };
    (!told.contains(&due)).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ContractId,
        audit::Epoch,
        auditor::record::{Event, Origin, Record, apply},
        score::Observation,
    };

    const START: Timestamp = Timestamp(1_800_000_000);
    const AUDITOR: DeviceId = DeviceId([7; 32]);

    /// One observation an hour, each followed by a look; what was told at which hour.
    fn hours(observations: impl IntoIterator<Item = Observation>) -> Vec<(u64, Warning)> {
        let (mut record, mut memory, mut said) = (Record::new(START), Memory::default(), Vec::new());
        for (hour, observation) in (0..).zip(observations) {
            let (contract, epoch) = (ContractId([1; 32]), Epoch(hour));
            let event =
                Event::Observed { contract, epoch, observation, origin: Origin::Vetting, braked: false };
            record = apply(record, event, START.plus_seconds(hour * 3600)).0;
            let account = record.account(1, 1);
            said.extend(memory.hear(AUDITOR, &account).into_iter().map(|warning| (hour, warning)));
            assert_eq!(memory.hear(AUDITOR, &account), [], "nothing is told twice");
        }
        said
    }

    #[test]
    fn a_farmer_that_always_passes_hears_nothing() {
        assert_eq!(hours([Observation::Passed; 100]), []);
    }

    #[test]
    fn a_score_that_falls_is_told_once_a_day() {
        let mut history = vec![Observation::Passed; 90];
        history.extend([Observation::NotServed; 30]);
        assert_eq!(hours(history), [(90, Warning::Fell(Kind::Service)), (114, Warning::Fell(Kind::Service))]);
    }

    #[test]
    fn a_suspension_is_told_instead_of_the_fall_that_led_to_it_and_once() {
        let mut history = vec![Observation::Passed; 90];
        history.extend([Observation::Failed, Observation::Passed, Observation::Failed]);
        assert_eq!(hours(history), [(90, Warning::Suspended(Kind::Audits))]);
    }

    #[test]
    fn a_disqualification_comes_after_what_led_to_it_also_for_whom_was_away() {
        let mut history = vec![Observation::Passed; 30];
        history.extend([Observation::Failed; 60]);
        let said: Vec<Warning> = hours(history.clone()).into_iter().map(|(_, warning)| warning).collect();
        assert_eq!(said.first(), Some(&Warning::Suspended(Kind::Audits)));
        assert_eq!(said.last(), Some(&Warning::Disqualified));

        let mut record = Record::new(START);
        for (hour, observation) in (0..).zip(history) {
            let (contract, epoch) = (ContractId([1; 32]), Epoch(hour));
            let event =
                Event::Observed { contract, epoch, observation, origin: Origin::Vetting, braked: false };
            record = apply(record, event, START.plus_seconds(hour * 3600)).0;
        }
        let said = Memory::default().hear(AUDITOR, &record.account(1, 1));
        assert_eq!(said, [Warning::Fell(Kind::Audits), Warning::Disqualified]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::default();
        let account = Record::new(START).account(1, 1);
        for auditor in 0..=u8::MAX {
            memory.hear(DeviceId([auditor; 32]), &account);
        }
        assert_eq!(memory.auditors.len(), MAX_AUDITORS);
        assert_eq!(memory.auditors.last().map(|(auditor, _)| *auditor), Some(DeviceId([255; 32])));
    }
}
