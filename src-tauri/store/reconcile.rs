//! What a start mends: files that no row knows, rows whose file is gone, journals that are behind; and, when the
//! database was lost, the whole index from journals and file headers.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use hayloft_core::{ContractId, ShardId, Timestamp, audit::TagKeyId, contract::quota_bytes};

use crate::{
    DatabaseError, Farmer, FarmerError, audit_keys,
    db::{id, int, number, to_blob},
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

/// Makes rows and files agree: unfinished uploads begin anew, files that no row knows are deleted, rows whose file is
/// gone are marked, or deleted while no contract includes them. A file is a shard only if its header says so: others
/// keep files under such names too.
pub(crate) async fn reconcile(farmer: &Farmer, now: Timestamp) -> Result<Mended, FarmerError> {
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
    mended.orphan_files = blocking(move || {
        let mut orphans = found.parts;
        for shard in found.shards.into_keys() {
            let path = folder.shard(shard);
            if unfinished.contains(&shard) || Header::read(&path)?.is_some() {
                orphans.push(path);
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
    mend_journals(farmer).await?;
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

/// Rewrites journals that are behind and deletes those of contracts that are over.
async fn mend_journals(farmer: &Farmer) -> Result<(), FarmerError> {
    let contracts = farmer.contracts().await?;
    let folder = farmer.paths();
    let mut known: HashMap<ContractId, Option<u64>> = HashMap::new();
    for contract in &contracts {
        known.insert(contract.id, contract.revision.as_ref().map(|newest| newest.revision.number));
    }
    let behind = blocking(move || {
        for path in list(&folder.journals())? {
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if name.is_none_or(|id: ContractId| !known.contains_key(&id)) {
                delete(&path)?;
            }
        }
        let mut behind = Vec::new();
        for (id, newest) in known {
            let told = journal::replay(&folder.journal(id))?;
            let agrees = |told: Replayed| {
                told.whole && told.revision.map(|revision| revision.revision.number) == newest
            };
            if !told.is_some_and(agrees) {
                behind.push(id);
            }
        }
        Ok(behind)
    })
    .await?;
    for id in behind {
        farmer.snapshot(id).await?;
    }
    Ok(())
}

/// Fills an empty index from the farmer's folder; answers how many shards were found. Shards that arrived but are in no
/// revision yet hold their space anew. Shards of no known contract are moved to the folder `unknown`. That it waits to be
/// filled is forgotten with the same commit.
pub(crate) async fn rebuild(farmer: &Farmer, now: Timestamp) -> Result<u64, FarmerError> {
    let folder = farmer.paths();
    let (contracts, headers, keys) = blocking(move || Ok(survey(&folder)?)).await?;
    let mut write = farmer.inner.db.write().await?;
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

type Surveyed = (HashMap<ContractId, Replayed>, HashMap<ShardId, Header>, HashSet<TagKeyId>);

fn survey(folder: &Folder) -> io::Result<Surveyed> {
    let mut contracts = HashMap::new();
    for path in list(&folder.journals())? {
        if let Some(told) = journal::replay(&path)? {
            contracts.insert(told.id, told);
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
            _ => set_aside(folder, shard)?,
        }
    }
    let keys = audit_keys::found(folder)?.into_iter().collect();
    Ok((contracts, headers, keys))
}

/// Keeps a file that nothing explains out of the way, because without the database nobody can say it is worthless.
fn set_aside(folder: &Folder, shard: ShardId) -> io::Result<()> {
    let unknown = folder.root.join("unknown");
    fs::create_dir_all(&unknown)?;
    fs::rename(folder.shard(shard), unknown.join(shard.to_string()))?;
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
