//! Placing one sealed segment: farmers chosen, the segment coded, and one attempt after the other until all its shards are
//! stored and under contract. How an attempt goes is in `attempt`, how one shard is sent in `sending`.
//!
//! Invariant: a placement is handed out only when all n shards are stored and under contract.

use std::{collections::HashSet, sync::Mutex};

use hayloft_core::{
    Amount, DeviceId, SegmentId, Timestamp,
    content::{CodedSegment, CodingError, Layout},
    contract::quota_bytes,
    manifest::{PlacementRecord, SecretKey, Shard, sign_roots},
    placement::{self, PlacementError, Plan, Rule},
    presets::{Choice, MAX_SHARDS, Preset, choose},
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, OwnerError,
    attempt::Attempt,
    farmers::{Offer, group_sizes},
    load::{Coded, Load},
    nobody::Nobody,
    room::Place,
    sending::Shipment,
    tagging::Tagging,
};
use crate::jobs::Sent;

/// How often a segment is planned anew when its farmers fail and no spare is left.
pub(super) const PLANS: usize = 4;

/// What a segment is placed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    /// How much redundancy.
    pub(crate) preset: Preset,
    /// For how long, and by whom.
    pub(crate) keep: Keep,
    /// For a TB-month; farmers who ask more are not drawn.
    pub(crate) most: Option<Amount>,
}

/// For how long shards are placed, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// Until when they are kept at least.
    pub(crate) until: Timestamp,
    /// The job that places them.
    pub(crate) job: Option<u32>,
}

/// A segment that could not be placed: its sealed bytes may be tried again.
pub(crate) struct NotPlaced {
    pub(crate) error: OwnerError,
    /// None if they are lost.
    pub(crate) sealed: Option<(Vec<u8>, Place)>,
}

impl NotPlaced {
    fn lost(error: OwnerError) -> Self {
        Self { error, sealed: None }
    }
}

/// Places a sealed segment that has this place in memory. Only dropping the future, running out of farmers, and a disk or
/// store that fails end it without a placement.
pub(crate) async fn place(
    owner: &Inner,
    segment: SegmentId,
    mut sealed: Vec<u8>,
    purpose: Purpose,
    sent: &Sent,
    mut place: Place,
) -> Result<PlacementRecord, NotPlaced> {
    let keys = &owner.catalog.keys.owner;
    let sign = |coded: &CodedSegment| sign_roots(keys, &owner.catalog.network, segment, coded);
    let mut failed = HashSet::new();
    let mut too_few = OwnerError::NoFarmers(Nobody::IsKnown);
    for _ in 0..PLANS {
        let planned = plan(owner, sealed.len() as u64, purpose, &failed).await;
        let (offers, choice, plan) = match planned {
            Ok(planned) => planned,
            Err(error) => return Err(NotPlaced { error, sealed: Some((sealed, place)) }),
        };
        let farmers: Vec<DeviceId> = plan.farmers().collect();
        let shard_bytes = quota_bytes(sealed.len() as u64 / u64::from(choice.coding.k().max(1)) + 1);
        let before = failed.len();
        let prepared = owner.contracts.prepare(&offers, &farmers, shard_bytes, &mut failed).await;
        if let Err(error) = prepared {
            return Err(NotPlaced { error: error.into(), sealed: Some((sealed, place)) });
        }
        if failed.len() > before {
            let needed = usize::from(choice.coding.n());
            too_few =
                OwnerError::TooFewFarmers { found: needed.saturating_sub(failed.len() - before), needed };
            continue;
        }
        let (store, coder) = (&owner.catalog.store, owner.coder(choice.coding));
        let coded = Coded::new(store, coder, sealed, place, sign).await.map_err(NotPlaced::lost)?;
        let outer_key = SecretKey::random(&mut rand::rng());
        let shipment = Shipment {
            owner,
            keep: purpose.keep,
            segment,
            outer_key: outer_key.clone(),
            offers: &offers,
            tried: Mutex::default(),
            hopeless: CancellationToken::new(),
            sent,
            load: Load::All(&coded),
        };
        sent.begin(shipment.bytes_sent() * u64::from(choice.coding.n()));
        let wanted = (0..choice.coding.n()).collect();
        let attempt = Attempt { shipment, wanted, plan: Mutex::new(plan) };
        let failed_before = failed.len();
        let result = attempt.run(&mut failed).await;
        drop(attempt);
        if let Ok(Some(shards)) = result {
            return Ok(record(segment, &coded, outer_key, shards));
        }
        (sealed, place) = coded.into_sealed().await.map_err(NotPlaced::lost)?;
        if let Err(error) = result {
            return Err(NotPlaced { error, sealed: Some((sealed, place)) });
        }
        let needed = usize::from(choice.coding.n());
        let found = needed.saturating_sub(failed.len() - failed_before);
        too_few = OwnerError::TooFewFarmers { found, needed };
    }
    Err(NotPlaced { error: too_few, sealed: Some((sealed, place)) })
}

fn record(
    segment: SegmentId,
    coded: &Coded<'_>,
    outer_key: SecretKey,
    mut shards: Vec<Shard>,
) -> PlacementRecord {
    shards.sort_unstable_by_key(|shard| shard.column);
    PlacementRecord {
        segment,
        k: coded.coding().k(),
        n: coded.coding().n(),
        bytes: coded.layout().bytes(),
        outer_key,
        roots: coded.roots().to_vec(),
        signature: coded.signature(),
        shards,
    }
}

async fn plan(
    owner: &Inner,
    bytes: u64,
    purpose: Purpose,
    failed: &HashSet<DeviceId>,
) -> Result<(Vec<Offer>, Choice, Plan), OwnerError> {
    let offers = payable(owner, failed, purpose.most).await?;
    let (choice, plan) = placed(&offers, bytes, purpose.preset, &owner.tagging)?;
    Ok((offers, choice, plan))
}

/// Who of these would get the shards of a segment of so many bytes: what a person is quoted is drawn like this; a put draws again.
pub(crate) fn placed(
    offers: &[Offer],
    bytes: u64,
    preset: Preset,
    tagging: &Tagging,
) -> Result<(Choice, Plan), OwnerError> {
    let (choice, shard_bytes) = choice_for(offers, bytes, preset, tagging)?;
    let rule = Rule { n: choice.coding.n(), group_limit: choice.group_limit, shard_bytes };
    let candidates: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let plan = placement::plan(&candidates, rule, &mut rand::rng()).map_err(too_few)?;
    Ok((choice, plan))
}

/// Offers that this owner can pay for, of farmers that did not fail and ask no more than was agreed to for a TB-month.
///
/// # Errors
/// [`OwnerError::NoFarmers`] that says why there is none.
pub(crate) async fn payable(
    owner: &Inner,
    failed: &HashSet<DeviceId>,
    most: Option<Amount>,
) -> Result<Vec<Offer>, OwnerError> {
    let mut offers = owner.farmers.offers(MAX_SHARDS).await;
    let known = offers.len();
    offers.retain(|offer| !failed.contains(&offer.record.device));
    if offers.is_empty() && known > 0 {
        return Err(OwnerError::NoFarmers(Nobody::Answers { farmers: known }));
    }
    let farmers = offers.len();
    offers.retain(|offer| owner.contracts.can_pay(&offer.record));
    match (farmers, offers.len()) {
        (1.., 0) => return Err(OwnerError::NoFarmers(owner.contracts.why_not_paid(farmers))),
        (_, farmers) => {
            offers.retain(|offer| most.is_none_or(|most| offer.record.storage_price <= most));
            if offers.is_empty() && farmers > 0 {
                return Err(OwnerError::NoFarmers(Nobody::KeepsToThePrice { farmers }));
            }
        }
    }
    Ok(offers)
}

/// The redundancy for the farmers that have room for the shards that it makes: the fewer farmers, the larger they are.
pub(crate) fn choice_for(
    offers: &[Offer],
    bytes: u64,
    preset: Preset,
    tagging: &Tagging,
) -> Result<(Choice, u64), OwnerError> {
    let mut shard_bytes = 1;
    loop {
        let choice = choose(preset, &group_sizes(offers, shard_bytes))
            .ok_or_else(|| OwnerError::NoFarmers(Nobody::of(offers, shard_bytes)))?;
        let layout = Layout::new(bytes, choice.coding.k()).map_err(CodingError::from)?;
        let wanted = quota_bytes(layout.shard_len() + tagging.tag_bytes(layout.shard_len()));
        if wanted <= shard_bytes {
            return Ok((choice, wanted));
        }
        shard_bytes = wanted;
    }
}

pub(super) fn too_few(error: PlacementError) -> OwnerError {
    match error {
        PlacementError::BadRule => OwnerError::NoFarmers(Nobody::IsKnown),
        PlacementError::TooFewFarmers { needed, usable, .. } => {
            OwnerError::TooFewFarmers { found: usable, needed }
        }
        PlacementError::TooFewGroups { needed, possible, .. } => {
            OwnerError::TooFewFarmers { found: possible, needed }
        }
    }
}
