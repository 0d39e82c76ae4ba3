//! Of which files their owner is told that they are in danger: each fall once, and again only after the file was safe.
//!
//! Invariant: what was told is kept, so that a restart tells nothing twice; a file that swings between the two dangers is told of
//! each once. Deliberately absent: the words, and when a file is in danger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FileId;

/// How a file stands that is not safe; the greater, the graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Alarm {
    /// The next losses may take it.
    InDanger,
    /// Too little of it can be reached now to bring it back.
    OutOfReach,
}

/// The gravest that was told of each file that has not been safe since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms(BTreeMap<FileId, Alarm>);

impl Alarms {
    /// What is to be told now that these files, and no others, are not safe. The safe ones are forgotten.
    pub fn due(&mut self, unsafe_now: &BTreeMap<FileId, Alarm>) -> BTreeMap<FileId, Alarm> {
        self.0.retain(|file, _| unsafe_now.contains_key(file));
        let new = |(file, alarm): &(&FileId, &Alarm)| self.0.get(file).is_none_or(|told| told < alarm);
        unsafe_now.iter().filter(new).map(|(file, alarm)| (*file, *alarm)).collect()
    }

    /// It was told.
    pub fn told(&mut self, file: FileId, alarm: Alarm) {
        self.0.insert(file, alarm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILM: FileId = FileId([1; 32]);
    const SONG: FileId = FileId([2; 32]);

    /// What is told now that a front end listens.
    fn tell(alarms: &mut Alarms, now: &[(FileId, Alarm)]) -> Vec<(FileId, Alarm)> {
        let due = alarms.due(&now.iter().copied().collect());
        due.iter().for_each(|(file, alarm)| alarms.told(*file, *alarm));
        due.into_iter().collect()
    }

    #[test]
    fn each_fall_of_each_file_is_told_once_until_it_is_safe_again() {
        let mut alarms = Alarms::default();
        let danger = (FILM, Alarm::InDanger);
        assert_eq!(tell(&mut alarms, &[danger]), [danger]);
        assert_eq!(tell(&mut alarms, &[danger]), []);
        let gone = (FILM, Alarm::OutOfReach);
        assert_eq!(tell(&mut alarms, &[gone, (SONG, Alarm::OutOfReach)]), [gone, (SONG, Alarm::OutOfReach)]);
        assert_eq!(tell(&mut alarms, &[danger, (SONG, Alarm::OutOfReach)]), [], "it swings");
        assert_eq!(tell(&mut alarms, &[gone]), []);
        assert_eq!(tell(&mut alarms, &[]), []);
        assert_eq!(tell(&mut alarms, &[danger]), [danger], "it was safe meanwhile");
    }

    #[test]
    fn what_nobody_heard_is_told_later() {
        let mut alarms = Alarms::default();
        let now = BTreeMap::from([(FILM, Alarm::InDanger)]);
        assert_eq!(alarms.due(&now), now);
        assert_eq!(alarms.due(&now), now);
    }
}
