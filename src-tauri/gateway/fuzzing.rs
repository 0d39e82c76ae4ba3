//! What fuzzing does with the bytes it makes up. Each target takes any bytes and panics where a promise of this crate is
//! broken. Compiled for tests and under cargo-fuzz (`cfg(fuzzing)`) alone; corpora are replayed by this crate's tests.

use hayloft_node::model::{ApiError, Event, FarmSettings, GetRequest, PutRequest, Status};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    door::ApiFile,
    routes::{Begun, Made, Name, Names, Renewal, Secret},
};

/// A target and the name of its program and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[("answers", answers), ("bodies", bodies), ("doors", doors)];

/// What is read is written so that it is read as the same.
fn read<T: Serialize + DeserializeOwned>(json: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_vec(&value).expect("what was read is written");
    let again: T = serde_json::from_slice(&written).expect("what was written is read");
    assert!(serde_json::to_vec(&again).ok() == Some(written));
}

/// Bodies of requests.
pub fn bodies(bytes: &[u8]) {
    read::<Secret>(bytes);
    read::<Names>(bytes);
    read::<Name>(bytes);
    read::<Renewal>(bytes);
    read::<FarmSettings>(bytes);
    read::<PutRequest>(bytes);
    read::<GetRequest>(bytes);
}

/// Bodies of answers, as the client reads them.
pub fn answers(bytes: &[u8]) {
    read::<ApiError>(bytes);
    read::<Event>(bytes);
    read::<Status>(bytes);
    read::<Made>(bytes);
    read::<Begun>(bytes);
}

/// `api.json`.
pub fn doors(bytes: &[u8]) {
    read::<ApiFile>(bytes);
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;
