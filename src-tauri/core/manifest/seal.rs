//! Sealing and signing of manifest records.
//!
//! A sealed record is version ‖ 12 random bytes (the nonce) ‖ AES-256-GCM(postcard(record)) ‖ tag; key = the root's key
//! for "manifest records"; associated data = version ‖ kind ‖ 0 ‖ the network's name, the kind being "content",
//! "placement" or "notes". The version is also that of the items and shards it names. The owner signs (segment, k, n,
//! bytes, roots) under "segment roots".

use std::collections::{BTreeMap, HashSet};

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use rand::CryptoRng;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{ContentRecord, PlacementRecord, random};
use crate::{
    NetworkName, OwnerId, SegmentId, Signature,
    codec::{self, CodecError},
    content::{CodedSegment, Coder, Coding, CodingError, Layout, SomeColumns, TAG, VERSION},
    keys::{ContentRoot, OwnerKey, RepairRoot},
};

const PURPOSE: &str = "manifest records";
const ROOTS_LABEL: &str = "segment roots";
const NONCE: usize = 12;
/// Most bytes of a sealed record: the items of a file of some 8 TB.
pub const RECORD_LIMIT: usize = 64 * 1024 * 1024;
/// Most bytes of a file's name.
const NAME_LIMIT: usize = 1024;

/// Why bytes are not a record of this owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a later release, too long, or malformed inside.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Too short for any record.
    #[error("the record is cut off")]
    Truncated,
    /// Changed, or sealed under another root, for another network or as the other kind of record.
    #[error("the record does not open with this key: it is damaged or another owner's")]
    NotAuthentic,
    /// Opened, yet impossible.
    #[error("the record contradicts itself: {0}")]
    Impossible(&'static str),
    /// The segment's roots carry no valid signature of the owner.
    #[error("the segment's roots are not signed by this owner")]
    Signature,
}

/// Why a segment's bytes do not give back the columns that the owner signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// They cannot be coded.
    #[error(transparent)]
    Coding(#[from] CodingError),
    /// Of another length, or coded in another way.
    #[error("the segment has another length or coding")]
    OtherSegment,
    /// A column differs from its signed root.
    #[error("column {column} does not match its signed root")]
    Root {
        /// The first that differs.
        column: u8,
    },
}

impl ContentRecord {
    /// Seals it under the content root; `rng` gives the nonce.
    pub fn seal(&self, root: &ContentRoot, network: &NetworkName, rng: &mut impl CryptoRng) -> Vec<u8> {
        seal(&root.derive(PURPOSE), "content", network, self, rng)
    }

    /// Opens a sealed one.
    ///
    /// # Errors
    /// [`RecordError`] if it is not a possible record sealed under this root for this network.
    pub fn open(sealed: &[u8], root: &ContentRoot, network: &NetworkName) -> Result<Self, RecordError> {
        let record: Self = open(&root.derive(PURPOSE), "content", network, sealed)?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), RecordError> {
        let impossible = |what| Err(RecordError::Impossible(what));
        if !(1..=NAME_LIMIT).contains(&self.name.len()) {
            return impossible("a name has 1 to 1,024 bytes");
        }
        let sum = self.items.iter().try_fold(0u64, |sum, item| sum.checked_add(item.bytes));
        if self.items.is_empty() || sum != Some(self.bytes) {
            return impossible("the items are not as long as the file");
        }
        let fits = |end: Option<u64>| end.is_some_and(|end| Layout::new(end, 1).is_ok());
        if !self.items.iter().all(|item| fits(item.offset.checked_add(item.sealed_bytes()))) {
            return impossible("an item lies outside its segment");
        }
        Ok(())
    }
}

impl PlacementRecord {
    /// Seals it under the repair root; `rng` gives the nonce.
    pub fn seal(&self, root: &RepairRoot, network: &NetworkName, rng: &mut impl CryptoRng) -> Vec<u8> {
        seal(&root.derive(PURPOSE), "placement", network, self, rng)
    }

    /// Opens a sealed one and verifies the owner's signature over the roots.
    ///
    /// # Errors
    /// [`RecordError`] if it is not a possible record, sealed under this root for this network, with signed roots.
    pub fn open(
        sealed: &[u8],
        root: &RepairRoot,
        network: &NetworkName,
        owner: &OwnerId,
    ) -> Result<Self, RecordError> {
        let record: Self = open(&root.derive(PURPOSE), "placement", network, sealed)?;
        record.check()?;
        owner
            .verify(ROOTS_LABEL, network, VERSION, &record.signed_part(), &record.signature)
            .map_err(|_| RecordError::Signature)?;
        Ok(record)
    }

    /// The coding it was made with.
    ///
    /// # Errors
    /// [`CodingError`] if there is none such; never for a record that was opened.
    pub fn coding(&self) -> Result<Coding, CodingError> {
        Coding::new(self.k, self.n)
    }

    /// The segment's layout.
    ///
    /// # Errors
    /// [`CodingError`] if there is none such; never for a record that was opened.
    pub fn layout(&self) -> Result<Layout, CodingError> {
        Ok(Layout::new(self.bytes, self.k)?)
    }

    /// Codes the segment's bytes again, for new shards; each column is then the one the owner signed.
    ///
    /// # Errors
    /// [`RebuildError`] if they cannot be coded so, or a column differs.
    pub fn rebuild(&self, coder: &Coder, sealed: Vec<u8>) -> Result<CodedSegment, RebuildError> {
        let coded = coder.encode(sealed)?;
        let differing = coded.roots().iter().zip(&self.roots).position(|(found, signed)| found != signed);
        match differing {
            _ if coded.coding() != self.coding()? || coded.layout().bytes() != self.bytes => {
                Err(RebuildError::OtherSegment)
            }
            Some(column) => Err(RebuildError::Root { column: column as u8 }),
            None => Ok(coded),
        }
    }

    /// Whole columns as they came from farmers, for new shards; each is then the one the owner signed.
    ///
    /// # Errors
    /// [`RebuildError`] if one differs, or there is no such column.
    pub fn columns(&self, columns: BTreeMap<u8, Vec<u8>>) -> Result<SomeColumns, RebuildError> {
        for (&column, bytes) in &columns {
            let root = self.roots.get(usize::from(column)).ok_or(CodingError::Column { column })?;
            if blake3::hash(bytes).as_bytes() != root {
                return Err(RebuildError::Root { column });
            }
        }
        Ok(SomeColumns::new(self.layout()?, columns))
    }

    fn signed_part(&self) -> (SegmentId, u8, u8, u64, &[[u8; 32]]) {
        (self.segment, self.k, self.n, self.bytes, &self.roots)
    }

    fn check(&self) -> Result<(), RecordError> {
        let impossible = |what| Err(RecordError::Impossible(what));
        if self.layout().is_err() || self.coding().is_err() || self.roots.len() != usize::from(self.n) {
            return impossible("no segment is coded so");
        }
        let columns: HashSet<_> = self.shards.iter().map(|shard| shard.column).collect();
        let ids: HashSet<_> = self.shards.iter().map(|shard| shard.id).collect();
        if columns.len() != self.shards.len() || columns.iter().any(|&column| column >= self.n) {
            return impossible("a column is not of this segment or is placed twice");
        }
        if ids.len() != self.shards.len() { impossible("two shards have one id") } else { Ok(()) }
    }
}

/// The owner's signature over a coded segment's roots, for its [`PlacementRecord`].
pub fn sign_roots(
    owner: &OwnerKey,
    network: &NetworkName,
    segment: SegmentId,
    coded: &CodedSegment,
) -> Signature {
    let (coding, bytes) = (coded.coding(), coded.layout().bytes());
    owner.sign(ROOTS_LABEL, network, VERSION, &(segment, coding.k(), coding.n(), bytes, coded.roots()))
}

/// Seals what else only the owner may read, such as the notes by which an unfinished job goes on.
pub fn seal_notes<T: Serialize>(
    notes: &T,
    root: &ContentRoot,
    network: &NetworkName,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    seal(&root.derive(PURPOSE), "notes", network, notes, rng)
}

/// Opens what [`seal_notes`] sealed.
///
/// # Errors
/// [`RecordError`] if it was not sealed under this root for this network.
pub fn open_notes<T: Serialize + DeserializeOwned>(
    sealed: &[u8],
    root: &ContentRoot,
    network: &NetworkName,
) -> Result<T, RecordError> {
    open(&root.derive(PURPOSE), "notes", network, sealed)
}

fn seal<T: Serialize>(
    key: &[u8; 32],
    kind: &str,
    network: &NetworkName,
    record: &T,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    let nonce: [u8; NONCE] = random(rng);
    let plain = Zeroizing::new(codec::encode(VERSION, record));
    let (aad, plain) = (associated(kind, network), &plain[1..]);
    let sealed = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: &aad })
        .expect("a record is far shorter than GCM's limit of 64 GiB");
    [&[VERSION], nonce.as_slice(), &sealed].concat()
}

fn open<T: Serialize + DeserializeOwned>(
    key: &[u8; 32],
    kind: &str,
    network: &NetworkName,
    sealed: &[u8],
) -> Result<T, RecordError> {
    if sealed.len() > RECORD_LIMIT {
        return Err(CodecError::TooLong { len: sealed.len(), limit: RECORD_LIMIT }.into());
    }
    let (&found, rest) = sealed.split_first().ok_or(RecordError::Truncated)?;
    if found > VERSION {
        return Err(CodecError::FromTheFuture { found, known: VERSION }.into());
    }
    let (nonce, msg) = rest.split_first_chunk::<NONCE>().ok_or(RecordError::Truncated)?;
    if msg.len() < TAG {
        return Err(RecordError::Truncated);
    }
    let aad = associated(kind, network);
    let plain = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
        .decrypt(&Nonce::from(*nonce), Payload { msg, aad: &aad })
        .map_err(|_| RecordError::NotAuthentic)?;
    let plain = Zeroizing::new([&[VERSION], Zeroizing::new(plain).as_slice()].concat());
    Ok(codec::decode(VERSION, &plain, RECORD_LIMIT)?)
}

fn associated(kind: &str, network: &NetworkName) -> Vec<u8> {
    [&[VERSION], kind.as_bytes(), &[0], network.as_str().as_bytes()].concat()
}
