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
    manifest::{PlacementRecord, SecretKey},
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
const PLANS: usize = 4;

/// What a segment is placed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    /// How much redundancy.
    pub(crate) preset: Preset,
    /// Until when it is kept at least.
    pub(crate) until: Timestamp,
    /// The job that places it.
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
        let farmers: Vec<DeviceId> = plan.farmers().collect();
        let shard_bytes = quota_bytes(sealed.len() as u64 / u64::from(choice.coding.k().max(1)) + 1);
        let before = failed.len();
        let prepared = owner.contracts.prepare(&offers, &farmers, shard_bytes, &mut failed).await;
        if let Err(error) = prepared {
            return Err(NotPlaced { error: error.into(), sealed });
        }
        if failed.len() > before {
            let needed = usize::from(choice.coding.n());
            too_few =
                OwnerError::TooFewFarmers { found: needed.saturating_sub(failed.len() - before), needed };
            continue;
        }
        let coded = code(owner.coder(choice.coding), sealed).await;
        let coded = Arc::new(coded.map_err(|error| NotPlaced { error, sealed: Vec::new() })?);
        let shipment = Shipment {
            owner,
            purpose,
            segment,
            outer_key: SecretKey::random(&mut rand::rng()),
            offers: &offers,
            tried: Mutex::default(),
            hopeless: CancellationToken::new(),
            sent,
            coded,
        };
        sent.begin(shipment.bytes_sent() * u64::from(choice.coding.n()));
        let attempt = Attempt { shipment, plan: Mutex::new(plan) };
        let failed_before = failed.len();
        let result = attempt.run(&mut failed).await;
        sealed = match result {
            Ok(Some(placement)) => return Ok(placement),
            Ok(None) => {
                let needed = usize::from(choice.coding.n());
                let found = needed.saturating_sub(failed.len() - failed_before);
                too_few = OwnerError::TooFewFarmers { found, needed };
                attempt.shipment.coded.sealed().to_vec()
            }
            Err(error) => return Err(NotPlaced { error, sealed: attempt.shipment.coded.sealed().to_vec() }),
        };
    }
    Err(NotPlaced { error: too_few, sealed })
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
    offers.retain(|offer| !failed.contains(&offer.record.device) && owner.contracts.can_pay(&offer.record));
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

fn too_few(error: PlacementError) -> OwnerError {
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
