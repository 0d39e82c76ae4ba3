//! Why an owner's wish cannot be met, in sentences that say what to do.

use std::{io, path::PathBuf};

use hayloft_core::{
    content::{CodingError, PackError},
    manifest::RecordError,
};
use hayloft_store::{DatabaseError, disk::plain};

use super::{contracts::ContractError, nobody::Nobody};
use crate::{
    errors::sentence,
    model::{ApiError, ErrorCode},
};

/// Why a put, get, removal, renewal or health check fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerError {
    /// A put without paths.
    #[error("Name at least one file or folder to store.")]
    NothingNamed,
    /// A name was given along with several paths.
    #[error("A name can be given to one file or folder only: store them one by one, or leave the name out.")]
    OneNameForSeveral,
    /// The path leads nowhere.
    #[error("There is no file or folder at {}.", .0.display())]
    NoSuchPath(PathBuf),
    /// A file or folder that this program may not read, or a disk that fails.
    #[error("{} cannot be read: {}.", path.display(), plain(cause))]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A device, pipe or socket.
    #[error("{} is neither a file nor a folder.", .0.display())]
    NotAFile(PathBuf),
    /// A folder in which nothing can be stored.
    #[error("There is no file to store in {}.", .0.display())]
    EmptyFolder(PathBuf),
    /// `/` has no name.
    #[error("{} has no name of its own: give one.", .0.display())]
    NoOwnName(PathBuf),
    /// A file's name on this disk is not Unicode.
    #[error("The name of {} is not Unicode: give another one.", .0.display())]
    NotUnicode(PathBuf),
    /// Two sources would get one name.
    #[error("Two of the files would be called “{0}”: store them one by one under names of their own.")]
    SameNameTwice(String),
    /// The empty name.
    #[error("A name has at least one character.")]
    NoName,
    /// A name beyond the limit.
    #[error("A name has at most 1,024 bytes; this one has {bytes}.")]
    LongName {
        /// Its length.
        bytes: usize,
    },
    /// A line break or another control character.
    #[error("A name has no line breaks or other control characters.")]
    ControlInName,
    /// A name that leads out of a folder, or nowhere.
    #[error("A name begins and ends with no slash, and has no empty part, `.` or `..` between slashes.")]
    PathInName,
    /// A time to keep files that is zero or absurd.
    #[error("Files are kept for at least one day and at most five years.")]
    WrongKeep,
    /// Another file has the name.
    #[error("Another file is stored as “{0}”: replace it (`--replace`), or choose another name.")]
    NameTaken(String),
    /// A job that is not over stores something under the name.
    #[error("Transfer {job} stores “{name}” already: wait for it, or end it (`hayloft jobs cancel {job}`).")]
    UnderWay {
        /// Its number.
        job: u32,
        /// What both would be called.
        name: String,
    },
    /// No file has the name.
    #[error("No file is stored as “{0}”.")]
    NoSuchFile(String),
    /// No job has the number.
    #[error("There is no transfer {0}: `hayloft jobs` lists them.")]
    NoSuchJob(u32),
    /// The job is over.
    #[error("Transfer {0} is over: there is nothing left to change.")]
    JobIsOver(u32),
    /// Something is where the file should be written.
    #[error("There is already something at {}: overwrite it (`--force`), or choose another place.", .0.display())]
    OutputTaken(PathBuf),
    /// The output is not a place for a file.
    #[error("{} is not a place for a file: name a file in a folder that exists.", .0.display())]
    WrongOutput(PathBuf),
    /// The range lies outside the file.
    #[error("The file has {bytes} bytes: the part asked for lies beyond them.")]
    WrongRange {
        /// The file's size.
        bytes: u64,
    },
    /// A range of a folder.
    #[error("A part can be had of a file only, not of a folder.")]
    RangeOfFolder,
    /// A stored name that would lead out of the folder it is brought back to.
    #[error("“{0}” cannot be brought back with its folder: bring it back by itself.")]
    UnsafeName(String),
    /// Writing the output fails.
    #[error("{} cannot be written: {}.", path.display(), plain(cause))]
    Output {
        /// Where to.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file was written to while it was read.
    #[error("{} changed while it was being read and was not stored: try again when nothing writes to it.", .0.display())]
    Changed(PathBuf),
    /// A file of which a part is stored is not there any more.
    #[error("“{0}” vanished before all of it was stored: it is not stored.")]
    Vanished(String),
    /// More than one file of a put is not stored.
    #[error("{}", several(first, *more))]
    Several {
        /// Why the first ones are not.
        first: Vec<OwnerError>,
        /// How many more there are.
        more: usize,
    },
    /// No farmer takes new data.
    #[error("{0}")]
    NoFarmers(Nobody),
    /// No farmer can be reached at all.
    #[error("Nobody can be reached: check whether this computer is connected, and try again.")]
    Offline,
    /// Farmers are there, but too few take the shards.
    #[error("Only {found} of the {needed} farmers needed take new data now: try again later.")]
    TooFewFarmers {
        /// That take a shard.
        found: usize,
        /// That a segment needs.
        needed: usize,
    },
    /// Too few farmers answer to bring a segment back.
    #[error("{}", too_few(*found, *wrong, *needed, *all))]
    TooFewAnswer {
        /// That sent a good shard.
        found: usize,
        /// That answered without it.
        wrong: usize,
        /// That a segment needs.
        needed: usize,
        /// That were given a shard of it.
        all: usize,
    },
    /// Farmers are missing, and some are there whose clocks and this computer's differ.
    #[error("{}", clocks(*farmers, cause))]
    Clocks {
        /// Farmers whose clocks differ.
        farmers: usize,
        /// What it came to.
        cause: Box<OwnerError>,
    },
    /// A part of a file that was put aside in this home cannot be read again.
    #[error("A part of the file was put aside on this computer and cannot be read again: {}.", plain(.0))]
    Aside(io::Error),
    /// What came back is not what was stored.
    #[error("“{0}” came back damaged and was not written.")]
    Damaged(String),
    /// A sealed record of this home cannot be opened.
    #[error("What this home knows of its files cannot be read: {0}.")]
    Record(#[from] RecordError),
    /// A file's record names a segment that is not recorded.
    #[error("This home has lost where a part of this file lies.")]
    MissingSegment,
    /// What a job is about cannot be read.
    #[error("What this transfer is about cannot be read any more: cancel it and begin anew.")]
    JobRecord,
    /// A segment cannot be coded or decoded as its record says.
    #[error("A part of the file cannot be coded: {0}.")]
    Coding(#[from] CodingError),
    /// Items cannot be packed into a segment.
    #[error("Files cannot be packed together: {0}.")]
    Packing(#[from] PackError),
    /// A contract cannot be had or changed.
    #[error("{}", sentence(.0))]
    Contract(#[from] ContractError),
    /// The owner's tables refuse, or the disk under them fails.
    #[error("{}", sentence(.0))]
    Store(#[from] hayloft_store::owner::OwnerError),
    /// The database itself fails.
    #[error("{}", sentence(.0))]
    Database(#[from] DatabaseError),
    /// The work came upon a state that its program takes for impossible.
    #[error(
        "A mistake in Hayloft itself ended this. Nothing that was stored is lost. Please report it, with the log."
    )]
    Defect,
    /// A task of the node ended before its time.
    #[error("The node stopped before this was done: start it again, and try again.")]
    Stopped,
}

impl OwnerError {
    /// Whether more farmers could mend it.
    pub(crate) fn is_for_want_of_farmers(&self) -> bool {
        matches!(self, Self::NoFarmers(_) | Self::TooFewFarmers { .. } | Self::Offline)
    }

    /// Whether more farmers, or more answers, could mend it.
    pub(crate) fn is_for_want_of_answers(&self) -> bool {
        self.is_for_want_of_farmers() || matches!(self, Self::TooFewAnswer { .. })
    }

    /// Whether the disk of the node's own records has no room for it.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        use hayloft_store::owner::OwnerError as Store;
        matches!(
            self,
            Self::Database(DatabaseError::DiskFull) | Self::Store(Store::Database(DatabaseError::DiskFull))
        )
    }

    /// Whether what it was about is not there any more.
    pub(crate) fn is_of_a_segment_gone(&self) -> bool {
        use hayloft_store::owner::OwnerError as Store;
        matches!(self, Self::MissingSegment | Self::Store(Store::UnknownSegment | Store::GivenUp(_)))
    }

    /// Whether the same may succeed later, so that what was done so far is worth keeping.
    pub(crate) fn may_pass(&self) -> bool {
        if let Self::Several { first, .. } = self {
            return first.iter().any(Self::may_pass);
        }
        if let Self::Clocks { cause, .. } = self {
            return cause.may_pass();
        }
        self.is_for_want_of_farmers()
            || matches!(
                self,
                Self::TooFewAnswer { .. }
                    | Self::Unreadable { .. }
                    | Self::Changed(_)
                    | Self::Output { .. }
                    | Self::Aside(_)
                    | Self::Store(_)
                    | Self::Database(_)
                    | Self::Stopped
            )
    }

    /// Its kind, for programs.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Several { first, .. } => first.first().map_or(ErrorCode::Internal, Self::code),
            Self::Clocks { cause, .. } => cause.code(),
            Self::NothingNamed
            | Self::OneNameForSeveral
            | Self::NotAFile(_)
            | Self::EmptyFolder(_)
            | Self::NoOwnName(_)
            | Self::NotUnicode(_)
            | Self::SameNameTwice(_)
            | Self::NoName
            | Self::LongName { .. }
            | Self::ControlInName
            | Self::PathInName
            | Self::WrongKeep
            | Self::WrongOutput(_)
            | Self::WrongRange { .. }
            | Self::RangeOfFolder
            | Self::UnsafeName(_)
            | Self::JobIsOver(_) => ErrorCode::BadRequest,
            Self::NoSuchPath(_) | Self::Vanished(_) | Self::NoSuchFile(_) | Self::NoSuchJob(_) => {
                ErrorCode::NotFound
            }
            Self::NameTaken(_) | Self::UnderWay { .. } | Self::OutputTaken(_) => ErrorCode::Exists,
            Self::Contract(ContractError::Money(error)) => error.code(),
            Self::Contract(ContractError::Auditor(_)) => ErrorCode::NotEnoughFarmers,
            Self::NoFarmers(_) | Self::TooFewFarmers { .. } | Self::TooFewAnswer { .. } | Self::Offline => {
                ErrorCode::NotEnoughFarmers
            }
            Self::Unreadable { .. }
            | Self::Output { .. }
            | Self::Aside(_)
            | Self::Store(_)
            | Self::Database(_)
            | Self::Changed(_) => ErrorCode::Disk,
            Self::Damaged(_)
            | Self::Record(_)
            | Self::MissingSegment
            | Self::JobRecord
            | Self::Coding(_)
            | Self::Packing(_)
            | Self::Contract(_)
            | Self::Defect
            | Self::Stopped => ErrorCode::Internal,
        }
    }
}

fn too_few(found: usize, wrong: usize, needed: usize, all: usize) -> String {
    let instead = match wrong {
        0 => String::new(),
        1 => " 1 more answered, but without what it was given to keep.".into(),
        wrong => format!(" {wrong} more answered, but without what they were given to keep."),
    };
    let outlook = match wrong + needed > all {
        true => "The file is lost unless there is another copy of it.",
        false => "The file may come back when more are online.",
    };
    format!("Only {found} of the {needed} farmers needed sent their part now.{instead} {outlook}")
}

fn clocks(farmers: usize, cause: &OwnerError) -> String {
    let whose = match farmers {
        1 => "that of 1 farmer".to_owned(),
        farmers => format!("those of {farmers} farmers"),
    };
    let differ = format!(
        "This computer's clock and {whose} differ by more than ten minutes: set this computer's right if it is wrong, and \
         try again."
    );
    match cause {
        OwnerError::NoFarmers(Nobody::IsKnown) => differ,
        cause => format!("{cause} {differ}"),
    }
}

fn several(first: &[OwnerError], more: usize) -> String {
    let all = first.len() + more;
    let mut said = format!("{all} files were not stored.");
    for error in first {
        said.push(' ');
        said.push_str(&error.to_string());
    }
    match more {
        0 => {}
        1 => said.push_str(" And one more."),
        more => said.push_str(&format!(" And {more} more.")),
    }
    said
}

impl From<OwnerError> for ApiError {
    fn from(error: OwnerError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_lost_once_those_that_may_still_answer_are_too_few() {
        let said = |wrong| OwnerError::TooFewAnswer { found: 1, wrong, needed: 4, all: 12 }.to_string();
        for wrong in 0..=8 {
            assert!(said(wrong).ends_with("may come back when more are online."), "{}", said(wrong));
        }
        assert!(said(9).contains("9 more answered, but without"), "{}", said(9));
        assert!(said(9).ends_with("is lost unless there is another copy of it."), "{}", said(9));
    }

    #[test]
    fn all_files_that_failed_are_named_with_a_bound() {
        let first = vec![OwnerError::Vanished("a".into()), OwnerError::Changed("/b".into())];
        let error = OwnerError::Several { first, more: 3 };
        let said = error.to_string();
        assert!(said.starts_with("5 files were not stored. “a” vanished"), "{said}");
        assert!(said.contains("/b changed") && said.ends_with("And 3 more."), "{said}");
        assert_eq!((error.code(), error.may_pass()), (ErrorCode::NotFound, true));
    }
}
