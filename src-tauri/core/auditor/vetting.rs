//! Vetting data: what an auditor stores with farmers to learn what they are worth, made again whenever it is needed from a seed
//! that the auditor alone knows.
//!
//! ```text
//! stream(label) = BLAKE3 keyed with the seed, over "hayloft vetting 1" ‖ (network, planting, label), as an endless output
//! from it       : owner's key, device's key, audit root, outer key, how long it lasts, how many shards of how many bytes, their bytes
//!                 and their ids
//! ```
//! Each planting is another owner with another device. Its shards are sealed and tagged as any owner's are, by the same code, so
//! that nothing tells them apart but the auditor's own address. Whoever knows the seed could answer without keeping anything:
//! it never leaves the auditor's home, unlike in the protocol that gave it to farmers.
//!
//! Invariant: a shard's id belongs to one content for ever, although it is derived: both follow from the planting, which is 32
//! random bytes drawn once.
//! Deliberately absent: when to plant and to probe, and how it is sent.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use blake3::OutputReader;
use rand::{Rng, TryCryptoRng, TryRng};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    NetworkName, ShardId,
    audit::{AuditKey, Sectors, TagKeyId, Tagger},
    codec,
    content::{Coder, Coding, ShardSealer},
    contract::ShardEntry,
    keys::{AuditRoot, DeviceKey, OwnerKey},
    manifest::SecretKey,
    placement::Subnet,
};

const VERSION: u8 = 1;
const DAY_SECONDS: u64 = 24 * 3600;
/// Bytes of the smallest shard before it is sealed; the largest has less than 2^5 times as many.
const LEAST_BYTES: u64 = 48 * 1024;
const DOUBLINGS: u64 = 5;
/// The most shards of a planting.
pub const MAX_SHARDS_PLANTED: u64 = 3;
/// A subnet gets at most one in so many of the places that are left.
const SHARE_OF_SUBNET: usize = 8;

/// Which of these strangers get one of `places` next, at most `most` of them: one of each subnet, those first whose subnet has
/// the fewest already. A subnet that has an eighth of what is left gets no more, so whoever makes a thousand farmers in one
/// never takes the place of a newcomer from elsewhere. Gives indices into `strangers`; equals go by their order.
pub fn next_vetted(vetted: &[Subnet], strangers: &[Subnet], places: usize, most: usize) -> Vec<usize> {
    let mut held: BTreeMap<Subnet, usize> = BTreeMap::new();
    for subnet in vetted {
        *held.entry(*subnet).or_default() += 1;
    }
    let left = places.saturating_sub(vetted.len());
    let mut first: BTreeMap<Subnet, usize> = BTreeMap::new();
    for (index, subnet) in strangers.iter().enumerate() {
        first.entry(*subnet).or_insert(index);
    }
    let of = |subnet: &Subnet| held.get(subnet).copied().unwrap_or_default();
    let mut chosen: Vec<(usize, usize)> = first.iter().map(|(subnet, index)| (of(subnet), *index)).collect();
    chosen.retain(|(held, _)| *held == 0 || *held < left / SHARE_OF_SUBNET);
    chosen.sort_unstable();
    chosen.into_iter().map(|(_, index)| index).take(most.min(left)).collect()
}

/// What all vetting data comes from.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VettingSeed([u8; 32]);

/// One contract's worth of vetting data: 32 random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlantingId(pub [u8; 32]);

/// Who stores it.
pub struct Persona {
    /// The owner.
    pub owner: OwnerKey,
    /// Its only device.
    pub device: DeviceKey,
    /// What it tags with.
    pub audit: AuditKey,
    /// For how long it stores, in seconds.
    pub seconds: u64,
    /// How many shards.
    pub shards: u64,
    outer: SecretKey,
}

/// One shard as its farmer keeps it.
pub struct Planted {
    /// What a revision lists.
    pub entry: ShardEntry,
    /// Its sealed bytes.
    pub bytes: Vec<u8>,
}

/// Bytes that follow from seed, planting and label.
struct Stream(OutputReader);

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

impl VettingSeed {
    /// The seed from its 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    fn stream(&self, network: &NetworkName, planting: &PlantingId, label: &str, index: u64) -> Stream {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"hayloft vetting 1");
        hasher.update(&codec::encode(VERSION, &(network, planting, label, index)));
        Stream(hasher.finalize_xof())
    }

    /// Who stores a planting.
    pub fn persona(&self, network: &NetworkName, planting: &PlantingId, sectors: Sectors) -> Persona {
        let stream = |label| self.stream(network, planting, label, 0);
        let key = |label| {
            let mut bytes = [0; 32];
            stream(label).fill_bytes(&mut bytes);
            bytes
        };
        let days = 30 + stream("days").next_u64() % 60;
        Persona {
            owner: OwnerKey::from_bytes(&key("owner")),
            device: DeviceKey::from_bytes(&key("device")),
            audit: AuditKey::derive(&AuditRoot::from_bytes(&key("audit")), sectors),
            seconds: days * DAY_SECONDS,
            shards: 1 + stream("shards").next_u64() % MAX_SHARDS_PLANTED,
            outer: SecretKey::random(&mut stream("outer")),
        }
    }

    /// A shard of a planting, sealed; the same each time.
    pub fn shard(
        &self,
        network: &NetworkName,
        planting: &PlantingId,
        persona: &Persona,
        index: u64,
    ) -> Planted {
        let mut stream = self.stream(network, planting, "shard", index);
        let size = LEAST_BYTES << (stream.next_u64() % DOUBLINGS);
        let mut plain = vec![0; usize::try_from(size + stream.next_u64() % size).unwrap_or_default()];
        stream.fill_bytes(&mut plain);
        let coder = Coder::new(Coding::new(1, 1).expect("one of one is a coding"));
        let coded = Arc::new(coder.encode(plain).expect("a segment of some bytes"));
        let sealer = ShardSealer::new(coded, 0, &persona.outer, &mut stream);
        let mut bytes = Vec::new();
        (0..sealer.layout().stripes()).for_each(|cell| sealer.seal_cell(cell, &mut bytes));
        let entry =
            ShardEntry { id: sealer.id(), bytes: bytes.len() as u64, tag_key: Some(persona.tag_key()) };
        Planted { entry, bytes }
    }
}

impl Persona {
    fn tag_key(&self) -> TagKeyId {
        self.audit.verifier_key().id()
    }

    /// The tags of a shard, one behind the other.
    pub fn tags(&self, id: ShardId, bytes: &[u8]) -> Vec<u8> {
        Tagger::new(&self.audit).tag_shard(id, bytes).iter().flat_map(|tag| tag.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn network() -> NetworkName {
        "here".parse().unwrap()
    }

    fn all(seed: u8, planting: u8) -> (Persona, Vec<Planted>) {
        let (seed, planting) = (VettingSeed::from_bytes(&[seed; 32]), PlantingId([planting; 32]));
        let persona = seed.persona(&network(), &planting, Sectors::MIN);
        let shards = (0..persona.shards).map(|index| seed.shard(&network(), &planting, &persona, index));
        let shards = shards.collect();
        (persona, shards)
    }

    #[test]
    fn whoever_makes_thousands_of_farmers_in_one_subnet_takes_no_newcomers_place() {
        const PLACES: usize = 1024;
        let (crowd, honest) = (Subnet::V4([198, 51, 100]), |number| Subnet::V4([203, 0, number]));
        let mut vetted = Vec::new();
        for _ in 0..3000 {
            let chosen = next_vetted(&vetted, &[crowd; 100], PLACES, 4);
            vetted.extend(chosen.into_iter().map(|_| crowd));
        }
        assert!(vetted.len() <= PLACES / SHARE_OF_SUBNET, "{}", vetted.len());
        for number in 0..100 {
            let strangers = [&[crowd; 100][..], &[honest(number)]].concat();
            assert_eq!(next_vetted(&vetted, &strangers, PLACES, 1), [100]);
            vetted.push(honest(number));
        }
    }

    #[test]
    fn the_least_crowded_subnets_come_first_and_nothing_comes_once_places_are_full() {
        let subnet = |number| Subnet::V4([203, 0, number]);
        let vetted = [subnet(1), subnet(1), subnet(2)];
        let strangers = [subnet(1), subnet(2), subnet(2), subnet(3), subnet(4)];
        assert_eq!(next_vetted(&vetted, &strangers, 100, 4), [3, 4, 1, 0]);
        assert_eq!(next_vetted(&vetted, &strangers, 100, 1), [3]);
        assert_eq!(next_vetted(&vetted, &strangers, 4, 4), [3]);
        assert!(next_vetted(&vetted, &strangers, 3, 4).is_empty());
    }

    #[test]
    fn a_planting_comes_out_the_same_each_time() {
        let ((one, shards), (again, same)) = (all(1, 1), all(1, 1));
        assert_eq!(
            (one.owner.id(), one.device.id(), one.seconds),
            (again.owner.id(), again.device.id(), again.seconds)
        );
        assert_eq!(shards.len(), same.len());
        for (left, right) in shards.iter().zip(&same) {
            assert!(left.entry == right.entry && left.bytes == right.bytes);
            assert_eq!(one.tags(left.entry.id, &left.bytes), again.tags(right.entry.id, &right.bytes));
            assert_eq!(left.entry.bytes, left.bytes.len() as u64);
        }
    }

    #[test]
    fn plantings_and_seeds_have_nothing_in_common() {
        let plantings: Vec<_> =
            [(1, 1), (1, 2), (2, 1)].into_iter().map(|(seed, id)| all(seed, id)).collect();
        let owners: BTreeSet<_> = plantings.iter().map(|(persona, _)| persona.owner.id()).collect();
        let devices: BTreeSet<_> = plantings.iter().map(|(persona, _)| persona.device.id()).collect();
        let keys: BTreeSet<_> = plantings.iter().map(|(persona, _)| persona.tag_key()).collect();
        assert_eq!((owners.len(), devices.len(), keys.len()), (3, 3, 3));
        let shards: Vec<&Planted> = plantings.iter().flat_map(|(_, shards)| shards).collect();
        let ids: BTreeSet<_> = shards.iter().map(|shard| shard.entry.id).collect();
        assert_eq!(ids.len(), shards.len());
        let blocks: Vec<&[u8]> = shards.iter().flat_map(|shard| shard.bytes.chunks(496)).collect();
        assert_eq!(blocks.iter().collect::<BTreeSet<_>>().len(), blocks.len(), "no block twice");
    }

    #[test]
    fn sizes_and_spans_vary_within_their_bounds() {
        let (mut sizes, mut spans, mut counts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for planting in 0..40 {
            let (persona, shards) = all(3, planting);
            spans.insert(persona.seconds);
            counts.insert(shards.len() as u64);
            sizes.extend(shards.iter().map(|shard| shard.entry.bytes));
        }
        assert!(sizes.len() > 20 && spans.len() > 10, "{sizes:?} {spans:?}");
        assert_eq!(counts, (1..=MAX_SHARDS_PLANTED).collect());
        assert!(
            *sizes.first().unwrap() > LEAST_BYTES
                && *sizes.last().unwrap() < ((2 * LEAST_BYTES) << DOUBLINGS)
        );
        assert!(*spans.first().unwrap() >= 30 * DAY_SECONDS && *spans.last().unwrap() < 90 * DAY_SECONDS);
    }
}
