//! What both benches measure: content sealed and coded as a put does it, opened and decoded as a get does it, and plain
//! AES-256-GCM over as many bytes for comparison.

use std::{hint::black_box, sync::Arc};

use hayloft_core::{
    FileId,
    content::{
        CHUNK, CodedSegment, Coder, Coding, CodingError, ItemError, ItemReader, Layout, Packer, Parities,
        SealedSegment, ShardOpener, ShardSealer, TAG, TARGET_SEGMENT, UNIT,
    },
    manifest::{Item, SecretKey},
};
use rand::{SeedableRng, rngs::StdRng};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Plain bytes of one segment.
pub(crate) const BYTES: usize = TARGET_SEGMENT - 8192;

/// Bytes that do not repeat soon.
pub(crate) fn plain() -> Vec<u8> {
    (0..BYTES).map(|at| (at * 31 % 251) as u8).collect()
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

/// The coding of 40 farmers.
pub(crate) fn coder() -> Coder {
    Coder::new(Coding::new(16, 40).expect("16 of 40"))
}

/// Seals all bytes in chunks, as a library does it.
pub(crate) fn aes(bytes: &mut [u8]) {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key"));
    for (index, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::empty(), chunk);
        black_box(tag.expect("short").as_ref());
    }
}

/// The bytes as one sealed segment of one item.
pub(crate) fn pack(plain: &[u8]) -> SealedSegment {
    let mut packer = Packer::new(TARGET_SEGMENT, rng()).expect("a good target");
    packer.begin(FileId([0; 32]), plain.len() as u64).expect("nothing open");
    packer.push(plain).expect("open");
    packer.end().expect("open");
    packer.flush().expect("ended").expect("one item")
}

/// Seals all shards cell by cell into one buffer, as they are sent; returns the last cell.
pub(crate) fn seal(segment: CodedSegment) -> Vec<u8> {
    let (segment, mut rng) = (Arc::new(segment), rng());
    let outer = SecretKey::random(&mut rng);
    let mut frame = Vec::with_capacity(UNIT + TAG);
    for column in 0..segment.coding().n() {
        let sealer = ShardSealer::new(segment.clone(), column, &outer, &mut rng);
        for cell in 0..segment.layout().stripes() {
            frame.clear();
            sealer.seal_cell(cell, &mut frame);
            black_box(&frame);
        }
    }
    frame
}

/// Both seals and the coding between them, one segment after the other as a put does it.
pub(crate) fn encode(coder: &Coder, parities: &Parities, plain: &[u8]) -> Vec<u8> {
    seal(coder.encode_with(parities, pack(plain).bytes).expect("fits"))
}

/// Sixteen shards of a segment, from a given column on, as their farmers hold them.
pub(crate) struct Shards {
    coder: Coder,
    layout: Layout,
    outer: SecretKey,
    item: Item,
    shards: Vec<(u8, hayloft_core::ShardId, Vec<u8>)>,
}

impl Shards {
    /// Those from column `first` on: 0 takes the data, 24 parity alone.
    pub(crate) fn from_column(first: u8) -> Self {
        let (coder, segment) = (coder(), pack(&plain()));
        let item = segment.items[0].1.clone();
        let coded = Arc::new(coder.encode(segment.bytes).expect("fits"));
        let (layout, mut rng) = (*coded.layout(), rng());
        let outer = SecretKey::random(&mut rng);
        let shards = (first..first + 16).map(|column| {
            let sealer = ShardSealer::new(coded.clone(), column, &outer, &mut rng);
            let mut shard = Vec::new();
            (0..layout.stripes()).for_each(|cell| sealer.seal_cell(cell, &mut shard));
            (column, sealer.id(), shard)
        });
        let shards = shards.collect();
        Self { coder, layout, outer, item, shards }
    }

    /// Opens, decodes and opens again, one stripe after the other; gives each chunk to `take` and returns their bytes.
    pub(crate) fn decode(&self, mut take: impl FnMut(&[u8])) -> usize {
        let read = |(column, id, shard): &(u8, _, Vec<u8>)| {
            let mut reader = ShardOpener::new(&self.outer, id, self.layout).read(0..self.layout.stripes());
            shard.chunks(CHUNK).try_for_each(|bytes| reader.push(bytes)).expect("right");
            (*column, reader.finish().expect("whole"))
        };
        let mut columns: Vec<_> = self.shards.iter().map(read).collect();
        let (mut item, mut bytes) = (ItemReader::new(&self.item, 0..BYTES as u64), 0);
        let stripes = 0..self.layout.stripes();
        let decoded = self.coder.decode_each(&self.layout, stripes, &mut columns, |stripe| {
            item.push(stripe, &mut |plain| {
                bytes += plain.len();
                take(plain);
                Ok::<_, Wrong>(())
            })
        });
        decoded.expect("right");
        bytes
    }
}

#[derive(Debug)]
struct Wrong;

impl From<CodingError> for Wrong {
    fn from(_: CodingError) -> Self {
        Self
    }
}

impl From<ItemError> for Wrong {
    fn from(_: ItemError) -> Self {
        Self
    }
}
