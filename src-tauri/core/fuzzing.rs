//! What fuzzing does with the bytes it makes up. Each target takes any bytes and panics where a promise of this crate is
//! broken: what is accepted has one encoding, what was changed is noticed, and nothing else panics. Bytes that nobody could
//! sign are signed here first, so that what lies behind a signature is reached too.
//!
//! Compiled for tests and under cargo-fuzz (`cfg(fuzzing)`) alone. The programs are in `tests/fuzz/targets`, and the
//! corpora beside them are replayed by this crate's tests.

mod audit;
mod content;
mod contracts;
mod records;

use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    audit::{audit_keys, audit_proofs, challenges, receipts},
    content::{coding, items, layouts, shards},
    contracts::contracts,
    records::{manifests, names, records},
};
use crate::{
    NetworkName, codec,
    samples::{farmer, owner},
};

/// A target and the name of its program and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("audit_keys", audit_keys),
    ("audit_proofs", audit_proofs),
    ("challenges", challenges),
    ("coding", coding),
    ("contracts", contracts),
    ("items", items),
    ("layouts", layouts),
    ("manifests", manifests),
    ("names", names),
    ("receipts", receipts),
    ("records", records),
    ("shards", shards),
];

const LIMIT_BYTES: usize = 1 << 20;

/// The value in these bytes, if they are its one encoding.
fn canonical<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value: T = codec::decode(1, bytes, LIMIT_BYTES).ok()?;
    assert!(codec::encode(1, &value) == bytes, "accepted bytes are not the value's encoding");
    Some(value)
}

/// The next `N` bytes, zeros after the last.
fn next<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, rest) = bytes.split_at(bytes.len().min(N));
    *bytes = rest;
    let mut out = [0; N];
    out[..head.len()].copy_from_slice(head);
    out
}

/// Everything up to a length that the bytes say themselves, and the rest.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = bytes;
    let len = usize::from(u16::from_le_bytes(next(&mut rest)));
    rest.split_at(len.min(rest.len()))
}

fn network() -> NetworkName {
    "here".parse().expect("a name")
}

/// Randomness that is the same in each run.
fn rng() -> rand::rngs::StdRng {
    rand::SeedableRng::seed_from_u64(7)
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests;
