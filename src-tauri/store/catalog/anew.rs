//! A log written anew from the rows: shorter, and whole again.

use hayloft_core::{ContractId, DeviceId, FileId, SegmentId, ShardId, Timestamp, codec};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Entry, EscrowEntry, JobEntry, PaymentEntry,
    copies::Copies,
    log::{Anew, Head, Log},
};
use crate::{
    DatabaseError,
    db::{Write, bytes, from_blob, id, maybe_number, number},
    files::{NewSegment, Removal, file_of, segments_of},
    owner::{job_of, shards_of},
};

/// Rows taken at once.
const PAGE: i64 = 100;
/// Entries that together are longer than this are no batch; one that is so alone is one of its own.
const BATCH_BYTES: usize = 8 << 20;
/// Finished transfers that are worth keeping.
const JOBS: i64 = 200;

/// Writes all rows to a new log beside the old one, and syncs it. Refuses if a sealed record is not what the old one has
/// of it, as far as that reads up to the rows' `head`: the only copy that opens may be there.
pub(super) async fn write(
    write: &mut Write,
    old: &Log,
    head: Option<Head>,
    marker: &[u8; 16],
) -> Result<Anew, DatabaseError> {
    let (path, disk, marker, number) = (old.path().to_owned(), old.disk().clone(), *marker, old.head.number);
    let copied = path.clone();
    let copies = blocking(move || match head {
        Some(head) => Copies::read(&copied, &marker, &head),
        None => Ok(None),
    });
    let copies = copies.await?;
    let mut anew = blocking(move || Anew::begin(&path, disk, &marker, number)).await?;
    // What contracts are paid for comes before them: their revisions are counted only then.
    anew = append(anew, escrows(write).await?).await?;
    let query = "SELECT number, contract, terms, revision, denied FROM owner_contracts \
                 WHERE number > ? ORDER BY number LIMIT ?";
    let mut last = 0;
    while let Some((entries, next)) = contracts(write, query, last).await? {
        (anew, last) = (append(anew, entries).await?, next);
    }
    last = 0;
    while let Some((entries, next)) = segments(write, last, copies.as_ref()).await? {
        (anew, last) = (append(anew, entries).await?, next);
    }
    last = 0;
    while let Some((entries, next)) = files(write, last, copies.as_ref()).await? {
        (anew, last) = (append(anew, entries).await?, next);
    }
    anew = append(anew, removals(write).await?).await?;
    anew = append(anew, jobs(write).await?).await?;
    last = 0;
    while let Some((entries, next)) = payments(write, last).await? {
        (anew, last) = (append(anew, entries).await?, next);
    }
    blocking(move || anew.sync()).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, DatabaseError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(std::io::Error::other)??)
}

async fn append(mut anew: Anew, entries: Vec<Entry>) -> Result<Anew, DatabaseError> {
    blocking(move || {
        for batch in batches(entries, BATCH_BYTES) {
            anew.append(batch)?;
        }
        Ok(anew)
    })
    .await
}

/// The entries in batches of at most so many bytes. At least one batch: even an empty log has a number of its own.
fn batches(entries: Vec<Entry>, most_bytes: usize) -> Vec<Vec<Entry>> {
    let (mut batches, mut batch, mut batch_bytes) = (Vec::new(), Vec::new(), 0_usize);
    for entry in entries {
        let entry_bytes = codec::encode(0, &entry).len();
        if batch_bytes + entry_bytes > most_bytes && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            batch_bytes = 0;
        }
        batch.push(entry);
        batch_bytes += entry_bytes;
    }
    batches.push(batch);
    batches
}

/// A page of entries and the number of its last row; none behind the last.
type Page = Option<(Vec<Entry>, i64)>;

async fn page(write: &mut Write, query: &'static str, last: i64) -> Result<Vec<SqliteRow>, DatabaseError> {
    Ok(sqlx::query(query).bind(last).bind(PAGE).fetch_all(&mut **write).await?)
}

fn end_of(rows: &[SqliteRow]) -> Result<Option<i64>, DatabaseError> {
    Ok(rows.last().map(|row| row.try_get(0)).transpose()?)
}

async fn contracts(write: &mut Write, query: &'static str, last: i64) -> Result<Page, DatabaseError> {
    let rows = page(write, query, last).await?;
    let Some(end) = end_of(&rows)? else { return Ok(None) };
    let mut entries = Vec::new();
    for row in &rows {
        let contract = ContractId(id(row, 1)?);
        entries.push(Entry::Contract { id: contract, terms: Box::new(from_blob(&bytes(row, 2)?)?) });
        if let Some(revision) = row.try_get::<Option<Vec<u8>>, _>(3)? {
            let (revision, shards) = (Box::new(from_blob(&revision)?), shards_of(write, contract).await?);
            entries.push(Entry::Rebased { revision, shards });
        }
        let denied = maybe_number(row, 4)?.map(|at| Entry::Denied { id: contract, at: Timestamp(at) });
        entries.extend(denied);
    }
    Ok(Some((entries, end)))
}

/// What is said of a record that is not what the log has of it.
const CHANGED: DatabaseError =
    DatabaseError::Corrupt { what: "a record as it was written; end Hayloft and start it again to mend it" };

async fn segments(write: &mut Write, last: i64, copies: Option<&Copies>) -> Result<Page, DatabaseError> {
    let query = "SELECT number, segment, placement, sealed_bytes, stored_bytes, job, notes FROM segments \
                 WHERE number > ? ORDER BY number LIMIT ?";
    let rows = page(write, query, last).await?;
    let Some(end) = end_of(&rows)? else { return Ok(None) };
    let entries = rows.iter().map(|row| {
        let segment = NewSegment {
            segment: SegmentId(id(row, 1)?),
            placement: bytes(row, 2)?,
            sealed_bytes: number(row, 3)?,
            stored_bytes: number(row, 4)?,
            notes: bytes(row, 6)?,
        };
        if copies.is_some_and(|copies| !copies.has_placement(segment.segment, &segment.placement)) {
            return Err(CHANGED);
        }
        Ok(Entry::Segment { segment, job: job_of(maybe_number(row, 5)?)? })
    });
    Ok(Some((entries.collect::<Result<_, DatabaseError>>()?, end)))
}

async fn files(write: &mut Write, last: i64, copies: Option<&Copies>) -> Result<Page, DatabaseError> {
    let query = "SELECT rowid, name_key, file, content, bytes, stored, keep_until, renew FROM files \
                 WHERE rowid > ? ORDER BY rowid LIMIT ?";
    let rows = page(write, query, last).await?;
    let Some(end) = end_of(&rows)? else { return Ok(None) };
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut file = file_of(row, 1)?;
        if copies.is_some_and(|copies| !copies.has_content(&file.name_key, &file.content)) {
            return Err(CHANGED);
        }
        file.segments = segments_of(&mut *write, FileId(id(row, 2)?)).await?;
        entries.push(Entry::File(file));
    }
    Ok(Some((entries, end)))
}

async fn escrows(write: &mut Write) -> Result<Vec<Entry>, DatabaseError> {
    let query = "SELECT account, terms FROM funding ORDER BY account";
    let rows = sqlx::query(query).fetch_all(&mut **write).await?;
    let funding = rows
        .iter()
        .map(|row| Ok(Entry::Funding { account: id(row, 0)?, terms: Box::new(from_blob(&bytes(row, 1)?)?) }));
    let mut entries = funding.collect::<Result<Vec<_>, DatabaseError>>()?;
    let query = "SELECT account, plan, role, state FROM escrows ORDER BY account";
    for row in &sqlx::query(query).fetch_all(&mut **write).await? {
        let (role, state) = (row.try_get(2)?, row.try_get(3)?);
        entries.push(Entry::Escrow(EscrowEntry { account: id(row, 0)?, plan: bytes(row, 1)?, role, state }));
    }
    Ok(entries)
}

async fn payments(write: &mut Write, last: i64) -> Result<Page, DatabaseError> {
    let query = "SELECT number, network, hash, source, sequence, latest, envelope, purpose, spends, signed, \
                 state, ledger, reason FROM outbox WHERE number > ? ORDER BY number LIMIT ?";
    let rows = page(write, query, last).await?;
    let Some(end) = end_of(&rows)? else { return Ok(None) };
    let entries = rows.iter().map(|row| {
        Ok(Entry::Payment(PaymentEntry {
            number: number(row, 0)?,
            network: id(row, 1)?,
            hash: id(row, 2)?,
            source: id(row, 3)?,
            sequence: row.try_get(4)?,
            latest: number(row, 5)?,
            envelope: bytes(row, 6)?,
            purpose: bytes(row, 7)?,
            spends: number(row, 8)?,
            signed: number(row, 9)?,
            state: row.try_get(10)?,
            ledger: maybe_number(row, 11)?.and_then(|ledger| u32::try_from(ledger).ok()),
            reason: row.try_get(12)?,
        }))
    });
    Ok(Some((entries.collect::<Result<_, DatabaseError>>()?, end)))
}

async fn removals(write: &mut Write) -> Result<Vec<Entry>, DatabaseError> {
    let query = "SELECT farmer, contract, shard FROM removals ORDER BY contract, shard";
    let rows = sqlx::query(query).fetch_all(&mut **write).await?;
    let removals = rows.iter().map(|row| {
        let (farmer, contract) = (DeviceId(id(row, 0)?), ContractId(id(row, 1)?));
        Ok(Removal { farmer, contract, shard: ShardId(id(row, 2)?) })
    });
    let removals = removals.collect::<Result<Vec<_>, DatabaseError>>()?;
    Ok(removals.chunks(PAGE as usize).map(|page| Entry::GivenUp(page.to_vec())).collect())
}

async fn jobs(write: &mut Write) -> Result<Vec<Entry>, DatabaseError> {
    let query = "SELECT id, kind, state, spec, progress, report, begun, ended FROM jobs \
                 WHERE state <= 1 OR id IN (SELECT job FROM segments) \
                 OR id > (SELECT coalesce(max(id), 0) FROM jobs) - ? ORDER BY id";
    let rows = sqlx::query(query).bind(JOBS).fetch_all(&mut **write).await?;
    let entries = rows.iter().map(|row| {
        Ok(Entry::Job(JobEntry {
            id: job_of(Some(number(row, 0)?))?.unwrap_or_default(),
            kind: row.try_get(1)?,
            state: row.try_get(2)?,
            spec: row.try_get(3)?,
            progress: row.try_get(4)?,
            report: row.try_get(5)?,
            begun: number(row, 6)?,
            ended: maybe_number(row, 7)?,
        }))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_by_their_bytes_and_lose_nothing() {
        let file = |bytes: usize| Entry::Moved { segment: SegmentId([1; 32]), placement: vec![7; bytes] };
        let entries: Vec<Entry> = [10, 20, 500, 30, 900, 5_000, 1, 2].map(file).into();
        let cut = batches(entries.clone(), 1_000);
        let sizes: Vec<usize> = cut.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 1, 1, 2]);
        assert_eq!(cut.concat(), entries);
        assert_eq!(batches(Vec::new(), 1_000), [Vec::new()]);
    }
}
