//! What a put would do and cost, and everything it can be refused for before it begins.

use std::collections::HashSet;

use hayloft_core::{
    Amount, DeviceId,
    presets::{Caution, Preset},
    record::FarmerRecord,
};

use super::{
    Inner, OwnerError,
    funding::Locks,
    put::scan_paths,
    scan::Scan,
    sources::names_taken,
    upload::{payable, placed},
};
use crate::model::{PresetName, PutRequest, Quote};

const DAY_SECONDS: u64 = 24 * 60 * 60;
const SHORTEST_KEEP_SECONDS: u64 = DAY_SECONDS;
/// A contract's end may lie at most five years ahead, leap days included.
const LONGEST_KEEP_SECONDS: u64 = 5 * 366 * DAY_SECONDS - DAY_SECONDS;
/// A segment as large as any that a put makes.
const LARGEST_SEGMENT: u64 = hayloft_core::content::TARGET_SEGMENT_QUICK as u64;
const MONTH_SECONDS: u64 = 30 * DAY_SECONDS;

pub(crate) fn preset(name: PresetName) -> Preset {
    match name {
        PresetName::Economy => Preset::Economy,
        PresetName::Standard => Preset::Standard,
        PresetName::Safe => Preset::Safe,
    }
}

/// Refuses a wish to keep files for no time or too long.
pub(crate) fn check_keep(keep_seconds: u64) -> Result<(), OwnerError> {
    let allowed = SHORTEST_KEEP_SECONDS..=LONGEST_KEEP_SECONDS;
    if allowed.contains(&keep_seconds) { Ok(()) } else { Err(OwnerError::WrongKeep) }
}

/// Looks at the disk and the list of files, and refuses what cannot be done.
pub(crate) async fn check(owner: &Inner, request: &PutRequest) -> Result<Scan, OwnerError> {
    check_keep(request.keep_seconds)?;
    let found = scan_paths(request).await?;
    if !request.replace {
        let taken = names_taken(owner, &found.sources).await?;
        // Files of equal length may be the same: the job compares them by their hash.
        let other = |source: &&super::scan::Source| {
            taken.get(&source.name).is_some_and(|record| record.bytes != source.stamp.bytes)
        };
        if let Some(source) = found.sources.iter().find(other) {
            return Err(OwnerError::NameTaken(source.name.clone()));
        }
    }
    Ok(found)
}

/// What the request would do.
pub(crate) async fn quote(owner: &Inner, request: &PutRequest) -> Result<Quote, OwnerError> {
    let found = check(owner, request).await?;
    let offers = payable(owner, &HashSet::new(), request.price.map(Amount)).await?;
    let bytes = found.bytes();
    let segment = bytes.clamp(1, LARGEST_SEGMENT);
    let (choice, plan) = placed(&offers, segment, preset(request.preset), &owner.tagging)?;
    let stored_bytes = (bytes as f64 * choice.price_factor).ceil() as u64;
    let chosen: HashSet<DeviceId> = plan.farmers().collect();
    let chosen: Vec<&FarmerRecord> =
        offers.iter().map(|offer| &offer.record).filter(|offer| chosen.contains(&offer.device)).collect();
    let dearest = chosen.iter().map(|offer| offer.storage_price).max().unwrap_or_default();
    let monthly_price = dearest.for_storage(stored_bytes, MONTH_SECONDS).unwrap_or(Amount(u64::MAX));
    let total_price = dearest.for_storage(stored_bytes, request.keep_seconds).unwrap_or(Amount(u64::MAX));
    let locks = match dearest {
        Amount(0) => Locks::default(),
        _ => owner.contracts.locks(&chosen, stored_bytes / u64::from(choice.coding.n().max(1)) + 1).await?,
    };
    let free_bytes = offers.iter().map(|offer| offer.record.free_bytes).fold(0, u64::saturating_add);
    let cautions = choice.cautions.iter().map(|caution| sentence(*caution).to_owned());
    Ok(Quote {
        files: found.sources.len() as u64,
        bytes,
        stored_bytes,
        k: choice.coding.k(),
        n: choice.coding.n(),
        price: dearest.0,
        monthly_price: monthly_price.0,
        total_price: total_price.0,
        locked: locks.locked.0,
        reserves: locks.reserves.0,
        paid_until: locks.paid_until.map(|at| at.0),
        returns: locks.returns.map(|at| at.0),
        loss_odds: choice.loss_odds,
        warnings: cautions.chain(beyond(stored_bytes, free_bytes)).chain(found.warnings()).collect(),
    })
}

/// What is said of a put for which the farmers seen have no room.
fn beyond(stored_bytes: u64, free_bytes: u64) -> Option<String> {
    let gib = |bytes: u64| bytes.div_ceil(1 << 30);
    (stored_bytes > free_bytes).then(|| {
        format!(
            "This takes {} GiB on farmers' disks, and the farmers seen now offer less ({} GiB): it waits for more farmers \
             when these are full.",
            gib(stored_bytes),
            free_bytes >> 30
        )
    })
}

fn sentence(caution: Caution) -> &'static str {
    match caution {
        Caution::OneFarmer => "Only one farmer is there: when it goes, these files go. Keep your own copy.",
        Caution::CopiesOnly => "So few farmers are there that each keeps a whole sealed copy.",
        Caution::OneGroup => "All farmers are in one place or with one operator: they may fail together.",
    }
}
