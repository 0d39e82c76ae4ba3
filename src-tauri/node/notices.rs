//! What people are told once: what a start found and mended, shown until the next start; that a file is in danger.

use hayloft_store::{CatalogState, DatabaseState, OpenReport};

use crate::model::HealthWord;

/// A sentence for each thing that a person should know.
pub(crate) fn of_start(report: &OpenReport) -> Vec<String> {
    let mut notices = Vec::new();
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

/// A file of which so many pieces are gone that the next losses may take it, or too few are there now.
pub(crate) fn of_danger(name: &str, health: HealthWord, repaired_by_itself: bool) -> String {
    match (health, repaired_by_itself) {
        (HealthWord::Lost, _) => {
            format!(
                "Too few pieces of “{name}” can be reached now: it can come back when more farmers are online."
            )
        }
        (_, true) => format!("“{name}” has lost many of its pieces. It is repaired by itself."),
        (_, false) => format!("“{name}” has lost many of its pieces: repair it now."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
