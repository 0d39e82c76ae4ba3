//! What people are told without asking: what a start found and mended, shown until the next start; that a file is in danger,
//! and an auditor's opinion of this farmer that fell, once each ([`hayloft_core::warning`]).

use hayloft_core::{alarm::Alarm, score::Kind, warning::Warning};
use hayloft_store::{CatalogState, DatabaseState, OpenReport};

use crate::{
    auditor::shown,
    model::{ApiError, FarmerStanding},
};

/// A sentence for each thing that a person should know.
pub(crate) fn of_start(report: &OpenReport) -> Vec<String> {
    let mut notices = Vec::new();
    if report.database == DatabaseState::Older {
        notices.push(OLDER.into());
    }
    if let DatabaseState::Rebuilt { reason, moved_to } = &report.database {
        let mut said =
            format!("At the last start {reason}. What this computer keeps for others was found again");
        said.push_str(match report.records {
            CatalogState::Rebuilt { .. } => ", and your list of files too.",
            CatalogState::Sound => ". There was no copy of a list of your own files.",
        });
        if let Some(moved_to) = moved_to {
            said.push_str(&format!(" The old database is kept as {}.", moved_to.display()));
        }
        notices.push(said);
    }
    if let CatalogState::Rebuilt { files, damaged } = &report.records {
        let files = match files {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        notices.push(match damaged {
            None => format!("Your list of files was brought back from its copy: {files}."),
            Some(kept) => format!(
                "Your list of files was brought back from its copy, but a part of the copy was damaged: {files} are \
                 listed, newer ones may be missing. The damaged copy is kept as {}.",
                kept.display()
            ),
        });
    }
    match report.missing_shards {
        0 => {}
        1 => notices.push("1 piece that this computer keeps for others is missing from its disk.".into()),
        missing => notices.push(format!(
            "{missing} pieces that this computer keeps for others are missing from its disk: connect the disk that has \
             them, or look after it."
        )),
    }
    notices
}

const OLDER: &str =
    "At the last start the database was an older copy. What this computer keeps for others was found again.";

/// Records of the owner were damaged; so many cannot be had from their copy either.
pub(crate) fn of_records(lost: usize) -> String {
    let said = match lost {
        0 => {
            return "Some of this home's records were damaged: they were brought back from their copy."
                .into();
        }
        1 => "1 record of this home cannot be read, and its copy is of no help".to_owned(),
        lost => format!("{lost} records of this home cannot be read, and their copy is of no help"),
    };
    format!("{said}: put hayloft.db and catalog.log back from a backup if there is one. All others are well.")
}

/// Farmers hold so many pieces that records which came back from their copy do not know.
pub(crate) fn of_strangers(pieces: usize) -> String {
    let (pieces, them) = match pieces {
        1 => ("1 piece".to_owned(), "It is kept until its contract ends"),
        pieces => (format!("{pieces} pieces"), "They are kept until their contracts end"),
    };
    format!(
        "Farmers keep {pieces} that this copy of your records does not know. Is another copy of this home running, or was \
         this one restored from an older copy? Nothing was deleted. {them}."
    )
}

/// The database was deleted while the node runs.
pub(crate) const DATABASE_GONE: &str = "hayloft.db was deleted or moved away while Hayloft runs: end Hayloft and start it \
                                        again. Your files are then listed from their copy, catalog.log.";

/// The owner's part stays locked although nobody needs to unlock it.
pub(crate) fn of_lock(error: &ApiError) -> String {
    format!("Your files stay locked: {}", error.message)
}

/// A file of which so many pieces are gone that the next losses may take it, or too few are there now.
pub(crate) fn of_danger(name: &str, alarm: Alarm, repaired_by_itself: bool) -> String {
    match (alarm, repaired_by_itself) {
        (Alarm::OutOfReach, _) => {
            format!(
                "Too few pieces of “{name}” can be reached now: it can come back when more farmers are online."
            )
        }
        (Alarm::InDanger, true) => format!("“{name}” has lost many of its pieces. It is repaired by itself."),
        (Alarm::InDanger, false) => format!("“{name}” has lost many of its pieces: repair it now."),
    }
}

/// A sentence for a warning, with why and what restores it.
pub(crate) fn of_warning(warning: Warning, standing: &FarmerStanding) -> String {
    let line = |kind| standing.scores.iter().find(|line| line.score == shown::score(kind));
    let because = |kind| line(kind).and_then(|line| line.because.as_deref()).unwrap_or_default();
    let restored = |kind| line(kind).and_then(|line| line.restored_by.as_deref());
    match warning {
        Warning::Fell(kind) => {
            let value = line(kind).and_then(|line| line.value).unwrap_or_default();
            let value = (value * 100.0).floor();
            let way = restored(kind).unwrap_or("It rises again with each one that goes well.");
            format!("This computer's score for {} fell to {value} %. {} {way}", subject(kind), because(kind))
        }
        Warning::Suspended(kind) => {
            let way = restored(kind).unwrap_or_default();
            format!(
                "This computer is given nothing new to keep for now, because its score for {} is too low. {} {way}",
                subject(kind),
                because(kind)
            )
        }
        Warning::Disqualified => format!(
            "What this computer keeps counts as lost for the owners with this auditor: its score for {} stayed too low for \
             more than a day after the warning. Look after its disk before you share space again.",
            subject(Kind::Audits)
        ),
    }
}

/// What a score is about, to the farmer.
fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::Audits => "keeping data",
        Kind::Availability => "being reachable",
        Kind::Service => "giving data back",
    }
}

#[cfg(test)]
mod tests {
    use hayloft_core::{
        ContractId, DeviceId, Timestamp,
        audit::Epoch,
        auditor::record::{Event, Origin, Record, apply},
        score::Observation,
        warning::Memory,
    };

    use super::*;

    #[test]
    fn a_warning_says_which_score_why_and_what_restores_it() {
        let start = Timestamp(1_800_000_000);
        let told = |observation| {
            let (contract, epoch, origin) = (ContractId([1; 32]), Epoch(0), Origin::Vetting);
            let event = Event::Observed { contract, epoch, observation, origin, braked: false };
            let (record, _) = apply(Record::new(start), event, start);
            let (auditor, account) = (DeviceId([2; 32]), record.account(1, 1));
            let warnings = Memory::default().hear(auditor, &account);
            let standing = shown::standing(auditor, &account);
            warnings.into_iter().map(|warning| of_warning(warning, &standing)).collect::<Vec<_>>()
        };
        let [missed] = &told(Observation::Missed)[..] else { panic!("one warning") };
        assert!(missed.contains("being reachable fell to 0 %. The farmer did not answer"), "{missed}");
        assert!(missed.ends_with("audits answered in a row restore it."), "{missed}");
        let [failed] = &told(Observation::Failed)[..] else { panic!("one warning") };
        assert!(
            failed.contains("nothing new to keep for now") && failed.contains("An audit failed"),
            "{failed}"
        );
        assert!(failed.ends_with("audits passed in a row restore it."), "{failed}");
        assert_eq!(told(Observation::Passed), Vec::<String>::new());
    }

    fn report() -> OpenReport {
        OpenReport {
            database: DatabaseState::Sound,
            records: CatalogState::Sound,
            orphan_files: 3,
            missing_shards: 0,
            found_shards: 0,
        }
    }

    #[test]
    fn a_start_that_found_all_as_it_was_left_says_nothing() {
        assert!(of_start(&report()).is_empty());
    }

    #[test]
    fn an_older_copy_of_the_database_is_said() {
        let said = of_start(&OpenReport { database: DatabaseState::Older, ..report() });
        assert!(said.len() == 1 && said[0].contains("older copy"), "{said:?}");
    }

    #[test]
    fn a_lost_database_a_damaged_copy_and_missing_pieces_are_each_said() {
        let moved_to = Some("/home/me/hayloft.db.broken-1".into());
        let database = DatabaseState::Rebuilt { reason: "the database was damaged".into(), moved_to };
        let records =
            CatalogState::Rebuilt { files: 2, damaged: Some("/home/me/catalog.log.broken-1".into()) };
        let said = of_start(&OpenReport { database, records, missing_shards: 5, ..report() });
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            said[0].contains("the database was damaged") && said[0].contains("hayloft.db.broken-1"),
            "{said:?}"
        );
        assert!(
            said[1].contains("2 files are listed") && said[1].contains("catalog.log.broken-1"),
            "{said:?}"
        );
        assert!(said[2].starts_with("5 pieces"), "{said:?}");
    }
}
