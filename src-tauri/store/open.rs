//! Opening a home's store: database first, then farmer's folder, then what a crash left over.

use std::{path::PathBuf, sync::Arc};

use crate::{DatabaseError, Farmer, FarmerError, Guard, Home, Jobs, Owner, Peers};

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Where shards are kept; none is the home's own `shards` folder.
    pub farm_folder: Option<PathBuf>,
    /// Free space that the disk keeps.
    pub guard: Guard,
}

/// How the database was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// This home had none yet.
    New,
    /// As it was left.
    Sound,
    /// It was missing or broken: the farmer's index was rebuilt from the disk; the owner's tables began anew.
    Rebuilt {
        /// What was wrong, as a sentence.
        reason: String,
        /// Where the broken file was moved; none if it was missing.
        moved_to: Option<PathBuf>,
    },
}

/// What was found and mended while opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// How the database was found.
    pub database: DatabaseState,
    /// Files deleted that no row knew: unfinished uploads and what a crash left over.
    pub orphan_files: u64,
    /// Shards under contract whose file is missing or has the wrong length.
    pub missing_shards: u64,
    /// Shards found again when the index was rebuilt.
    pub found_shards: u64,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The farmer's folder is not the one that this home used.
    #[error("{folder} does not hold this node's shards; connect the disk that does, or set the right folder")]
    WrongFolder {
        /// The folder given.
        folder: PathBuf,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The farmer's folder cannot be used.
    #[error(transparent)]
    Farmer(#[from] FarmerError),
    /// A file could not be read or written.
    #[error("cannot use this home's folder: {0}")]
    Io(#[from] std::io::Error),
}

pub(crate) struct Inner {
    home: Home,
}

/// A home's store. Cheap to clone; the home stays locked until the last clone is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens the home's database and farmer's folder and mends what a crash left over.
    pub async fn open(home: Home, options: StoreOptions) -> Result<(Self, OpenReport), OpenError> { todo!() }
    /// The home.
    pub fn home(&self) -> &Home { &self.inner.home }
    /// The farmer's part.
    pub fn farmer(&self) -> Farmer { Farmer { inner: self.inner.clone() } }
    /// The owner's part.
    pub fn owner(&self) -> Owner { Owner { inner: self.inner.clone() } }
    /// The jobs.
    pub fn jobs(&self) -> Jobs { Jobs { inner: self.inner.clone() } }
    /// Remembered peers and marks.
    pub fn peers(&self) -> Peers { Peers { inner: self.inner.clone() } }
    /// Ends all connections to the database, so that the home may be opened again at once.
    pub async fn close(&self) { todo!() }
}
