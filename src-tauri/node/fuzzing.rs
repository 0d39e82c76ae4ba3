//! What fuzzing does with the bytes it makes up. Each target takes any bytes and panics where a promise of this crate is
//! broken. Compiled for tests and under cargo-fuzz (`cfg(fuzzing)`) alone; corpora are replayed by this crate's tests.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    jobs::{Snapshot, Spec},
    model::{FarmSettings, GetRequest, PutRequest},
    settings::{Settings, check_farm},
};

/// A target and the name of its program and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[("job_specs", job_specs), ("settings", settings)];

/// The value in JSON; what is written of it is read as the same.
fn read<T: Serialize + DeserializeOwned>(json: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(json).ok()?;
    let written = serde_json::to_vec(&value).expect("what was read is written");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert!(serde_json::to_vec(&again).ok() == Some(written));
    Some(value)
}

/// Homes' settings, and what a person sets about farming.
pub fn settings(bytes: &[u8]) {
    let settings = read::<Settings>(bytes).map(|settings| settings.farm);
    let Some(farm) = settings.or_else(|| read::<FarmSettings>(bytes)) else { return };
    if check_farm(&farm).is_ok() {
        for minute in 0..24 * 60 {
            let _ = farm.hours.is_none_or(|hours| hours.contain(minute));
        }
        let _ = (
            farm.storage_price.checked_mul(1_000),
            farm.quota_bytes.checked_mul(8).expect("far from overflow"),
        );
    }
}

/// Transfers as they are kept, and as front ends ask for them.
pub fn job_specs(bytes: &[u8]) {
    if let Some(spec) = read::<Spec>(bytes) {
        let _ = (spec.kind(), spec.name());
    }
    read::<Snapshot>(bytes);
    read::<PutRequest>(bytes);
    read::<GetRequest>(bytes);
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;
