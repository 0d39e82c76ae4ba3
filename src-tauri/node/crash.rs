//! Named points at which tests let the process die. Nothing of this is in a build that people get: there a point is no
//! instruction at all.
//!
//! Every point must be hit: the owner's crash scene dies at each in turn and plays on, the auditor's at its own, its ordeals at
//! those of its brake, and those about money are died at by whom they concern; a point that its scene does not come by makes it fail. What a store does on
//! its own has its points there.

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
pub(crate) mod scene;

#[cfg(test)]
pub(crate) use dying::{AT, reached};

/// The auditor's; all others are those of owners and farmers.
#[cfg(test)]
pub(crate) const OF_THE_AUDITOR: &[Point] = &[
    Point::PlantingAgreed,
    Point::PlantingSent,
    Point::PlantingSigned,
    Point::PlantingFollowed,
    Point::CommitmentHeard,
    Point::AnswerHeard,
    Point::ReadBegun,
    Point::ReadDone,
    Point::PlantingTakenBack,
    Point::LastRevisionFollowed,
    Point::OutcomeEntered,
    Point::RoundEnded,
];

/// Points that an auditor comes by only while its brake holds.
#[cfg(test)]
pub(crate) const OF_THE_BRAKE: &[Point] = &[Point::SecondHeard, Point::HeldLetGo];

#[cfg(test)]
dying::points! {
    // A get: its part file, and the output it becomes.
    PartOpened,
    PartWritten,
    PartSynced,
    OutputLinked,
    OutputNamed,
    // A get of a folder.
    FolderWritten,
    FolderNamed,
    FileMovedIntoFolder,
    FolderFilled,
    // A put.
    ShardStored,
    RevisionKept,
    RevisionSigned,
    SegmentPlaced,
    SegmentSaved,
    // What lives in a packed segment moves.
    LivingPlaced,
    LivingNamed,
    // A segment is repaired.
    ColumnsRebuilt,
    ColumnsPlaced,
    ColumnsNamed,
    // What farmers are told to remove.
    AttemptReleased,
    RemovalTold,
    // An owner audits by hand.
    OwnAuditAnswered,
    OwnAuditNoted,
    // A file is kept longer.
    ContractsExtended,
    // A job's work is done, and not yet written down.
    JobWorked,
    // An auditor gives a farmer data of its own, asks it, reads, and takes the data back.
    PlantingAgreed,
    PlantingSent,
    PlantingSigned,
    PlantingFollowed,
    CommitmentHeard,
    AnswerHeard,
    ReadBegun,
    ReadDone,
    PlantingTakenBack,
    LastRevisionFollowed,
    OutcomeEntered,
    // While its brake holds, another auditor asked the same; a round of farmers ends, and what was held acts.
    SecondHeard,
    HeldLetGo,
    RoundEnded,
    // An escrow is set up, and the others take note of it.
    FundingKept,
    EscrowRaised,
    FarmerTold,
    FundingNoted,
    EscrowNoted,
    // A further one is raised, and nobody knows yet.
    FurtherRaised,
    // An escrow is settled.
    SettlementSigned,
    SettlementCosigned,
    SettlementHandedIn,
    // An escrow's reserve returns.
    MergeSubmitted,
}

/// Points that only contracts with a price come by.
#[cfg(test)]
pub(crate) const MONEY: &[Point] = &[
    Point::FundingKept,
    Point::EscrowRaised,
    Point::FarmerTold,
    Point::FundingNoted,
    Point::EscrowNoted,
    Point::FurtherRaised,
    Point::SettlementSigned,
    Point::SettlementCosigned,
    Point::SettlementHandedIn,
    Point::MergeSubmitted,
];
