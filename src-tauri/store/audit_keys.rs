//! Owners' audit keys: what a farmer checks tags and proves with. One file for each key, `keys/abcd…` in the folder of the
//! shards, and one row for each owner that uses it.
//!
//! A key arrives here checked, in the form that its farmer reads without checking it again; what lies on the disk carries
//! a check sum, and a file that does not fit it counts as missing: its owner sends the key again. The file comes first and
//! the row second; a file that no row names is deleted by the next start. After the loss of the database the rows are
//! those of the shards that were tagged. Keys count as overhead, not as used; how many one owner may have is the caller's
//! to say.

use std::{io, path::Path};

use hayloft_core::{OwnerId, audit::TagKeyId};

use crate::{
    DatabaseError, Farmer, FarmerError,
    db::{Write, id, number},
    farmer::to_the_end,
    home::write_whole,
    shards::{Folder, blocking, delete},
};

const MAGIC: [u8; 8] = *b"HAYAKEY\x01";
const CHECK_BYTES: usize = 16;

fn check(key: &[u8]) -> [u8; CHECK_BYTES] {
    *blake3::Hasher::new().update(&MAGIC).update(key).finalize().as_bytes().first_chunk().expect("32 bytes")
}

/// A key's file as it lies on the disk.
pub(crate) fn sealed(key: &[u8]) -> Vec<u8> {
    [&MAGIC[..], key, &check(key)].concat()
}

/// The key in such a file; none if it is damaged.
pub(crate) fn opened(file: &[u8]) -> Option<&[u8]> {
    let rest = file.strip_prefix(&MAGIC)?;
    let (key, found) = rest.split_last_chunk::<CHECK_BYTES>()?;
    (*found == check(key)).then_some(key)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(file) => Ok(opened(&file).map(<[u8]>::to_vec)),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Farmer {
    /// Keeps a checked key for an owner that has at most `most` of them. The same key again is no error.
    ///
    /// # Errors
    /// [`FarmerError::TooManyKeys`], [`FarmerError::DiskFull`], or what the disk or database says.
    pub async fn keep_audit_key(
        &self,
        owner: OwnerId,
        tag_key: TagKeyId,
        key: Vec<u8>,
        most: usize,
    ) -> Result<(), FarmerError> {
        let farmer = self.clone();
        to_the_end(async move {
            let _gate = farmer.inner.gate.lock().await;
            let space = farmer.space().await?;
            let guard_bytes = space.guarded(farmer.inner.guard);
            if space.free_bytes.saturating_sub(key.len() as u64) < guard_bytes {
                return Err(FarmerError::DiskFull { free_bytes: space.free_bytes, guard_bytes });
            }
            let others = farmer.audit_keys_of(owner).await?.into_iter().filter(|other| *other != tag_key);
            if others.count() >= most {
                return Err(FarmerError::TooManyKeys);
            }
            let (folder, file) = (farmer.paths(), sealed(&key));
            blocking(move || {
                std::fs::create_dir_all(folder.keys())?;
                Ok(write_whole(&folder.key(&tag_key), &file, true)?)
            })
            .await?;
            crash_point!(KeyFileWritten);
            let mut write = farmer.inner.db.write().await?;
            insert(&mut write, owner, &tag_key).await?;
            write.commit().await.map_err(DatabaseError::from)?;
            crash_point!(KeyRowCommitted);
            Ok(())
        })
        .await
    }

    /// The names of an owner's keys, in order.
    ///
    /// # Errors
    /// [`FarmerError::Database`].
    pub async fn audit_keys_of(&self, owner: OwnerId) -> Result<Vec<TagKeyId>, FarmerError> {
        let query = sqlx::query("SELECT tag_key FROM audit_keys WHERE owner = ? ORDER BY tag_key");
        let rows = query.bind(owner.as_bytes().to_vec()).fetch_all(self.inner.db.read()).await;
        let rows = rows.map_err(DatabaseError::from)?;
        Ok(rows.iter().map(|row| id(row, 0)).collect::<Result<_, _>>()?)
    }

    /// A key as it was kept; none if there is no sound one of that name.
    ///
    /// # Errors
    /// [`FarmerError::Io`] if the disk fails.
    pub async fn audit_key(&self, tag_key: TagKeyId) -> Result<Option<Vec<u8>>, FarmerError> {
        let path = self.paths().key(&tag_key);
        blocking(move || Ok(read(&path)?)).await
    }

    /// Deletes the files of keys whose rows are gone. What fails is tried again at the next start.
    pub(crate) async fn delete_keys(&self, gone: Vec<TagKeyId>) {
        if gone.is_empty() {
            return;
        }
        let folder = self.paths();
        let deleted = blocking(move || {
            for key in gone {
                delete(&folder.key(&key))?;
                crash_point!(KeyFileDeleted);
            }
            Ok(())
        });
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "an audit key's file cannot be deleted; the next start tries again");
        }
    }

    /// Makes rows and files of keys agree; answers how many files were deleted that no row knew.
    pub(crate) async fn mend_keys(&self) -> Result<u64, FarmerError> {
        let folder = self.paths();
        let files = blocking(move || Ok(found(&folder)?)).await?;
        let rows =
            sqlx::query("SELECT DISTINCT tag_key FROM audit_keys").fetch_all(self.inner.db.read()).await;
        let rows = rows.map_err(DatabaseError::from)?;
        let known = rows.iter().map(|row| id(row, 0)).collect::<Result<Vec<TagKeyId>, _>>()?;
        let lost: Vec<&TagKeyId> = known.iter().filter(|key| !files.contains(key)).collect();
        if !lost.is_empty() {
            let mut write = self.inner.db.write().await?;
            for key in lost {
                let query = sqlx::query("DELETE FROM audit_keys WHERE tag_key = ?").bind(key.to_vec());
                query.execute(&mut *write).await.map_err(DatabaseError::from)?;
            }
            write.commit().await.map_err(DatabaseError::from)?;
        }
        let orphans: Vec<TagKeyId> = files.into_iter().filter(|key| !known.contains(key)).collect();
        let deleted = orphans.len() as u64;
        self.delete_keys(orphans).await;
        Ok(deleted)
    }
}

/// The keys of which there are files. Others' files stay where they are.
pub(crate) fn found(folder: &Folder) -> io::Result<Vec<TagKeyId>> {
    let entries = match std::fs::read_dir(folder.keys()) {
        Ok(entries) => entries,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut keys = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let bytes = data_encoding::HEXLOWER.decode(name.as_encoded_bytes()).ok();
        keys.extend(bytes.and_then(|bytes| TagKeyId::try_from(bytes).ok()));
    }
    crate::home::remove_unfinished(&folder.keys())?;
    Ok(keys)
}

/// Writes down that an owner uses a key.
pub(crate) async fn insert(
    write: &mut Write,
    owner: OwnerId,
    tag_key: &TagKeyId,
) -> Result<(), DatabaseError> {
    let query = sqlx::query("INSERT INTO audit_keys (owner, tag_key) VALUES (?, ?) ON CONFLICT DO NOTHING");
    query.bind(owner.as_bytes().to_vec()).bind(tag_key.to_vec()).execute(&mut **write).await?;
    Ok(())
}

/// Forgets the keys of an owner that has no contract any more; answers those that nobody else uses.
pub(crate) async fn forget(write: &mut Write, owner: &[u8]) -> Result<Vec<TagKeyId>, DatabaseError> {
    let query = sqlx::query("SELECT count(*) FROM contracts WHERE owner = ?").bind(owner.to_vec());
    if number(&query.fetch_one(&mut **write).await?, 0)? > 0 {
        return Ok(Vec::new());
    }
    let query = sqlx::query("DELETE FROM audit_keys WHERE owner = ? RETURNING tag_key").bind(owner.to_vec());
    let rows = query.fetch_all(&mut **write).await?;
    let mut gone = Vec::new();
    for row in &rows {
        let tag_key: TagKeyId = id(row, 0)?;
        let query = sqlx::query("SELECT count(*) FROM audit_keys WHERE tag_key = ?").bind(tag_key.to_vec());
        if number(&query.fetch_one(&mut **write).await?, 0)? == 0 {
            gone.push(tag_key);
        }
    }
    Ok(gone)
}
