//! How fast content is sealed, coded and opened, with plain AES-256-GCM over the same bytes beside it: compare within
//! one run only.

use std::{hint::black_box, sync::Arc};

use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce, aead::AeadInOut};
use divan::{Bencher, counter::BytesCount};
use hayloft_core::{
    FileId,
    content::{
        CHUNK, CodedSegment, Coder, Coding, ItemOpener, Packer, SealedSegment, ShardOpener, ShardSealer, TAG,
        TARGET_SEGMENT, UNIT,
    },
    manifest::SecretKey,
};
use rand::{SeedableRng, rngs::StdRng};

const BYTES: usize = TARGET_SEGMENT - 8192;

fn main() {
    divan::main();
}

fn plain() -> Vec<u8> {
    (0..BYTES).map(|at| (at * 31 % 251) as u8).collect()
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn coder() -> Coder {
    Coder::new(Coding::new(16, 40).expect("16 of 40"))
}

fn pack(plain: &[u8]) -> SealedSegment {
    let mut packer = Packer::new(TARGET_SEGMENT, rng()).expect("a good target");
    packer.begin(FileId([0; 32]), plain.len() as u64).expect("nothing open");
    packer.push(plain).expect("open");
    packer.end().expect("open");
    packer.flush().expect("ended").expect("one item")
}

/// Seals all shards cell by cell into one buffer, as they are sent; returns the last cell.
fn seal(segment: CodedSegment) -> Vec<u8> {
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

#[divan::bench]
fn plain_aes_256_gcm(bencher: Bencher) {
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from([7; 32]));
    bencher.counter(BytesCount::new(BYTES)).with_inputs(plain).bench_refs(|bytes| {
        for (index, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&(index as u64).to_be_bytes());
            let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), &[], chunk.into());
            black_box(tag.expect("short"));
        }
    });
}

#[divan::bench]
fn pack_alone(bencher: Bencher) {
    let bytes = plain();
    bencher.counter(BytesCount::new(BYTES)).bench(|| pack(&bytes));
}

#[divan::bench]
fn code_alone_16_of_40(bencher: Bencher) {
    let (coder, sealed) = (coder(), pack(&plain()).bytes);
    let counted = bencher.counter(BytesCount::new(BYTES));
    counted.with_inputs(|| sealed.clone()).bench_values(|sealed| coder.encode(sealed));
}

#[divan::bench]
fn encode_16_of_40(bencher: Bencher) {
    let (coder, bytes) = (coder(), plain());
    bencher.counter(BytesCount::new(BYTES)).bench(|| seal(coder.encode(pack(&bytes).bytes).expect("fits")));
}

#[divan::bench(args = [("data", 0), ("parity", 24)])]
fn decode_16_of_40(bencher: Bencher, (_, first): (&str, u8)) {
    let (coder, segment) = (coder(), pack(&plain()));
    let item = ItemOpener::new(&segment.items[0].1);
    let coded = coder.encode(segment.bytes).expect("fits");
    let layout = *coded.layout();
    let mut rng = rng();
    let outer = SecretKey::random(&mut rng);
    let coded = Arc::new(coded);
    let shards: Vec<_> = (first..first + 16)
        .map(|column| {
            let sealer = ShardSealer::new(coded.clone(), column, &outer, &mut rng);
            let mut shard = Vec::new();
            (0..layout.stripes()).for_each(|cell| sealer.seal_cell(cell, &mut shard));
            (column, sealer.id(), shard)
        })
        .collect();
    bencher.counter(BytesCount::new(BYTES)).bench(|| {
        let read = |(column, id, shard): &(u8, _, Vec<u8>)| {
            let mut reader = ShardOpener::new(&outer, id, layout).read(0..layout.stripes());
            shard.chunks(CHUNK).try_for_each(|bytes| reader.push(bytes)).expect("right");
            (*column, reader.finish().expect("whole"))
        };
        let mut columns: Vec<_> = shards.iter().map(read).collect();
        let mut sealed = coder.decode(&layout, 0..layout.stripes(), &mut columns).expect("enough");
        let mut out = Vec::with_capacity(BYTES);
        item.open_range(0..BYTES as u64, &mut sealed, &mut out).expect("right");
        out
    });
}
