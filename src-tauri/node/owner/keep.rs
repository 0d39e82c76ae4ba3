//! Keeping files for as long as their owner wishes: renewing, ending, and contracts that last as long as their files.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use hayloft_core::{
    ContractId, FileId, Timestamp,
    contract::{MIN_GRACE_SECONDS, ends_soon},
    manifest::ContentRecord,
};

use super::{Inner, OwnerError, contracts::Wish, listing, put::placements_of, quote::check_keep, remove};
use crate::{
    jobs::Jobs,
    model::{Event, FileEntry},
};

/// How often files and contracts are looked through.
const EVERY: Duration = Duration::from_secs(3600);
/// And how soon again after a contract could not be paid for.
const UNPAID: Duration = Duration::from_secs(60);
/// Farmers asked at once.
const AT_ONCE: usize = 16;
/// How long a failed job keeps what it has half done, so that it can be resumed.
const FAILED_KEPT_SECONDS: u64 = 7 * 24 * 60 * 60;

/// For how long a file is renewed by itself: what a put asks for unless told otherwise.
const RENEWAL_SECONDS: u64 = 90 * 24 * 60 * 60;

/// What is due for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Renew(Timestamp),
    Remove,
}

/// A file is renewed by itself for three months at a time, and removed when its grace is surely over.
fn due(stored: Timestamp, keep_until: Timestamp, renew: bool, now: Timestamp, surely: Timestamp) -> Due {
    if renew && ends_soon(stored, keep_until, now) {
        return Due::Renew(now.plus_seconds(RENEWAL_SECONDS));
    }
    if surely >= keep_until.plus_seconds(MIN_GRACE_SECONDS) { Due::Remove } else { Due::Nothing }
}

/// Looks through files, contracts and failed jobs: now, then every hour, and at once when what pays for contracts is gone.
pub(crate) async fn keep_files(owner: Arc<Inner>, jobs: Jobs) {
    // Several times within what one escrow pays for.
    let funded = Duration::from_secs(owner.contracts.funded_seconds());
    let mut told = HashSet::new();
    let rounds = owner.clock.rounds();
    loop {
        let now = owner.clock.now();
        let all_paid = look_through(&owner, &jobs, &mut told).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "files could not be looked through");
            true
        });
        let pause = if all_paid { EVERY } else { UNPAID };
        tokio::select! {
            () = owner.contracts.unpaid() => {}
            () = rounds.rest(now, pause.min(funded / 10)) => {}
        }
    }
}

/// Whether everything that is to be kept is paid for.
pub(super) async fn look_through(
    owner: &Arc<Inner>,
    jobs: &Jobs,
    told: &mut HashSet<FileId>,
) -> Result<bool, OwnerError> {
    let (now, surely) = (owner.clock.now(), owner.witness.credible());
    let mut over = Vec::new();
    for file in owner.catalog.store.files().await? {
        let due = due(file.stored, file.keep_until, file.renew, now, surely);
        if due == Due::Nothing && (file.renew || !ends_soon(file.stored, file.keep_until, now)) {
            continue;
        }
        let Some(record) = owner.catalog.readable(&file) else { continue };
        match due {
            Due::Nothing => warn(owner, &record, told),
            Due::Renew(until) => {
                if let Err(error) = keep_until(owner, &record.name, until, None).await {
                    tracing::warn!(%error, "a file could not be renewed yet");
                }
            }
            Due::Remove => over.push(record.name),
        }
    }
    for name in over {
        match remove::remove(owner, &[name]).await {
            // Somebody removed it meanwhile.
            Err(OwnerError::NoSuchFile(_)) => {}
            removed => removed?,
        }
    }
    let all_paid = extend_contracts(owner).await?;
    owner.contracts.forget_over(surely).await?;
    jobs.clear_failed_before(Timestamp(surely.0.saturating_sub(FAILED_KEPT_SECONDS))).await?;
    Ok(all_paid)
}

/// Tells people once that a file's time ends; whoever opens a window later still hears it.
fn warn(owner: &Inner, file: &ContentRecord, told: &mut HashSet<FileId>) {
    let Some(warning) = listing::warning(file, owner.clock.now()) else { return };
    if !told.contains(&file.file)
        && owner.events.send(Event::Notice(format!("{}: {warning}", file.name))).is_ok()
    {
        told.insert(file.file);
    }
}

/// Renews a file by its owner's choice.
pub(crate) async fn renew(
    owner: &Arc<Inner>,
    name: &str,
    keep_seconds: u64,
    auto: Option<bool>,
) -> Result<FileEntry, OwnerError> {
    check_keep(keep_seconds)?;
    keep_until(owner, name, owner.clock.now().plus_seconds(keep_seconds), auto).await?;
    listing::file(owner, name).await
}

/// Never shortens a file's time. Farmers first, the record after: a file is never said to be kept longer than enough of
/// its farmers agreed to. Those that cannot be reached now are asked again later.
async fn keep_until(
    owner: &Arc<Inner>,
    name: &str,
    until: Timestamp,
    auto: Option<bool>,
) -> Result<(), OwnerError> {
    let record = owner.catalog.file(name).await?;
    let until = until.max(record.keep_until);
    let agreed = extend(owner, contracts_of(owner, &record).await?.into_keys().map(|c| (c, until))).await;
    for placement in placements_of(owner, &record).await? {
        let found = placement.shards.iter().filter(|shard| agreed.contains_key(&shard.contract)).count();
        let needed = usize::from(placement.k);
        if found < needed {
            let all = placement.shards.len();
            return Err(OwnerError::TooFewAnswer { found, wrong: 0, needed, all });
        }
    }
    crash_point!(ContractsExtended);
    let changing = owner.catalog.changing().await;
    let mut record = owner.catalog.file(name).await?;
    record.keep_until = until.max(record.keep_until);
    record.renew = auto.unwrap_or(record.renew);
    let row = owner.catalog.seal(&record);
    owner.catalog.store.update_file(&row.name_key, &row.content, row.keep_until, row.renew).await?;
    drop(changing);
    owner.files_changed();
    Ok(())
}

async fn contracts_of(
    owner: &Arc<Inner>,
    record: &ContentRecord,
) -> Result<HashMap<ContractId, Timestamp>, OwnerError> {
    let placements = placements_of(owner, record).await?;
    let shards = placements.iter().flat_map(|placement| &placement.shards);
    Ok(shards.map(|shard| (shard.contract, record.keep_until)).collect())
}

/// Makes contracts last as long as they should; gives those that do now.
async fn extend(
    owner: &Inner,
    ends: impl IntoIterator<Item = (ContractId, Timestamp)>,
) -> HashMap<ContractId, Timestamp> {
    let extending = stream::iter(ends).map(|(contract, end)| async move {
        let wish = Wish { until: Some(end), ..Wish::default() };
        match owner.contracts.revise(contract, &wish).await {
            Ok(()) => Some((contract, end)),
            Err(error) => {
                tracing::debug!(%contract, %error, "a contract is extended later");
                None
            }
        }
    });
    extending.buffer_unordered(AT_ONCE).filter_map(async |extended| extended).collect().await
}

/// Every contract lasts as long as the file under it that is kept longest; whether all are paid for.
async fn extend_contracts(owner: &Arc<Inner>) -> Result<bool, OwnerError> {
    let mut ends: BTreeMap<ContractId, Timestamp> = BTreeMap::new();
    for file in owner.catalog.store.files().await? {
        for part in &file.segments {
            let placement = match owner.catalog.placement(part.segment).await {
                Ok(placement) => placement,
                Err(error) => {
                    tracing::warn!(segment = %part.segment, %error, "a segment's contracts are not extended");
                    continue;
                }
            };
            for shard in &placement.shards {
                let end = ends.entry(shard.contract).or_default();
                *end = file.keep_until.max(*end);
            }
        }
    }
    let now = owner.clock.now();
    ends.retain(|_, end| *end > now);
    let mut all_paid = true;
    for (contract, end) in &ends {
        if let Err(error) = owner.contracts.fund_further(*contract, *end).await {
            tracing::warn!(%contract, %error, "a contract could not be paid for any further yet");
            all_paid = false;
        }
    }
    extend(owner, ends).await;
    Ok(all_paid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_file_is_renewed_before_its_end_if_wished_and_removed_only_after_its_grace() {
        let (stored, end) = (Timestamp(0), Timestamp(90 * DAY));
        let at = |days: u64, renew| due(stored, end, renew, Timestamp(days * DAY), Timestamp(days * DAY));
        assert_eq!(at(10, true), Due::Nothing);
        assert_eq!(at(80, true), Due::Renew(Timestamp(170 * DAY)));
        assert_eq!(at(80, false), Due::Nothing);
        assert_eq!(at(119, false), Due::Nothing);
        assert_eq!(at(120, false), Due::Remove);
        assert_eq!(due(stored, end, false, Timestamp(400 * DAY), Timestamp(119 * DAY)), Due::Nothing);
        assert_eq!(at(130, true), Due::Renew(Timestamp(220 * DAY)), "a node that slept long renews still");
    }
}
