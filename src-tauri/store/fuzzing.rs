//! What fuzzing does with the bytes it makes up. Each target takes any bytes and panics where a promise of this crate is
//! broken. Compiled for tests and under cargo-fuzz (`cfg(fuzzing)`) alone; corpora are replayed by this crate's tests.

use hayloft_core::{ContractId, ShardId, codec};

use crate::{
    audit_keys, catalog, config, identity,
    journal::{self, Record},
    shards::{HEADER_BYTES, Header},
};

/// A target and the name of its program and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("catalogs", catalogs),
    ("configs", configs),
    ("identities", identities),
    ("journals", journals),
    ("kept_keys", kept_keys),
    ("shard_headers", shard_headers),
];

/// Shard files' headers, as they lie on a disk and as they would be written.
pub fn shard_headers(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk::<{ HEADER_BYTES as usize }>()
        && let Some(header) = Header::decode(bytes)
    {
        assert!(header.encode()[..] == bytes[..]);
    }
    let Some((fields, rest)) = bytes.split_first_chunk::<104>() else { return };
    let id = |at: usize| -> [u8; 32] { fields[at..at + 32].try_into().expect("32 bytes") };
    let len = |at: usize| u32::from_le_bytes(fields[at..at + 4].try_into().expect("4 bytes"));
    let header = Header {
        shard: ShardId(id(0)),
        contract: ContractId(id(32)),
        bytes: len(96),
        tag_bytes: len(100),
        hash: id(64),
    };
    let mut written = header.encode();
    assert_eq!(Header::decode(&written), Some(header));
    if let [at, flip, ..] = rest
        && *flip > 0
    {
        written[usize::from(*at) % written.len()] ^= flip;
        assert_eq!(Header::decode(&written), None);
    }
}

/// Catalog logs, raw and with check sums that fit, so that what lies in the batches is reached.
pub fn catalogs(bytes: &[u8]) {
    catalog::fuzzing::read(bytes);
    let mut payloads = Vec::new();
    let mut rest = bytes;
    while let Some((len, more)) = rest.split_first_chunk::<2>() {
        let (payload, more) = more.split_at(usize::from(u16::from_le_bytes(*len)).min(more.len()));
        payloads.push(payload);
        rest = more;
    }
    catalog::fuzzing::read(&catalog::fuzzing::framed(payloads));
}

/// Files of audit keys, as they lie on a disk and as they would be written.
pub fn kept_keys(bytes: &[u8]) {
    if let Some(key) = audit_keys::opened(bytes) {
        assert!(audit_keys::sealed(key) == bytes);
    }
    let mut file = audit_keys::sealed(bytes);
    assert!(audit_keys::opened(&file) == Some(bytes));
    if let [at, flip, ..] = bytes
        && *flip > 0
    {
        let at = usize::from(*at) % file.len();
        file[at] ^= flip;
        assert!(audit_keys::opened(&file).is_none());
    }
}

/// Contracts' journals, raw and with check sums that fit, so that what lies in the records is reached.
pub fn journals(bytes: &[u8]) {
    replay(bytes);
    let mut framed = Vec::new();
    let mut rest = bytes;
    while let Some((len, more)) = rest.split_first_chunk::<2>() {
        let (payload, more) = more.split_at(usize::from(u16::from_le_bytes(*len)).min(more.len()));
        if let Ok(record) = codec::decode::<Record>(1, payload, 1 << 20) {
            framed.extend(journal::frame(&record));
        }
        rest = more;
    }
    replay(&framed);
}

fn replay(bytes: &[u8]) {
    let Some(told) = journal::replay_bytes(bytes) else { return };
    let (id, terms) = (told.id, Box::new(told.terms.clone()));
    let (revision, shards) = (told.revision.clone().map(Box::new), told.shards.values().cloned().collect());
    let snapshot = journal::frame(&Record::Snapshot { id, terms, revision, shards });
    let again = journal::replay_bytes(&snapshot).expect("what was written is read");
    assert_eq!(again, journal::Replayed { whole: true, ..told });
    let torn = journal::replay_bytes(&bytes[..bytes.len() - 1]);
    assert!(torn.is_none_or(|torn| !told_more(&torn, &again)));
}

fn told_more(torn: &journal::Replayed, whole: &journal::Replayed) -> bool {
    let number = |told: &journal::Replayed| told.revision.as_ref().map(|newest| newest.revision.number);
    number(torn) > number(whole)
}

/// Sealed identities' files.
pub fn identities(bytes: &[u8]) {
    identity::look_at(bytes);
}

/// `config.json`, whatever it is a configuration of.
pub fn configs(bytes: &[u8]) {
    if let Ok(config) = config::parse::<serde_json::Value>(bytes) {
        let written = config::format(&config).expect("JSON is written as JSON");
        assert_eq!(config::parse::<serde_json::Value>(&written).ok(), Some(config));
    }
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;
