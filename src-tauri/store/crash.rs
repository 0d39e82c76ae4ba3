//! Named points at which tests let the process die. Nothing of this is in a build that people get: there a point is no
//! instruction at all.
//!
//! Every point must be hit: `crash_tests` dies at each in turn, opens the home again and checks what must hold; a point
//! that no scene comes by makes it fail.

/// Lets the process die here if a test wants it.
macro_rules! crash_point {
    ($point:ident) => {
        #[cfg(test)]
        $crate::crash::reached($crate::crash::Point::$point)
    };
}

#[cfg(test)]
#[path = "../../tests/crash/dying.rs"]
mod dying;

#[cfg(test)]
pub(crate) use dying::{AT, reached};

#[cfg(test)]
dying::points! {
    // A farmer's contracts and reservations.
    ContractWritten,
    ContractCommitted,
    ReservationWritten,
    ReservationCommitted,
    ReleaseWritten,
    ReleaseCommitted,
    ReservationsEnded,
    ContractEnded,
    ContractJournalDeleted,
    // A shard on its way in.
    ShardRowCommitted,
    PartCreated,
    PartWritten,
    PartHeaderWritten,
    PartSynced,
    ArrivedWritten,
    PartRenamed,
    ShardFolderSynced,
    ArrivedCommitted,
    // A revision.
    RevisionWritten,
    RevisionCommitted,
    RevisionInJournal,
    ShardFileDeleted,
    // Audit keys and tags.
    KeyFileWritten,
    KeyRowCommitted,
    KeyFileDeleted,
    TagsWritten,
    TagsCommitted,
    // Files that are written whole or not at all, and journals.
    JournalAppended,
    JournalSynced,
    WholeCreated,
    WholeWritten,
    WholeSynced,
    WholeRenamed,
    // The folder moves.
    FolderBegun,
    FolderLeft,
    // What a start mends.
    RebuildWritten,
    RebuildCommitted,
    ReconcileCommitted,
    OrphanDeleted,
    // The owner's books, and the log beside the rows.
    CatalogAppended,
    AnewCommitted,
    AnewInPlace,
    PlacingCommitted,
    GivenUpCommitted,
    SaveWritten,
    SaveCommitted,
    OwnerRevisionWritten,
    OwnerRevisionCommitted,
    FilesRemoved,
    SegmentsRemoved,
    RemovalsCleared,
    JobSegmentsEnded,
    // The auditor's books.
    FollowWritten,
    FollowCommitted,
    FollowRevisionWritten,
    FollowRevisionCommitted,
    AuditWritten,
    AuditCommitted,
    FollowsForgotten,
    PlantingBegun,
    PlantingStands,
    // The jobs' journal.
    JobWritten,
    JobCommitted,
    JobChanged,
}
