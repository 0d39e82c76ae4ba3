//! Placing one sealed segment: farmers chosen, the segment coded, and one attempt after the other until all its shards are
//! stored and under contract. How an attempt goes is in `attempt`, how one shard is sent in `sending`.
//!
//! Invariant: a placement is handed out only when all n shards are stored and under contract.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use hayloft_core::{
    DeviceId, SegmentId, Timestamp,
    content::{CodedSegment, Coder, CodingError, Layout},
    contract::quota_bytes,
    manifest::{PlacementRecord, SecretKey, Shard, sign_roots},
    placement::{self, PlacementError, Plan, Rule},
    presets::{Choice, Preset, choose},
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, OwnerError,
    attempt::Attempt,
    farmers::{Offer, group_sizes},
    sending::Shipment,
    tagging::tag_bytes,
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
    pub(crate) sealed: Vec<u8>,
}

/// Places a sealed segment. Only dropping the future, running out of farmers and a failing store end it without a
/// placement.
pub(crate) async fn place(
    owner: &Inner,
    segment: SegmentId,
    mut sealed: Vec<u8>,
    purpose: Purpose,
    sent: &Sent,
) -> Result<PlacementRecord, NotPlaced> {
    let mut failed = HashSet::new();
    let mut too_few = OwnerError::NoFarmers;
    for _ in 0..PLANS {
        let planned = plan(owner, sealed.len() as u64, purpose.preset, &failed).await;
        let (offers, choice, plan) = match planned {
            Ok(planned) => planned,
            Err(error) => return Err(NotPlaced { error, sealed }),
        };
        let coded = code(owner.coder(choice.coding), sealed).await;
        let coded = Arc::new(coded.map_err(|error| NotPlaced { error, sealed: Vec::new() })?);
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
            columns: coded.clone(),
        };
        sent.begin(shipment.bytes_sent() * u64::from(choice.coding.n()));
        let wanted = (0..choice.coding.n()).collect();
        let attempt = Attempt { shipment, wanted, plan: Mutex::new(plan) };
        let failed_before = failed.len();
        let result = attempt.run(&mut failed).await;
        sealed = match result {
            Ok(Some(shards)) => return Ok(record(owner, segment, &coded, outer_key, shards)),
            Ok(None) => {
                let needed = usize::from(choice.coding.n());
                let found = needed.saturating_sub(failed.len() - failed_before);
                too_few = OwnerError::TooFewFarmers { found, needed };
                coded.sealed().to_vec()
            }
            Err(error) => return Err(NotPlaced { error, sealed: coded.sealed().to_vec() }),
        };
    }
    Err(NotPlaced { error: too_few, sealed })
}

fn record(
    owner: &Inner,
    segment: SegmentId,
    coded: &CodedSegment,
    outer_key: SecretKey,
    mut shards: Vec<Shard>,
) -> PlacementRecord {
    shards.sort_unstable_by_key(|shard| shard.column);
    let catalog = &owner.catalog;
    PlacementRecord {
        segment,
        k: coded.coding().k(),
        n: coded.coding().n(),
        bytes: coded.layout().bytes(),
        outer_key,
        roots: coded.roots().to_vec(),
        signature: sign_roots(&catalog.keys.owner, &catalog.network, segment, coded),
        shards,
    }
}

async fn code(coder: Arc<Coder>, sealed: Vec<u8>) -> Result<CodedSegment, OwnerError> {
    let coding = move || coder.encode(sealed).map_err(OwnerError::Coding);
    tokio::task::spawn_blocking(coding).await.map_err(|_| OwnerError::Stopped)?
}

async fn plan(
    owner: &Inner,
    bytes: u64,
    preset: Preset,
    failed: &HashSet<DeviceId>,
) -> Result<(Vec<Offer>, Choice, Plan), OwnerError> {
    let mut offers = owner.farmers.offers(hayloft_core::presets::MAX_SHARDS).await;
    offers.retain(|offer| !failed.contains(&offer.record.device));
    let (choice, shard_bytes) = choice_for(&offers, bytes, preset)?;
    let rule = Rule { n: choice.coding.n(), group_limit: choice.group_limit, shard_bytes };
    let candidates: Vec<_> = offers.iter().map(|offer| offer.candidate.clone()).collect();
    let plan = placement::plan(&candidates, rule, &mut rand::rng()).map_err(too_few)?;
    Ok((offers, choice, plan))
}

/// The redundancy for the farmers that have room for the shards that it makes: the fewer farmers, the larger they are.
pub(crate) fn choice_for(offers: &[Offer], bytes: u64, preset: Preset) -> Result<(Choice, u64), OwnerError> {
    let mut shard_bytes = 1;
    loop {
        let choice = choose(preset, &group_sizes(offers, shard_bytes)).ok_or(OwnerError::NoFarmers)?;
        let layout = Layout::new(bytes, choice.coding.k()).map_err(CodingError::from)?;
        let wanted = quota_bytes(layout.shard_len() + tag_bytes(layout.shard_len()));
        if wanted <= shard_bytes {
            return Ok((choice, wanted));
        }
        shard_bytes = wanted;
    }
}

pub(super) fn too_few(error: PlacementError) -> OwnerError {
    match error {
        PlacementError::BadRule => OwnerError::NoFarmers,
        PlacementError::TooFewFarmers { needed, usable, .. } => {
            OwnerError::TooFewFarmers { found: usable, needed }
        }
        PlacementError::TooFewGroups { needed, possible, .. } => {
            OwnerError::TooFewFarmers { found: possible, needed }
        }
    }
}
