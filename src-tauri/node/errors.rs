//! Building the errors that front ends see.

use hayloft_net::StartError;
use hayloft_store::{
    DatabaseError, FarmerError, HomeError, OpenError, config::ConfigError, identity::IdentityError,
};

use crate::model::{ApiError, ErrorCode};

impl ApiError {
    /// An error of that code with a sentence for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request itself is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// The local disk or database failed.
    pub fn disk(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Disk, message)
    }

    /// Something of Hayloft's own went wrong.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

/// Bytes for people, in powers of ten as disks are sold.
pub(crate) fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().si().to_string()
}

/// A sentence from an error's words: first letter upper-case, a full stop at the end.
pub(crate) fn sentence(error: &impl std::fmt::Display) -> String {
    let words = error.to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if words.ends_with(['.', '!', '?', ')']) { "" } else { "." };
    first + letters.as_str() + stop
}

/// The farmer's store.
pub(crate) fn farm(error: FarmerError) -> ApiError {
    match error {
        FarmerError::FolderInUse | FarmerError::FolderTaken => ApiError::bad_request(sentence(&error)),
        error => ApiError::disk(sentence(&error)),
    }
}

/// The home folder.
pub(crate) fn home(error: HomeError) -> ApiError {
    ApiError::disk(sentence(&error))
}

/// The settings file.
pub(crate) fn config(error: ConfigError) -> ApiError {
    ApiError::disk(sentence(&error))
}

/// Opening the store.
pub(crate) fn open(error: OpenError) -> ApiError {
    ApiError::disk(sentence(&error))
}

/// The database.
pub(crate) fn database(error: DatabaseError) -> ApiError {
    ApiError::disk(sentence(&error))
}

/// The network at its start.
pub(crate) fn start(error: StartError) -> ApiError {
    match error {
        StartError::BadAddress(_) | StartError::Listen { .. } => ApiError::bad_request(sentence(&error)),
        StartError::BadDeviceKey => ApiError::disk(sentence(&error)),
        StartError::Transport { .. } => ApiError::internal(sentence(&error)),
    }
}

/// The sealed seed.
pub(crate) fn identity(error: IdentityError) -> ApiError {
    let code = match &error {
        IdentityError::Missing => ErrorCode::NoIdentity,
        IdentityError::Exists => ErrorCode::Exists,
        IdentityError::WrongPassphrase => ErrorCode::Locked,
        IdentityError::Keychain { .. } => ErrorCode::BadRequest,
        IdentityError::FromTheFuture { .. } | IdentityError::Damaged { .. } | IdentityError::Io { .. } => {
            ErrorCode::Disk
        }
    };
    ApiError::new(code, sentence(&error))
}
