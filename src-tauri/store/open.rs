//! Opening a home's store: database first, then farmer's folder, then what a crash left over.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use hayloft_core::{ContractId, Timestamp};
use tokio::sync::Mutex;

use crate::{
    Auditor, CatalogState, DatabaseError, Farmer, FarmerError, Funds, Guard, Home, Jobs, Outbox, Owner,
    Peers,
    catalog::{self, Change, Log},
    db::Db,
    disk::Disk,
    home::write_whole,
    placing::Waiting,
    reconcile,
    shards::{ActiveSet, Folder, blocking},
};

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Where shards are kept; none is the home's own `shards` folder.
    pub farm_folder: Option<PathBuf>,
    /// Free space that the disk keeps.
    pub guard: Guard,
    pub(crate) disk: Disk,
}

impl StoreOptions {
    /// Shards in this folder, or in the home's own, with this guard.
    pub fn new(farm_folder: Option<PathBuf>, guard: Guard) -> Self {
        Self { farm_folder, guard, ..Self::default() }
    }
}

/// How the database was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// This home had none yet.
    New,
    /// As it was left.
    Sound,
    /// It was missing or broken: the farmer's index was rebuilt from the shards, the owner's records from the catalog log.
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
    /// How the owner's records were found.
    pub records: CatalogState,
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
    #[error("{folder} does not hold this node's pieces; connect the disk that does, or set the right folder")]
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
    #[error("cannot use this home's folder: {}", crate::disk::plain(.0))]
    Io(#[from] std::io::Error),
}

/// Ties a home, its database and its farmer's folder together.
type Marker = [u8; 16];

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) home: Home,
    pub(crate) db: Db,
    pub(crate) marker: Marker,
    pub(crate) folder: RwLock<Folder>,
    pub(crate) guard: Guard,
    pub(crate) disk: Disk,
    /// Locked by whoever holds the one write of the database.
    pub(crate) catalog: Mutex<Log>,
    pub(crate) active: ActiveSet,
    /// Held while rows and files change together.
    pub(crate) gate: Mutex<()>,
    /// Contracts whose journal could not be written.
    pub(crate) stale_journals: Mutex<HashSet<ContractId>>,
    /// Shards about to be sent that wait for the writer.
    pub(crate) placing: Waiting,
}

/// A home's store. Cheap to clone; the home stays locked until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl Store {
    /// Opens the home's database and farmer's folder and mends what a crash left over.
    ///
    /// # Errors
    /// [`OpenError`]; nothing that was stored is lost by it.
    pub async fn open(home: Home, options: StoreOptions) -> Result<(Self, OpenReport), OpenError> {
        let folder = Folder { root: options.farm_folder.unwrap_or_else(|| home.path().join("shards")) };
        let (db, database, marker) = open_database(home.path()).await?;
        let prepared = match write_markers(home.path(), &db, marker).await {
            Ok(()) => prepare_folder(&folder, marker, &db).await,
            Err(error) => Err(error),
        };
        let opened = match prepared {
            Ok(()) => open_catalog(home.path(), &db, marker, options.disk.clone()).await,
            Err(error) => Err(error),
        };
        let (log, records) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                db.close().await;
                return Err(error);
            }
        };
        let inner = Arc::new(Inner {
            home,
            db,
            marker,
            folder: RwLock::new(folder),
            guard: options.guard,
            disk: options.disk,
            catalog: Mutex::new(log),
            active: ActiveSet::default(),
            gate: Mutex::default(),
            stale_journals: Mutex::default(),
            placing: Waiting::default(),
        });
        let store = Self { inner };
        match store.mend(database, records).await {
            Ok(report) => Ok((store, report)),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn mend(&self, database: DatabaseState, records: CatalogState) -> Result<OpenReport, OpenError> {
        let farmer = self.farmer();
        let rebuilding = self.inner.db.home_value(REBUILDING).await?.is_some();
        let found_shards = if rebuilding { reconcile::rebuild(&farmer, now()).await? } else { 0 };
        let mended = reconcile::reconcile(&farmer, now()).await?;
        let (orphan_files, missing_shards) = (mended.orphan_files, mended.missing_shards);
        // A log that cannot be written now is written before the next change.
        if let Err(error) = Change::heal(&self.inner).await {
            tracing::warn!(%error, "the catalog log is not up to date");
        }
        Ok(OpenReport { database, records, orphan_files, missing_shards, found_shards })
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.inner.home
    }

    /// The farmer's part.
    pub fn farmer(&self) -> Farmer {
        Farmer { inner: self.inner.clone() }
    }

    /// The owner's part.
    pub fn owner(&self) -> Owner {
        Owner { inner: self.inner.clone() }
    }

    /// The jobs.
    pub fn jobs(&self) -> Jobs {
        Jobs { inner: self.inner.clone() }
    }

    /// The auditor's part.
    pub fn auditor(&self) -> Auditor {
        Auditor { inner: self.inner.clone() }
    }

    /// Transactions handed in, and escrows.
    pub fn outbox(&self) -> Outbox {
        Outbox { inner: self.inner.clone() }
    }

    /// Which contracts escrows pay for.
    pub fn funds(&self) -> Funds {
        Funds { inner: self.inner.clone() }
    }

    /// Remembered peers and marks.
    pub fn peers(&self) -> Peers {
        Peers { inner: self.inner.clone() }
    }

    /// Ends all connections to the database, so that the home may be opened again at once.
    pub async fn close(&self) {
        self.inner.db.close().await;
    }
}

/// Set while an index waits to be rebuilt, so that a crash meanwhile does not lose it.
pub(crate) const REBUILDING: &str = "rebuilding";
/// The marker in the database.
const MARKER: &str = "marker";

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn marker_path(home: &Path) -> PathBuf {
    home.join("database.id")
}

fn catalog_path(home: &Path) -> PathBuf {
    home.join("catalog.log")
}

/// The home's marker; the catalog log has a copy.
fn read_marker(home: &Path) -> io::Result<Option<Marker>> {
    match fs::read(marker_path(home)) {
        Ok(bytes) if bytes.len() == size_of::<Marker>() => Ok(bytes.try_into().ok()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => catalog::marker(&catalog_path(home)),
    }
}

/// Opens the database; if this home had one that is gone, broken or another's, puts it aside and begins a new one that
/// is marked for rebuilding.
async fn open_database(home: &Path) -> Result<(Db, DatabaseState, Marker), OpenError> {
    let path = home.join("hayloft.db");
    let known = read_marker(home)?;
    let there = path.try_exists()?;
    let reason = if known.is_some() && !there {
        "the database was missing"
    } else {
        match Db::open(&path).await {
            Ok(db) => {
                let has = db.home_value(MARKER).await?.and_then(|bytes| Marker::try_from(bytes).ok());
                match (known, has) {
                    (None, None) => return Ok((db, DatabaseState::New, rand::random())),
                    (Some(known), Some(has)) if known == has => return Ok((db, DatabaseState::Sound, has)),
                    // The database's row comes first and the home's file second: a crash came between.
                    (None, Some(has)) => return Ok((db, DatabaseState::Sound, has)),
                    (Some(_), _) => {
                        db.close().await;
                        "the database was empty or another home's"
                    }
                }
            }
            Err(DatabaseError::Corrupt { .. }) => "the database was damaged",
            Err(error) => return Err(error.into()),
        }
    };
    let moved_to = if there { Some(move_aside(&path)?) } else { None };
    remove_remains(&path)?;
    let db = Db::open(&path).await?;
    db.set_home_value(REBUILDING, &[1]).await?;
    let state = DatabaseState::Rebuilt { reason: reason.to_owned(), moved_to };
    Ok((db, state, known.unwrap_or_else(rand::random)))
}

fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = |number: u64| path.with_file_name(format!("hayloft.db.broken-{number}"));
    let mut number = now().0;
    while aside(number).try_exists()? {
        number += 1;
    }
    for suffix in ["-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if with(path).try_exists()? {
            fs::rename(with(path), with(&aside(number)))?;
        }
    }
    fs::rename(path, aside(number))?;
    Ok(aside(number))
}

fn remove_remains(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm"] {
        crate::shards::delete(&PathBuf::from(format!("{}{suffix}", path.display())))?;
    }
    Ok(())
}

/// Makes the farmer's folder, or checks that it is the one this home used. A folder without a marker may be a disk that
/// is not connected: it is taken only if nothing was kept, or if the index is not waiting for it.
async fn prepare_folder(folder: &Folder, marker: Marker, db: &Db) -> Result<(), OpenError> {
    let looked = folder.clone();
    let found = blocking(move || Ok(reconcile::marker(&looked)?)).await?;
    let wrong = || OpenError::WrongFolder { folder: folder.root.clone() };
    match found {
        Some(found) if found == marker => Ok(()),
        Some(_) => Err(wrong()),
        None if db.has_shards().await? || db.home_value(REBUILDING).await?.is_some() => Err(wrong()),
        None => {
            let made = folder.clone();
            Ok(blocking(move || reconcile::begin_folder(&made, &marker)).await?)
        }
    }
}

async fn open_catalog(
    home: &Path,
    db: &Db,
    marker: Marker,
    disk: Disk,
) -> Result<(Log, CatalogState), OpenError> {
    Ok(catalog::open(catalog_path(home), db, &marker, disk).await?)
}

/// Writes the marker where it is not yet: a disk that takes nothing any more does not keep a home from being opened.
async fn write_markers(home: &Path, db: &Db, marker: Marker) -> Result<(), OpenError> {
    if db.home_value(MARKER).await?.as_deref() != Some(marker.as_slice()) {
        db.set_home_value(MARKER, &marker).await?;
    }
    let path = marker_path(home);
    let write = move || match fs::read(&path) {
        Ok(kept) if kept == marker => Ok(()),
        _ => Ok(write_whole(&path, &marker, true)?),
    };
    Ok(blocking(write).await?)
}
