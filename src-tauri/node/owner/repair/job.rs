//! One repair: of a file because a person asks, or of everything that is due.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use futures::{StreamExt, stream::FuturesUnordered};
use hayloft_core::{DeviceId, SegmentId, ShardId};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Known, assessed, due,
    segment::{Order, Repaired, repair_segment},
};
use crate::{
    jobs::{JobContext, Run, Sent},
    model::RepairReport,
    owner::{Inner, OwnerError, health::probe, patience::Patience, put::placements_of, remove, survey},
};

/// Segments that one job repairs at once.
const AT_ONCE: usize = 2;
const WAITING: &str = "Waiting for farmers that take new data.";

/// What a repair is about.
struct Work {
    /// Segments, in this order, with their bytes.
    segments: Vec<(SegmentId, u64)>,
    /// Shards that did not answer just now.
    missing: Vec<ShardId>,
    by_hand: bool,
}

/// Repairs a file; or all that is due, until nothing is. May be dropped at any time and begun again with the same job.
pub(crate) async fn repair(
    owner: &Arc<Inner>,
    name: Option<&str>,
    context: &JobContext,
) -> Result<RepairReport, OwnerError> {
    let started = Instant::now();
    let mut report = RepairReport {
        name: name.map(str::to_owned),
        segments: 0,
        shards: 0,
        bytes: 0,
        left_shards: 0,
        seconds: 0.0,
    };
    match name {
        Some(name) => by_hand(owner, name, context, &mut report).await?,
        // What could not be repaired is tried again, for as long as it is due.
        None => while_due(owner, context, &mut report).await?,
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// One that goes on after a restart waits for farmers; one that a person has just asked for says what is wrong, unless the
/// node has only just started.
async fn by_hand(
    owner: &Arc<Inner>,
    name: &str,
    context: &JobContext,
    report: &mut RepairReport,
) -> Result<(), OwnerError> {
    let goes_on = context.run == Run::GoneOn;
    let mut patience = Patience::new(goes_on, owner.started);
    let (mut total, mut again) = (0, goes_on);
    loop {
        let (work, before) = (of_file(owner, name, again).await?, report.shards);
        let Some(error) = round(owner, &work, context, &mut total, report).await? else { return Ok(()) };
        if !(error.is_for_want_of_answers() && patience.lasts(report.shards > before)) {
            return Err(error);
        }
        report.left_shards = 0;
        again = true;
        context.progress.say(Some(format!("Waiting for farmers. {error}")));
        patience.wait().await;
        context.progress.say(None);
    }
}

async fn while_due(
    owner: &Arc<Inner>,
    context: &JobContext,
    report: &mut RepairReport,
) -> Result<(), OwnerError> {
    let mut total = 0;
    while let Some(work) = all_due(owner).await? {
        if work.segments.is_empty() {
            context.progress.say(Some(WAITING.into()));
            owner.repairs.next_round().await;
            context.progress.say(None);
            continue;
        }
        report.left_shards = 0;
        if let Some(error) = round(owner, &work, context, &mut total, report).await? {
            tracing::info!(%error, "not everything could be repaired");
        }
    }
    Ok(())
}

/// Repairs what a list names; gives the first failure.
async fn round(
    owner: &Arc<Inner>,
    work: &Work,
    context: &JobContext,
    total: &mut u64,
    report: &mut RepairReport,
) -> Result<Option<OwnerError>, OwnerError> {
    let ids: Vec<SegmentId> = work.segments.iter().map(|(segment, _)| *segment).collect();
    let _planned = owner.repairs.plan(&ids);
    *total += work.segments.iter().map(|(_, bytes)| bytes).sum::<u64>();
    context.progress.expect(*total, 1);
    context.progress.settle(0, 0);
    let failure = run(owner, work, context, report).await?;
    remove::leave_attempts(owner, |placing| placing.job == Some(context.job)).await?;
    owner.files_changed();
    Ok(failure)
}

/// All segments of a file, as its farmers say now. Who did not answer just before is asked only if `again`.
async fn of_file(owner: &Arc<Inner>, name: &str, again: bool) -> Result<Work, OwnerError> {
    let record = owner.catalog.file(name).await?;
    let placements = placements_of(owner, &record).await?;
    let farmers: HashSet<DeviceId> =
        placements.iter().flat_map(|placement| &placement.shards).map(|shard| shard.farmer).collect();
    if again {
        // A node that has just started must find them first.
        owner.farmers.all_offers(farmers.len()).await;
    }
    let asked = |farmer: &DeviceId| farmers.contains(farmer) && (again || !owner.farmers.is_silent(*farmer));
    survey::look(owner, asked).await?;
    let mut missing = Vec::new();
    let mut lacking: HashMap<SegmentId, usize> = HashMap::new();
    for (placement, shard, there) in probe(owner, &placements, again).await {
        if !there {
            missing.push(shard.id);
            *lacking.entry(placement.segment).or_default() += 1;
        }
    }
    let mut segments: Vec<(SegmentId, u64)> =
        placements.iter().map(|placement| (placement.segment, placement.bytes)).collect();
    segments.sort_by_key(|(segment, _)| std::cmp::Reverse(lacking.get(segment).copied().unwrap_or(0)));
    Ok(Work { segments, missing, by_hand: true })
}

/// What may be repaired now of what is due; none if nothing is.
async fn all_due(owner: &Arc<Inner>) -> Result<Option<Work>, OwnerError> {
    let assessed = assessed(owner).await?;
    let all = due(&assessed);
    owner.repairs.are_due(&all);
    if all.is_empty() {
        return Ok(None);
    }
    let bytes: HashMap<SegmentId, u64> =
        assessed.iter().map(|assessed| (assessed.placement.segment, assessed.placement.bytes)).collect();
    let due = all.into_iter().filter(|segment| owner.repairs.may_try(segment));
    let segments = due.map(|segment| (segment, bytes.get(&segment).copied().unwrap_or(0)));
    Ok(Some(Work { segments: segments.collect(), missing: Vec::new(), by_hand: false }))
}

/// Repairs one after the other, few at once; gives the first failure. Tasks of their own: one that waits for the database
/// must never hold up another that has it.
async fn run(
    owner: &Arc<Inner>,
    work: &Work,
    context: &JobContext,
    report: &mut RepairReport,
) -> Result<Option<OwnerError>, OwnerError> {
    let mut left = work.segments.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        while running.len() < AT_ONCE
            && let Some((segment, bytes)) = left.next()
        {
            let (owner, missing) = (owner.clone(), work.missing.clone());
            let order = Order { segment, by_hand: work.by_hand, job: context.job };
            let sent = Arc::new(Sent::default());
            context.progress.moving(bytes, &sent);
            let repairing = context.tasks.spawn(async move {
                let result = repair_one(&owner, order, missing, &sent).await;
                (segment, bytes, sent, result)
            });
            running.push(AbortOnDropHandle::new(repairing));
        }
        let Some(ended) = running.next().await else { return Ok(failure) };
        let (segment, bytes, sent, result) = ended.map_err(|_| OwnerError::Stopped)?;
        context.progress.arrived(bytes, &sent);
        match result {
            Ok(Repaired { shards, left }) => {
                report.segments += u32::from(shards > 0);
                report.shards += shards;
                report.left_shards += left;
                report.bytes += if shards > 0 { bytes } else { 0 };
                if left == 0 {
                    owner.repairs.repaired(segment);
                } else {
                    owner.repairs.could_not(segment);
                    let (left, all) = (left as usize, (left + shards) as usize);
                    failure.get_or_insert(OwnerError::TooFewFarmers { found: all - left, needed: all });
                }
            }
            Err(error @ (OwnerError::Store(_) | OwnerError::Database(_) | OwnerError::Stopped)) => {
                return Err(error);
            }
            Err(error) => {
                tracing::info!(%segment, %error, "a segment is repaired later");
                owner.repairs.could_not(segment);
                failure.get_or_insert(error);
            }
        }
    }
}

async fn repair_one(
    owner: &Arc<Inner>,
    order: Order,
    missing: Vec<ShardId>,
    sent: &Sent,
) -> Result<Repaired, OwnerError> {
    let _claim = owner.repairs.claim(order.segment).await;
    let known = Known::load(owner).await?.without(missing);
    match repair_segment(owner, order, &known, sent).await {
        // Its files were removed or rewritten meanwhile.
        Err(error) if error.is_of_a_segment_gone() => Ok(Repaired::default()),
        result => result,
    }
}
