//! From what went wrong to what a stranger is told: a code of the closed set and a sentence without inner details.

use hayloft_core::{
    contract::{RevisionError, TermsError},
    record::RecordError,
};
use hayloft_net::messages::{Refusal, RefusalCode};
use hayloft_store::FarmerError;

use super::offer::NotAccepting;

/// A refusal of that code.
pub(crate) fn refuse(code: RefusalCode, sentence: impl Into<String>) -> Refusal {
    Refusal { code, sentence: sentence.into() }
}

/// The certificate is missing or not good here.
pub(crate) fn not_allowed(error: Option<RecordError>) -> Refusal {
    let sentence = match error {
        Some(error) => format!("Your device certificate does not count here: {error}."),
        None => "This needs a device certificate from an owner.".into(),
    };
    refuse(RefusalCode::NotAllowed, sentence)
}

/// No such contract under this owner.
pub(crate) fn unknown_contract() -> Refusal {
    refuse(RefusalCode::UnknownContract, "There is no such contract between you and this farmer.")
}

pub(crate) fn not_accepting(reason: &NotAccepting) -> Refusal {
    refuse(RefusalCode::NotAccepting, reason.to_string())
}

pub(crate) fn terms(error: &TermsError) -> Refusal {
    let code = match error {
        TermsError::BadOwnerSignature | TermsError::BadFarmerSignature => RefusalCode::NotAllowed,
        _ => RefusalCode::TermsNotOffered,
    };
    refuse(code, format!("These terms are not signed here: {error}."))
}

pub(crate) fn revision(error: &RevisionError) -> Refusal {
    let code = match error {
        RevisionError::WrongNumber { .. } | RevisionError::WrongPredecessor => RefusalCode::StaleRevision,
        RevisionError::BadOwnerSignature => RefusalCode::NotAllowed,
        // Not "unknown": what came before the end is still kept, and an owner forgets a contract that is unknown.
        RevisionError::Ended => RefusalCode::NotAccepting,
        RevisionError::Over => RefusalCode::UnknownContract,
        _ => RefusalCode::WrongRevision,
    };
    refuse(code, format!("This revision is not signed here: {error}."))
}

/// What the store said. Failures of this farmer's own disk are logged here and stay between us.
pub(crate) fn store(error: FarmerError) -> Refusal {
    let code = match &error {
        FarmerError::UnknownContract => return unknown_contract(),
        FarmerError::UnknownShard => RefusalCode::UnknownShard,
        FarmerError::ShardLost => RefusalCode::ShardLost,
        FarmerError::QuotaFull { .. }
        | FarmerError::DiskFull { .. }
        | FarmerError::NoRoom
        | FarmerError::OwnerCap
        | FarmerError::SubnetCap => RefusalCode::NoSpace,
        FarmerError::NotReserved { .. } => RefusalCode::NotReserved,
        FarmerError::ShardBusy => RefusalCode::Busy,
        FarmerError::ShardTaken
        | FarmerError::TooLong { .. }
        | FarmerError::TooShort { .. }
        | FarmerError::OutOfRange => RefusalCode::BadRequest,
        FarmerError::NotNext { .. } => RefusalCode::StaleRevision,
        FarmerError::NotArrived(_) | FarmerError::NotKept(_) => RefusalCode::WrongRevision,
        FarmerError::OtherTags(_) => RefusalCode::BadTags,
        FarmerError::TooManyKeys => RefusalCode::BadKey,
        FarmerError::FolderInUse
        | FarmerError::FolderTaken
        | FarmerError::Io(_)
        | FarmerError::Database(_) => {
            tracing::error!(%error, "the farmer's store failed");
            return refuse(RefusalCode::Internal, "This farmer's own disk failed.");
        }
    };
    refuse(code, format!("Refused: {error}."))
}
