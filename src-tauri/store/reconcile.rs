//! What a start mends: files that no row knows, rows whose file is gone, journals that are behind; and, when the
//! database was lost or is an older copy, the whole index from journals and file headers.
//!
//! Rows are committed before their journal is written, and a contract's journal is deleted before its rows are. So
//! whatever a crash cut off, a journal never tells what the rows do not know:
//!
//! | found at a start | because | then |
//! |---|---|---|
//! | a journal of a contract that no row knows, with a higher revision than its row, or with the row's and a shard that no row keeps | the database is an older copy, or lost its newest commits | the index is rebuilt |
//! | a journal that is behind its row, torn or gone | a crash, or a disk that was full | it is written anew from the rows |
//! | a whole shard that no row knows and no journal names | a crash before it was signed for, or after it was signed away | it is deleted |
//! | a whole shard that no row knows, of a contract whose journal cannot be read | the disk was damaged | it is put aside, and so is a journal without a row |

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use hayloft_core::{ContractId, ShardId, Timestamp, audit::TagKeyId, contract::quota_bytes};

use crate::{
    DatabaseError, Farmer, FarmerError, audit_keys,
    db::{id, int, maybe_number, number, to_blob},
    farmer::{ARRIVED, ARRIVED_SECONDS, DAMAGED, INCOMING, KEPT, MISSING, UNREADABLE, insert_contract},
    home::{remove_unfinished, sync_folder, write_whole},
    journal::{self, Replayed},
    open::REBUILDING,
    quota::{self, Wish},
    shards::{Folder, HEADER_BYTES, Header, blocking, delete},
};

/// Makes a farmer's folder with its marker.
pub(crate) fn begin_folder(folder: &Folder, marker: &[u8; 16]) -> Result<(), FarmerError> {
    fs::create_dir_all(folder.journals())?;
    Ok(write_whole(&folder.marker(), marker, true)?)
}

/// Leaves a farmer's folder: what Hayloft made in it is deleted, all else stays.
pub(crate) fn end_folder(folder: &Folder) -> Result<(), FarmerError> {
    for left in list(&folder.journals())?.into_iter().chain(list(&folder.keys())?) {
        delete(&left)?;
    }
    delete(&folder.marker())?;
    for found in list(&folder.root)? {
        if is_prefix(&found) || found == folder.journals() || found == folder.keys() {
            // A folder that is not empty holds something of somebody else's: it stays.
            let _ = fs::remove_dir(&found);
        }
    }
    Ok(())
}

/// The marker of a farmer's folder; none if it has none.
pub(crate) fn marker(folder: &Folder) -> io::Result<Option<[u8; 16]>> {
    match fs::read(folder.marker()) {
        Ok(bytes) => Ok(bytes.try_into().ok()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_prefix(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 2 && name.bytes().all(|digit| digit.is_ascii_hexdigit()) && path.is_dir()
}

/// The files in a farmer's folder.
#[derive(Debug, Default)]
struct Found {
    /// Whole shards, with their file's length.
    shards: HashMap<ShardId, u64>,
    /// Unfinished shards.
    parts: Vec<PathBuf>,
}

fn walk(folder: &Folder) -> io::Result<Found> {
    let mut found = Found::default();
    for prefix in list(&folder.root)?.into_iter().filter(|path| is_prefix(path)) {
        for path in list(&prefix)?.into_iter().filter(|path| path.is_file()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let id = name.strip_suffix(".part").unwrap_or(name).parse::<ShardId>();
            match id {
                Ok(id) if folder.shard(id) == path => {
                    found.shards.insert(id, path.metadata()?.len());
                }
                Ok(id) if folder.part(id) == path => found.parts.push(path),
                // Not a name that Hayloft gives: somebody else's file stays.
                _ => {}
            }
        }
    }
    Ok(found)
}

/// What [`reconcile`] mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    pub(crate) orphan_files: u64,
    pub(crate) missing_shards: u64,
}

/// How the journals stand to the rows.
#[derive(Debug)]
pub(crate) struct Journals {
    /// Whether one tells what the rows do not know.
    pub(crate) are_newer: bool,
    /// Contracts of which there are rows, and no journal that tells the same and is whole.
    behind: HashSet<ContractId>,
    /// Contracts of which there is a journal that cannot be read.
    unreadable: HashSet<ContractId>,
}

impl Journals {
    /// Reads all of them.
    pub(crate) async fn compare(farmer: &Farmer) -> Result<Self, FarmerError> {
        let contracts = sqlx::query("SELECT contract, number FROM contracts");
        let contracts = contracts.fetch_all(farmer.inner.db.read()).await.map_err(DatabaseError::from)?;
        let number = |row| Ok((ContractId(id(row, 0)?), maybe_number(row, 1)?));
        let numbers = contracts.iter().map(number).collect::<Result<HashMap<_, _>, DatabaseError>>()?;
        let shards = sqlx::query("SELECT shard FROM shards WHERE state >= ?").bind(KEPT);
        let shards = shards.fetch_all(farmer.inner.db.read()).await.map_err(DatabaseError::from)?;
        let kept = shards.iter().map(|row| Ok(ShardId(id(row, 0)?)));
        let kept = kept.collect::<Result<HashSet<_>, DatabaseError>>()?;
        let folder = farmer.paths();
        blocking(move || Ok(compare(&folder, &numbers, &kept)?)).await
    }
}

fn compare(
    folder: &Folder,
    numbers: &HashMap<ContractId, Option<u64>>,
    kept: &HashSet<ShardId>,
) -> io::Result<Journals> {
    let (mut are_newer, mut unreadable) = (false, HashSet::new());
    let mut behind: HashSet<ContractId> = numbers.keys().copied().collect();
    for id in list(&folder.journals())?.iter().filter_map(|path| contract_of(path)) {
        let Some(told) = replay(folder, id)? else {
            unreadable.insert(id);
            continue;
        };
        let newest = told.revision.as_ref().map(|newest| newest.revision.number);
        let kept = || told.shards.keys().all(|shard| kept.contains(shard));
        match numbers.get(&id) {
            Some(number) if *number > newest => {}
            Some(number) if *number == newest && kept() => {
                if told.whole {
                    behind.remove(&id);
                }
            }
            _ => are_newer = true,
        }
    }
    Ok(Journals { are_newer, behind, unreadable })
}

/// Whose journal a file is; none if Hayloft gives no journal such a name.
fn contract_of(journal: &Path) -> Option<ContractId> {
    journal.file_name()?.to_str()?.parse().ok()
}

/// What a contract's journal tells; nothing if it cannot be read or is another's.
fn replay(folder: &Folder, id: ContractId) -> io::Result<Option<Replayed>> {
    Ok(journal::replay(&folder.journal(id))?.filter(|told| told.id == id))
}

/// Makes rows and files agree: unfinished uploads begin anew, files that no row knows are deleted, rows whose file is
/// gone are marked, or deleted while no contract includes them. A file is a shard only if its header says so: others
/// keep files under such names too. The journals tell nothing that the rows do not know.
pub(crate) async fn reconcile(
    farmer: &Farmer,
    journals: Journals,
    now: Timestamp,
) -> Result<Mended, FarmerError> {
    let folder = farmer.paths();
    let walked = folder.clone();
    let mut found = blocking(move || Ok(walk(&walked)?)).await?;
    let mut mended = Mended::default();
    let mut unfinished = HashSet::new();
    let mut changes = Vec::new();
    let rows = sqlx::query("SELECT shard, bytes + tag_bytes, state FROM shards")
        .fetch_all(farmer.inner.db.read())
        .await;
    for row in rows.map_err(DatabaseError::from)? {
        let shard = ShardId(id(&row, 0)?);
        let (bytes, state) = (number(&row, 1)?, i64::try_from(number(&row, 2)?).unwrap_or(MISSING));
        let sound = found.shards.get(&shard) == Some(&(bytes + HEADER_BYTES)) && state != INCOMING;
        if state >= KEPT {
            // A file of the wrong length stays on disk: a person may still want to look at it.
            found.shards.remove(&shard);
            let next = match state {
                _ if !sound => MISSING,
                // What a scrub found wrong stays so until a scrub finds it whole again.
                DAMAGED | UNREADABLE => state,
                _ => KEPT,
            };
            mended.missing_shards += u64::from(!sound);
            if next != state {
                changes.push((shard, Some(next)));
            }
        } else if sound {
            found.shards.remove(&shard);
        } else {
            unfinished.insert(shard);
            changes.push((shard, None));
        }
    }
    match apply(farmer, changes, now).await {
        Ok(()) => {}
        // What is kept can be served all the same; the next start mends.
        Err(error @ DatabaseError::DiskFull) => {
            tracing::warn!(%error, "the farmer's index is mended later");
            return Ok(mended);
        }
        Err(error) => return Err(error.into()),
    }
    crash_point!(ReconcileCommitted);
    let Journals { behind, unreadable, .. } = journals;
    let doubtful = unreadable.clone();
    mended.orphan_files = blocking(move || {
        let mut orphans = found.parts;
        for shard in found.shards.into_keys() {
            let path = folder.shard(shard);
            match Header::read(&path)? {
                _ if unfinished.contains(&shard) => orphans.push(path),
                Some(header) if doubtful.contains(&header.contract) => set_aside(&folder, &path)?,
                Some(_) => orphans.push(path),
                None => {}
            }
        }
        remove_unfinished(&folder.root)?;
        for path in &orphans {
            delete(path)?;
            crash_point!(OrphanDeleted);
        }
        Ok(orphans.len() as u64)
    })
    .await?;
    mended.orphan_files += farmer.mend_keys().await?;
    mend_journals(farmer, behind, unreadable).await?;
    Ok(mended)
}

/// Gives shards another state, or takes them out; writes nothing if there is nothing to change.
async fn apply(
    farmer: &Farmer,
    changes: Vec<(ShardId, Option<i64>)>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut write = farmer.inner.db.write().await?;
    for (shard, state) in changes {
        if let Some(state) = state {
            set_state(&mut write, shard, state, now).await?;
        } else {
            quota::give_back(&mut write, shard).await?;
            let query = sqlx::query("DELETE FROM shards WHERE shard = ?").bind(shard.as_bytes().to_vec());
            query.execute(&mut *write).await?;
        }
    }
    Ok(write.commit().await?)
}

async fn set_state(
    write: &mut crate::db::Write,
    shard: ShardId,
    state: i64,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let noticed = (state > KEPT).then(|| int(now.0));
    let query = "UPDATE shards SET state = ?1, noticed = ?3 WHERE shard = ?2";
    let query = sqlx::query(query).bind(state).bind(shard.as_bytes().to_vec()).bind(noticed);
    query.execute(&mut **write).await?;
    Ok(())
}

/// Rewrites journals that are behind, puts those aside that cannot be read and have no rows to be rewritten from, and
/// deletes what was begun and never finished.
async fn mend_journals(
    farmer: &Farmer,
    behind: HashSet<ContractId>,
    unreadable: HashSet<ContractId>,
) -> Result<(), FarmerError> {
    let folder = farmer.paths();
    let strays: Vec<ContractId> = unreadable.difference(&behind).copied().collect();
    blocking(move || {
        for id in strays {
            set_aside(&folder, &folder.journal(id))?;
        }
        for path in list(&folder.journals())?.iter().filter(|path| contract_of(path).is_none()) {
            delete(path)?;
        }
        Ok(())
    })
    .await?;
    for id in behind {
        farmer.snapshot(id).await?;
    }
    Ok(())
}

/// Makes the index anew from the farmer's folder; answers how many shards were found. Shards that arrived but are in no
/// revision yet hold their space anew. Shards of no known contract are moved to the folder `unknown`. That it waits to be
/// filled is forgotten with the same commit.
pub(crate) async fn rebuild(farmer: &Farmer, now: Timestamp) -> Result<u64, FarmerError> {
    let folder = farmer.paths();
    let (contracts, headers, keys) = blocking(move || Ok(survey(&folder)?)).await?;
    let mut write = farmer.inner.db.write().await?;
    clear(&mut write).await?;
    let mut found = 0;
    for told in contracts.values() {
        restore_contract(&mut write, told, &headers, &keys).await?;
        found += told.shards.keys().filter(|shard| headers.contains_key(shard)).count() as u64;
    }
    for header in headers.values() {
        let Some(told) = contracts.get(&header.contract) else { continue };
        if told.shards.contains_key(&header.shard) {
            continue;
        }
        restore_shard(&mut write, header, None, ARRIVED).await?;
        let (contract, owner) = (told.id, told.terms.terms.owner);
        let wish = Wish { contract, owner, subnet: String::new(), bytes: quota_bytes(header.payload()) };
        quota::hold(&mut write, header.shard, &wish, now.plus_seconds(ARRIVED_SECONDS)).await?;
        found += 1;
    }
    let query = sqlx::query("DELETE FROM home WHERE key = ?").bind(REBUILDING);
    query.execute(&mut *write).await.map_err(DatabaseError::from)?;
    crash_point!(RebuildWritten);
    write.commit().await.map_err(DatabaseError::from)?;
    crash_point!(RebuildCommitted);
    Ok(found)
}

/// Empties the index, as far as there is one, and lets the next scrub look at all that is found.
async fn clear(write: &mut crate::db::Write) -> Result<(), DatabaseError> {
    for table in ["arrivals", "reservations", "shards", "contracts", "audit_keys", "scrub"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut **write).await?;
    }
    sqlx::query("INSERT INTO scrub (id) VALUES (1)").execute(&mut **write).await?;
    Ok(())
}

type Surveyed = (HashMap<ContractId, Replayed>, HashMap<ShardId, Header>, HashSet<TagKeyId>);

fn survey(folder: &Folder) -> io::Result<Surveyed> {
    let mut contracts = HashMap::new();
    for id in list(&folder.journals())?.iter().filter_map(|path| contract_of(path)) {
        if let Some(told) = replay(folder, id)? {
            contracts.insert(id, told);
        }
    }
    let mut headers = HashMap::new();
    for (shard, len) in walk(folder)?.shards {
        let header = Header::read(&folder.shard(shard))?;
        let header = header.filter(|header| header.shard == shard && len == header.payload() + HEADER_BYTES);
        match header {
            Some(header) if contracts.contains_key(&header.contract) => {
                headers.insert(shard, header);
            }
            _ => set_aside(folder, &folder.shard(shard))?,
        }
    }
    let keys = audit_keys::found(folder)?.into_iter().collect();
    Ok((contracts, headers, keys))
}

/// Keeps a file that nothing explains out of the way, because nobody can say that it is worthless.
fn set_aside(folder: &Folder, path: &Path) -> io::Result<()> {
    let unknown = folder.root.join("unknown");
    fs::create_dir_all(&unknown)?;
    fs::rename(path, unknown.join(path.file_name().unwrap_or_default()))?;
    sync_folder(&unknown)
}

async fn restore_contract(
    write: &mut crate::db::Write,
    told: &Replayed,
    headers: &HashMap<ShardId, Header>,
    keys: &HashSet<TagKeyId>,
) -> Result<(), DatabaseError> {
    insert_contract(write, told.id, &told.terms).await?;
    let (mut bytes, mut quota) = (0, 0);
    for entry in told.shards.values() {
        let header = headers.get(&entry.id).filter(|header| u64::from(header.bytes) == entry.bytes);
        let state = if header.is_some() { KEPT } else { MISSING };
        // How many tags a file had that is gone, nobody knows.
        let gone = || {
            let bytes = u32::try_from(entry.bytes).unwrap_or(u32::MAX);
            Header { shard: entry.id, contract: told.id, bytes, tag_bytes: 0, hash: [0; 32] }
        };
        let header = header.copied().unwrap_or_else(gone);
        restore_shard(write, &header, entry.tag_key, state).await?;
        if let Some(key) = entry.tag_key.filter(|key| keys.contains(key)) {
            audit_keys::insert(write, told.terms.terms.owner, &key).await?;
        }
        bytes += entry.bytes;
        quota += quota_bytes(header.payload());
    }
    let Some(newest) = &told.revision else { return Ok(()) };
    let delete_after = newest.revision.end.plus_seconds(told.terms.terms.grace_seconds);
    let query = "UPDATE contracts SET revision = ?, number = ?, shards = ?, bytes = ?, quota_bytes = ?, \
                 delete_after = ? WHERE contract = ?";
    let query = sqlx::query(query).bind(to_blob(newest)).bind(int(newest.revision.number));
    let query = query.bind(int(told.shards.len() as u64)).bind(int(bytes)).bind(int(quota));
    let query = query.bind(int(delete_after.0));
    query.bind(told.id.as_bytes().to_vec()).execute(&mut **write).await?;
    Ok(())
}

async fn restore_shard(
    write: &mut crate::db::Write,
    header: &Header,
    tag_key: Option<TagKeyId>,
    state: i64,
) -> Result<(), DatabaseError> {
    let query = "INSERT INTO shards (shard, contract, bytes, tag_bytes, state, hash, tag_key) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(query).bind(header.shard.as_bytes().to_vec());
    let query = query.bind(header.contract.as_bytes().to_vec());
    let query = query.bind(i64::from(header.bytes)).bind(i64::from(header.tag_bytes)).bind(state);
    let hash = (state != MISSING).then(|| header.hash.to_vec());
    query.bind(hash).bind(tag_key.map(|tag_key| tag_key.to_vec())).execute(&mut **write).await?;
    Ok(())
}
