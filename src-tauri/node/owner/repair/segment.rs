//! Repairing one segment: its missing columns are had, checked against what their owner signed, sealed anew under new ids and
//! keys, placed with farmers that keep nothing of the segment yet, and named by its record. What they replace is removed
//! from its farmers afterwards.
//!
//! Invariants: until the record names the new shards the old ones stay as they are, and every shard that a farmer may have
//! of an attempt is written down; the record, the log and what is to be removed change in one write. Deliberately absent:
//! the keys of items: the outer key is enough.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::try_join_all;
use hayloft_core::{
    DeviceId, SegmentId, Timestamp,
    content::{Columns, SomeColumns},
    contract::quota_bytes,
    manifest::{PlacementRecord, RebuildError, Shard},
    placement::{self, Candidate, Plan, Rule, Seen, failure_groups},
    presets::{MAX_SHARDS, group_limit},
};
use hayloft_store::files::Removal;
use tokio_util::sync::CancellationToken;

use super::known::{Assessed, Known};
use crate::{
    jobs::Sent,
    owner::{
        Inner, OwnerError,
        attempt::Attempt,
        farmers::Offer,
        fetch::Fetcher,
        load::Load,
        lock,
        nobody::Nobody,
        opening::Sealed,
        sending::Shipment,
        upload::{Keep, PLANS, too_few},
    },
};

/// Behind all others comes a farmer whose own shard is being replaced.
const REPLACED: u32 = 1000;

/// How long whole columns that leave may take before any k are asked for too: so long, and longer by what they hold at this
/// pace.
const MOVING: Duration = Duration::from_secs(5);
const MOVING_BYTES_PER_SECOND: u64 = 64 * 1024;

/// What repairing a segment came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repaired {
    /// Shards that lie elsewhere now.
    pub(crate) shards: u32,
    /// Shards that still should.
    pub(crate) left: u32,
}

/// What is wished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) segment: SegmentId,
    /// A person asked: nobody is waited for.
    pub(crate) by_hand: bool,
    pub(crate) job: u32,
}

/// Repairs a segment as far as there are farmers for it. May be dropped at any time: what it has not named is given up by
/// whoever ends its job.
pub(crate) async fn repair_segment(
    owner: &Arc<Inner>,
    order: Order,
    known: &Known,
    sent: &Sent,
) -> Result<Repaired, OwnerError> {
    let now = owner.clock.now();
    let Some(until) = kept_until(owner, order.segment).await?.filter(|until| *until > now) else {
        return Ok(Repaired::default());
    };
    let placement = owner.catalog.placement(order.segment).await?;
    let assessed = known.assessed(placement, owner.repairs.patience, now)?;
    let wanted = assessed.wanted(order.by_hand);
    if wanted.is_empty() {
        return Ok(Repaired::default());
    }
    let columns: Arc<dyn Columns> = Arc::new(have(owner, &assessed, &wanted).await?);
    crash_point!(ColumnsRebuilt);
    let keep = Keep { until, job: Some(order.job) };
    let shards = place(owner, &assessed, known, columns, &wanted, keep, sent).await?;
    crash_point!(ColumnsPlaced);
    let repaired = Repaired {
        shards: u32::try_from(shards.len()).unwrap_or(u32::MAX),
        left: u32::try_from(wanted.len() - shards.len()).unwrap_or(u32::MAX),
    };
    // To the end, even if nobody waits any more: whoever reads the record next must read the new one.
    let (naming, placement) = (owner.clone(), assessed.placement.clone());
    let naming = tokio::spawn(async move { name(&naming, &placement, shards).await });
    naming.await.map_err(|_| OwnerError::Stopped)??;
    if order.by_hand {
        // All others have just answered.
        let alive = u32::from(assessed.placement.n).saturating_sub(repaired.left);
        lock(&owner.seen).insert(order.segment, u8::try_from(alive).unwrap_or(u8::MAX));
    }
    crash_point!(ColumnsNamed);
    Ok(repaired)
}

/// Until when the file of the segment is kept that is kept longest; none if it serves no file.
pub(crate) async fn kept_until(owner: &Inner, segment: SegmentId) -> Result<Option<Timestamp>, OwnerError> {
    let files = owner.catalog.store.files_in(segment).await?;
    Ok(files.iter().map(|file| file.keep_until).max())
}

/// The wanted columns: those that leave as they are, if that is all, else from any k.
async fn have(owner: &Arc<Inner>, assessed: &Assessed, wanted: &[u8]) -> Result<SomeColumns, OwnerError> {
    let (fetcher, _guard) = Fetcher::new(owner.clone());
    let placement = &assessed.placement;
    let rebuilt = rebuilt(&fetcher, assessed, wanted);
    match assessed.leaving(wanted).filter(|shards| shards.len() <= usize::from(placement.k)) {
        Some(leaving) => {
            let bytes = placement.layout()?.shard_len().saturating_mul(leaving.len() as u64);
            let patience = MOVING + Duration::from_secs(bytes / MOVING_BYTES_PER_SECOND);
            unless_late(moved(&fetcher, placement, &leaving), patience, rebuilt).await
        }
        None => rebuilt.await,
    }
}

/// What the first gives; once it has given nothing, or not for so long, what comes first of both.
async fn unless_late<T, E>(
    first: impl Future<Output = Option<T>>,
    patience: Duration,
    other: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::pin!(first);
    let in_time = tokio::time::timeout(patience, &mut first).await;
    match in_time {
        Ok(Some(given)) => Ok(given),
        Ok(None) => other.await,
        Err(_) => {
            tokio::pin!(other);
            tokio::select! {
                Some(given) = &mut first => Ok(given),
                given = &mut other => given,
            }
        }
    }
}

/// The wanted columns from any k.
async fn rebuilt(fetcher: &Fetcher, assessed: &Assessed, wanted: &[u8]) -> Result<SomeColumns, OwnerError> {
    let placement = &assessed.placement;
    let source = Arc::new(PlacementRecord { shards: assessed.here(), ..(**placement).clone() });
    let (all, bytes) = (0..placement.layout()?.stripes(), 0..placement.bytes);
    let columns = fetcher.stripes(&source, all, bytes).await?;
    let (coder, placement, wanted) = (columns.coder.clone(), placement.clone(), wanted.to_vec());
    let rebuilding = move || -> Result<SomeColumns, OwnerError> {
        let mut sealed = Vec::with_capacity(usize::try_from(placement.bytes).unwrap_or_default());
        Sealed::Coded(columns).each(|bytes| {
            sealed.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(placement.rebuild(&coder, sealed)?.only(&wanted))
    };
    tokio::task::spawn_blocking(rebuilding).await.map_err(|_| OwnerError::Stopped)?
}

/// Whole columns as their farmers send them; none if one does not come.
async fn moved(fetcher: &Fetcher, placement: &Arc<PlacementRecord>, shards: &[Shard]) -> Option<SomeColumns> {
    let layout = placement.layout().ok()?;
    let coming = shards.iter().map(|shard| fetcher.column(placement, &layout, shard, 0..layout.stripes()));
    let coming: Vec<_> = coming.collect();
    let came = try_join_all(coming).await.ok()?;
    let columns: BTreeMap<u8, Vec<u8>> = shards.iter().map(|shard| shard.column).zip(came).collect();
    let placement = placement.clone();
    let checked = tokio::task::spawn_blocking(move || placement.columns(columns)).await;
    checked.ok()?.ok()
}

/// Places as many of the wanted columns as there are farmers for.
async fn place(
    owner: &Inner,
    assessed: &Assessed,
    known: &Known,
    columns: Arc<dyn Columns>,
    wanted: &[u8],
    keep: Keep,
    sent: &Sent,
) -> Result<Vec<Shard>, OwnerError> {
    let placement = &assessed.placement;
    let mut failed = HashSet::new();
    let mut too_few = OwnerError::NoFarmers(Nobody::IsKnown);
    for round in 0..=PLANS {
        // More are looked for only if those at hand are too few.
        let want = if round == 0 { usize::from(placement.n) } else { MAX_SHARDS };
        let mut offers = owner.farmers.all_offers(want).await;
        offers.retain(|offer| owner.contracts.can_pay(&offer.record));
        offers.retain(|offer| {
            let farmer = offer.record.device;
            !failed.contains(&farmer) && !known.is_going(&farmer) && !owner.farmers.is_silent(farmer)
        });
        let plan = match plan(owner, placement, &columns, wanted, &offers) {
            Ok(plan) if plan.farmers().len() < wanted.len() && round == 0 => continue,
            Ok(plan) => plan,
            Err(_) if round == 0 => continue,
            Err(error) if failed.is_empty() => return Err(error),
            Err(_) => return Err(too_few),
        };
        let wanted: Vec<u8> = wanted.iter().copied().take(plan.farmers().len()).collect();
        let (needed, failed_before) = (wanted.len(), failed.len());
        let shipment = Shipment {
            owner,
            keep,
            segment: placement.segment,
            load: Load::Some(columns.clone()),
            outer_key: placement.outer_key.clone(),
            offers: &offers,
            tried: Mutex::default(),
            hopeless: CancellationToken::new(),
            sent,
        };
        sent.begin(shipment.bytes_sent() * needed as u64);
        let attempt = Attempt { shipment, wanted, plan: Mutex::new(plan) };
        if let Some(shards) = attempt.run(&mut failed).await? {
            return Ok(shards);
        }
        let found = needed.saturating_sub(failed.len() - failed_before);
        too_few = OwnerError::TooFewFarmers { found, needed };
    }
    Err(too_few)
}

/// Farmers for the wanted columns, or for as many of them as can be.
fn plan(
    owner: &Inner,
    placement: &PlacementRecord,
    columns: &Arc<dyn Columns>,
    wanted: &[u8],
    offers: &[Offer],
) -> Result<Plan, OwnerError> {
    let seen = |farmer: DeviceId| {
        let known = offers.iter().find(|offer| offer.record.device == farmer);
        known.map(|offer| offer.candidate.seen.clone()).unwrap_or_else(|| Seen {
            device: farmer,
            address: owner.net.address_of(farmer),
            operator: None,
        })
    };
    let (replaced, kept): (Vec<&Shard>, Vec<&Shard>) =
        placement.shards.iter().partition(|shard| wanted.contains(&shard.column));
    let replaced: Vec<Seen> = replaced.iter().map(|shard| seen(shard.farmer)).collect();
    let kept: Vec<Seen> = kept.iter().map(|shard| seen(shard.farmer)).collect();
    let was: BTreeSet<DeviceId> = replaced.iter().map(|seen| seen.device).collect();
    let candidates = offers.iter().map(|offer| {
        let again = u32::from(was.contains(&offer.record.device)) * REPLACED;
        Candidate { demerits: offer.candidate.demerits.saturating_add(again), ..offer.candidate.clone() }
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let shard_bytes = columns.layout().shard_len();
    let shard_bytes = quota_bytes(shard_bytes + owner.tagging.tag_bytes(shard_bytes));
    let group_limit = limit(placement, &kept, &replaced, &candidates)?;
    let mut refused = OwnerError::NoFarmers(Nobody::IsKnown);
    for more in (1..=wanted.len()).rev() {
        let n = u8::try_from(kept.len() + more).map_err(|_| OwnerError::NoFarmers(Nobody::IsKnown))?;
        let rule = Rule { n, group_limit, shard_bytes };
        match placement::plan_beside(&kept, &candidates, rule, &mut rand::rng()) {
            Ok(plan) => return Ok(plan),
            Err(error) if more == wanted.len() => refused = too_few(error),
            Err(_) => {}
        }
    }
    Err(refused)
}

/// No group gets more shards than may be lost, or than it had.
fn limit(
    placement: &PlacementRecord,
    kept: &[Seen],
    replaced: &[Seen],
    candidates: &[Candidate],
) -> Result<u8, OwnerError> {
    let others = candidates.iter().map(|candidate| &candidate.seen);
    let all: Vec<&Seen> = kept.iter().chain(replaced).chain(others).collect();
    let groups = failure_groups(&all);
    let distinct = groups.iter().collect::<BTreeSet<_>>().len();
    let mut held: BTreeMap<usize, u8> = BTreeMap::new();
    for group in groups.iter().take(kept.len() + replaced.len()) {
        *held.entry(*group).or_default() += 1;
    }
    let had = held.into_values().max().unwrap_or_default();
    Ok(group_limit(placement.coding()?, distinct).max(had))
}

/// Names the new shards in the segment's record, and writes those that they replace down for removal.
async fn name(owner: &Inner, before: &PlacementRecord, new: Vec<Shard>) -> Result<(), OwnerError> {
    let columns: HashSet<u8> = new.iter().map(|shard| shard.column).collect();
    let placed: Vec<_> = new.iter().map(|shard| shard.id).collect();
    let (gone, stay): (Vec<Shard>, Vec<Shard>) =
        before.shards.iter().cloned().partition(|shard| columns.contains(&shard.column));
    let gone: Vec<Removal> = gone
        .iter()
        .map(|shard| Removal { farmer: shard.farmer, contract: shard.contract, shard: shard.id })
        .collect();
    let mut shards = [stay, new].concat();
    shards.sort_unstable_by_key(|shard| shard.column);
    let record = PlacementRecord { shards, ..before.clone() };
    let changing = owner.catalog.changing().await;
    owner.catalog.move_shards(record, &placed, &gone).await?;
    drop(changing);
    lock(&owner.seen).remove(&before.segment);
    owner.removals.notify_one();
    Ok(())
}

impl From<RebuildError> for OwnerError {
    fn from(error: RebuildError) -> Self {
        Self::Damaged(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{pending, ready},
    };

    use tokio::time::{Instant, sleep};

    use super::*;

    async fn after(seconds: u64, given: &'static str) -> Result<&'static str, Infallible> {
        sleep(Duration::from_secs(seconds)).await;
        Ok(given)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_leaves_and_drips_holds_up_no_repair() {
        let begun = Instant::now();
        assert_eq!(unless_late(pending(), MOVING, after(1, "rebuilt")).await, Ok("rebuilt"));
        assert_eq!(begun.elapsed(), MOVING + Duration::from_secs(1));
        let slow = async { after(6, "moved").await.ok() };
        assert_eq!(
            unless_late(slow, MOVING, after(60, "rebuilt")).await,
            Ok("moved"),
            "whatever comes first"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_else_is_asked_for_while_what_leaves_comes_in_time() {
        let begun = std::cell::Cell::new(false);
        let other = async {
            begun.set(true);
            after(0, "rebuilt").await
        };
        let quick = async { after(4, "moved").await.ok() };
        assert_eq!(unless_late(quick, MOVING, other).await, Ok("moved"));
        assert!(!begun.get());
        assert_eq!(unless_late(ready(None), MOVING, after(0, "rebuilt")).await, Ok("rebuilt"));
    }
}
