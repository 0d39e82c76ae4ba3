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
    owner::OwnerError,
    placing::Waiting,
    reconcile::{self, Journals},
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
    /// An older copy, or it had lost its newest commits: the farmer's index was rebuilt from the shards, all else is as it
    /// was found.
    Older,
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

impl OpenError {
    /// Whether the database holds what cannot be read.
    fn is_damage(&self) -> bool {
        let (Self::Database(error) | Self::Farmer(FarmerError::Database(error))) = self else { return false };
        matches!(error, DatabaseError::Corrupt { .. })
    }
}

/// Ties a home, its database and its farmer's folder together.
type Marker = [u8; 16];

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) home: Arc<Home>,
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
    /// Opens the home's database and farmer's folder and mends what a crash left over. A database that turns out to hold
    /// what cannot be read is rebuilt like one that is no database.
    ///
    /// # Errors
    /// [`OpenError`]; nothing that was stored is lost by it.
    pub async fn open(home: Home, options: StoreOptions) -> Result<(Self, OpenReport), OpenError> {
        let home = Arc::new(home);
        let root = options.farm_folder.clone().unwrap_or_else(|| home.path().join("shards"));
        let folder = Folder { root };
        let found = open_database(home.path(), &folder).await?;
        let (marker, was_sound) = (found.marker, found.state == DatabaseState::Sound);
        match Self::open_on(home.clone(), folder.clone(), &options, found).await {
            Err(error) if was_sound && error.is_damage() => {
                tracing::warn!(%error, "the database is rebuilt");
                let anew = begin_anew(home.path(), &folder, marker, DAMAGED).await?;
                Self::open_on(home, folder, &options, anew).await
            }
            opened => opened,
        }
    }

    async fn open_on(
        home: Arc<Home>,
        folder: Folder,
        options: &StoreOptions,
        found: Found,
    ) -> Result<(Self, OpenReport), OpenError> {
        let Found { db, state: database, marker } = found;
        let opened = async {
            keep_marker(&db, marker).await?;
            prepare_folder(&folder, marker, &db).await?;
            write_marker(home.path(), marker).await?;
            open_catalog(home.path(), &db, marker, options.disk.clone()).await
        };
        let opened = opened.await;
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
            disk: options.disk.clone(),
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

    async fn mend(
        &self,
        mut database: DatabaseState,
        mut records: CatalogState,
    ) -> Result<OpenReport, OpenError> {
        let farmer = self.farmer();
        let rebuilding = self.inner.db.home_value(REBUILDING).await?.is_some();
        let mut journals = Journals::compare(&farmer).await?;
        if journals.are_newer && database == DatabaseState::Sound && !rebuilding {
            tracing::warn!("the database is older than the shards; the farmer's index is rebuilt");
            database = DatabaseState::Older;
        }
        let mut found_shards = 0;
        if rebuilding || journals.are_newer {
            found_shards = reconcile::rebuild(&farmer, now()).await?;
            journals = Journals::compare(&farmer).await?;
        }
        let mended = reconcile::reconcile(&farmer, journals, now()).await?;
        let (orphan_files, missing_shards) = (mended.orphan_files, mended.missing_shards);
        if let Err(OwnerError::Database(error @ DatabaseError::Corrupt { .. })) = self.read_owned().await {
            tracing::warn!(%error, "the owner's records are brought back from their copy");
            if let Some(files) = catalog::restore(&self.inner).await? {
                records = CatalogState::Rebuilt { files, damaged: None };
            }
        }
        // A log that cannot be written now is written before the next change.
        if let Err(error) = Change::heal(&self.inner).await {
            tracing::warn!(%error, "the catalog log is not up to date");
        }
        Ok(OpenReport { database, records, orphan_files, missing_shards, found_shards })
    }

    /// Reads all that the owner keeps once.
    async fn read_owned(&self) -> Result<(), OwnerError> {
        self.owner().check().await?;
        self.jobs().check().await?;
        self.funds().list(None).await?;
        self.outbox().list().await?;
        Ok(())
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

    /// Whether the database's file was deleted or moved away since it was opened: what is in it is then there for as long as
    /// this store is, and no longer.
    pub fn database_is_gone(&self) -> bool {
        !database_path(self.inner.home.path()).try_exists().unwrap_or(true)
    }

    /// Writes the catalog log anew if it was deleted or moved away, so that a start finds the owner's records.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn keep_catalog(&self) -> Result<(), DatabaseError> {
        if self.inner.catalog.lock().await.is_gone() {
            tracing::error!("the catalog log was deleted while this node runs; it is written anew");
            Change::heal(&self.inner).await?;
        }
        Ok(())
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

fn database_path(home: &Path) -> PathBuf {
    home.join("hayloft.db")
}

fn catalog_path(home: &Path) -> PathBuf {
    home.join("catalog.log")
}

/// What a start says of a database that cannot be read.
const DAMAGED: &str = "the database was damaged";

/// A home's database as it was found, or begun anew.
struct Found {
    db: Db,
    state: DatabaseState,
    marker: Marker,
}

/// The copies of the home's marker that lie outside its database.
#[derive(Debug, Clone, Copy)]
struct Markers {
    home: Option<Marker>,
    log: Option<Marker>,
    folder: Option<Marker>,
}

impl Markers {
    fn read(home: &Path, folder: &Folder) -> io::Result<Self> {
        let own = match fs::read(marker_path(home)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            read => read.ok().and_then(|bytes| bytes.try_into().ok()),
        };
        let log = catalog::marker(&catalog_path(home))?;
        Ok(Self { home: own, log, folder: reconcile::marker(folder)? })
    }

    /// What two of the copies agree on, so that none that is wrong decides alone; else the home's own, else the log's.
    /// A folder without a home is another home's.
    fn agreed(&self) -> Option<Marker> {
        let twice = |marker: &Marker| self.copies_of(marker) > 1;
        [self.home, self.log].into_iter().flatten().find(twice).or(self.home).or(self.log)
    }

    /// Whether as many copies know the marker of a database as the one that is thought to be the home's.
    fn speak_for(&self, has: &Marker, known: &Marker) -> bool {
        self.copies_of(has) >= self.copies_of(known)
    }

    fn copies_of(&self, marker: &Marker) -> usize {
        [self.home, self.log, self.folder].iter().filter(|copy| copy.as_ref() == Some(marker)).count()
    }
}

/// Opens the database; if this home had one that is gone, broken or another's, puts it aside and begins a new one that
/// is marked for rebuilding.
async fn open_database(home: &Path, folder: &Folder) -> Result<Found, OpenError> {
    let path = database_path(home);
    let markers = Markers::read(home, folder)?;
    let known = markers.agreed();
    let reason = match (known, path.try_exists()?) {
        (Some(_), false) => "the database was missing",
        _ => match Db::open(&path).await {
            Ok(db) => {
                let has = db.home_value(MARKER).await?.and_then(|bytes| Marker::try_from(bytes).ok());
                match (known, has) {
                    (None, None) => {
                        return Ok(Found { db, state: DatabaseState::New, marker: rand::random() });
                    }
                    // The database's row comes first and the home's file second: a crash may have come between.
                    (known, Some(has)) if known.is_none_or(|known| markers.speak_for(&has, &known)) => {
                        return Ok(Found { db, state: DatabaseState::Sound, marker: has });
                    }
                    _ => {
                        db.close().await;
                        "the database was empty or another home's"
                    }
                }
            }
            Err(DatabaseError::Corrupt { .. }) => DAMAGED,
            Err(error) => return Err(error.into()),
        },
    };
    begin_anew(home, folder, known.unwrap_or_else(rand::random), reason).await
}

/// Puts the database aside, if it is there, and begins a new one that is marked for rebuilding. Nothing is moved unless
/// the farmer's folder, from which it is rebuilt, is this home's.
async fn begin_anew(home: &Path, folder: &Folder, marker: Marker, reason: &str) -> Result<Found, OpenError> {
    if reconcile::marker(folder)? != Some(marker) {
        return Err(OpenError::WrongFolder { folder: folder.root.clone() });
    }
    let path = database_path(home);
    let moved_to = if path.try_exists()? { Some(move_aside(&path)?) } else { None };
    remove_remains(&path)?;
    let db = Db::open(&path).await?;
    db.set_home_value(REBUILDING, &[1]).await?;
    Ok(Found { db, state: DatabaseState::Rebuilt { reason: reason.to_owned(), moved_to }, marker })
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

/// Writes the marker into the database, before any other place.
async fn keep_marker(db: &Db, marker: Marker) -> Result<(), OpenError> {
    if db.home_value(MARKER).await?.as_deref() != Some(marker.as_slice()) {
        db.set_home_value(MARKER, &marker).await?;
    }
    Ok(())
}

/// Writes the home's own copy where it is not yet, once the farmer's folder has agreed: a disk that takes nothing any more
/// does not keep a home from being opened.
async fn write_marker(home: &Path, marker: Marker) -> Result<(), OpenError> {
    let path = marker_path(home);
    let write = move || match fs::read(&path) {
        Ok(kept) if kept == marker => Ok(()),
        _ => Ok(write_whole(&path, &marker, true)?),
    };
    Ok(blocking(write).await?)
}
