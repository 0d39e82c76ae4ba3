//! Repair: segments that have lost shards get new ones with other farmers, by itself when enough are gone, or because a
//! person asks. What is due is decided in `core::repair` from what [`known`] puts together; [`segment`] repairs one segment; a
//! job does so for many, the most endangered first.
//!
//! Invariants: one segment is repaired by one job at a time; few are in memory at once.

mod desk;
mod job;
mod known;
mod segment;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use hayloft_core::{
    DeviceId, SegmentId,
    alarm::Alarm,
    repair::{Danger, Need},
};
use hayloft_store::files::StoredFile;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::{
    desk::Desk,
    job::repair,
    known::{Assessed, Known},
};
use super::{Inner, OwnerError, health, lock, survey};
use crate::{
    jobs::{Jobs, Spec},
    model::{Event, HealthWord},
    notices,
};

/// After a start, farmers are looked for before any of them is missed.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Nothing is looked at again sooner than this, however often somebody wakes.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// Looks after all segments for as long as the node runs.
pub(crate) async fn keep_repairing(owner: Arc<Inner>, jobs: Jobs) {
    let mut next_look = Instant::now() + owner.repairs.every.min(FIRST_LOOK);
    let mut next = next_look;
    let mut found = owner.net.farmers_changed();
    let mut farmers = owner.net.farmers().len();
    loop {
        tokio::select! {
            () = owner.repairs.woken() => {}
            () = sleep_until(next) => {}
            Ok(()) = found.changed() => {
                let now = owner.net.farmers().len();
                if now > std::mem::replace(&mut farmers, now) {
                    owner.repairs.try_again();
                }
                if let Err(error) = look_for_the_absent(&owner).await {
                    tracing::warn!(%error, "farmers that are back could not be asked");
                }
                tokio::time::sleep(LEAST_PAUSE).await;
                continue;
            }
        }
        let all = Instant::now() >= next_look;
        if all {
            next_look = Instant::now() + owner.repairs.every;
        }
        let due = look_after(&owner, &jobs, all).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is to be repaired could not be worked out");
            None
        });
        next = due.map_or(next_look, |due| due.min(next_look));
        tokio::time::sleep(LEAST_PAUSE).await;
    }
}

/// One look at everything; when the next thing is due, if that is known.
pub(super) async fn look_after(
    owner: &Arc<Inner>,
    jobs: &Jobs,
    all: bool,
) -> Result<Option<Instant>, OwnerError> {
    if all {
        survey::look_at_all(owner).await?;
    }
    let assessed = assessed(owner).await?;
    warn(owner, &assessed).await?;
    let due = due(&assessed);
    if owner.repairs.automatic && !due.is_empty() && owner.repairs.may_begin() && jobs.begin_repair().await? {
        tracing::info!(segments = due.len(), "segments are repaired");
    }
    let now = owner.clock.now();
    let ends = assessed.iter().filter_map(|assessed| match assessed.assessment.need {
        Need::Watch { until } => until,
        _ => None,
    });
    Ok(ends.min().map(|end| Instant::now() + Duration::from_secs(end.seconds_since(now).max(1))))
}

/// Farmers that were away and have been found again.
async fn look_for_the_absent(owner: &Inner) -> Result<(), OwnerError> {
    let presences = owner.catalog.store.presences().await?;
    let there: HashSet<DeviceId> = owner.net.farmers().iter().map(|farmer| farmer.device).collect();
    let back = |farmer: &DeviceId| {
        there.contains(farmer) && presences.get(farmer).is_some_and(|presence| presence.absent.is_some())
    };
    if presences.keys().any(&back) { survey::look(owner, back).await } else { Ok(()) }
}

/// All segments that serve files, as they stand.
pub(crate) async fn assessed(owner: &Inner) -> Result<Vec<Assessed>, OwnerError> {
    let known = Known::load(owner).await?;
    let now = owner.clock.now();
    let mut kept: HashSet<SegmentId> = HashSet::new();
    for file in owner.catalog.store.files().await? {
        if file.keep_until > now {
            kept.extend(file.segments.iter().map(|part| part.segment));
        }
    }
    let mut assessed = Vec::new();
    for segment in owner.catalog.store.segments().await? {
        if kept.contains(&segment.segment) {
            let Some(placement) = owner.catalog.readable_placement(&segment) else { continue };
            assessed.push(known.assessed(placement, owner.repairs.patience, now)?);
        }
    }
    Ok(assessed)
}

/// What is to be repaired, the most endangered first.
fn due(assessed: &[Assessed]) -> Vec<SegmentId> {
    let due = assessed.iter().filter_map(|assessed| match assessed.assessment.need {
        Need::Due(danger) => Some((danger, assessed.placement.segment)),
        _ => None,
    });
    let mut due: Vec<(Danger, SegmentId)> = due.collect();
    due.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    due.into_iter().map(|(_, segment)| segment).collect()
}

/// Tells once of each file that is in danger; again only after it was not.
async fn warn(owner: &Inner, assessed: &[Assessed]) -> Result<(), OwnerError> {
    let mut segments: BTreeMap<SegmentId, Alarm> = BTreeMap::new();
    for Assessed { placement, assessment, .. } in assessed {
        let here = u8::try_from(assessment.present + assessment.leaving).unwrap_or(u8::MAX);
        let alarm = match health::word(here, placement.k, placement.n) {
            HealthWord::Danger if placement.n > 1 => Alarm::InDanger,
            HealthWord::Lost if placement.n > 1 => Alarm::OutOfReach,
            _ => continue,
        };
        segments.insert(placement.segment, alarm);
    }
    let store = &owner.catalog.store;
    let before = store.alarms().await?;
    let mut alarms = before.clone();
    let files = if segments.is_empty() { Vec::new() } else { store.files().await? };
    let alarm = |file: &StoredFile| file.segments.iter().filter_map(|part| segments.get(&part.segment)).max();
    let now = files.iter().filter_map(|file| Some((file.file, *alarm(file)?))).collect();
    let due = alarms.due(&now);
    for file in &files {
        let Some(alarm) = due.get(&file.file) else { continue };
        let Some(record) = owner.catalog.readable(file) else { continue };
        let notice = Event::Notice(notices::of_danger(&record.name, *alarm, owner.repairs.automatic));
        // Where no front end listens, it is told later.
        if owner.events.send(notice).is_ok() {
            alarms.told(file.file, *alarm);
        }
    }
    if alarms != before {
        store.keep_alarms(&alarms).await?;
    }
    Ok(())
}

/// Begins to repair a file because a person asks.
pub(crate) async fn by_hand(owner: &Inner, jobs: &Jobs, name: String) -> Result<u32, OwnerError> {
    owner.catalog.file(&name).await?;
    jobs.begin(Spec::Repair { name: Some(name) }).await
}

/// Whether some of these segments are being repaired or wait for their turn.
pub(crate) fn is_under_way(owner: &Inner, segments: impl IntoIterator<Item = SegmentId>) -> bool {
    let planned = lock(&owner.repairs.planned);
    segments.into_iter().any(|segment| planned.contains_key(&segment))
}
