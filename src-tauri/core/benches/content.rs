//! How fast content is sealed, coded and opened, with plain AES-256-GCM over the same bytes beside it: compare within
//! one run only.

#[path = "content/work.rs"]
mod work;

use divan::{Bencher, counter::BytesCount};
use hayloft_core::content::Parities;
use work::{BYTES, Shards, coder, encode, pack, plain};

fn main() {
    divan::main();
}

#[divan::bench]
fn plain_aes_256_gcm(bencher: Bencher) {
    bencher.counter(BytesCount::new(BYTES)).with_inputs(plain).bench_refs(|bytes| work::aes(bytes));
}

#[divan::bench]
fn pack_alone(bencher: Bencher) {
    let bytes = plain();
    bencher.counter(BytesCount::new(BYTES)).bench(|| pack(&bytes));
}

#[divan::bench]
fn code_alone_16_of_40(bencher: Bencher) {
    let (coder, parities, sealed) = (coder(), Parities::default(), pack(&plain()).bytes);
    let counted = bencher.counter(BytesCount::new(BYTES));
    counted.with_inputs(|| sealed.clone()).bench_values(|sealed| coder.encode_with(&parities, sealed));
}

#[divan::bench]
fn encode_16_of_40(bencher: Bencher) {
    let (coder, parities, bytes) = (coder(), Parities::default(), plain());
    bencher.counter(BytesCount::new(BYTES)).bench(|| encode(&coder, &parities, &bytes));
}

#[divan::bench(args = [("data", 0), ("parity", 24)])]
fn decode_16_of_40(bencher: Bencher, (_, first): (&str, u8)) {
    let shards = Shards::from_column(first);
    bencher.counter(BytesCount::new(BYTES)).bench(|| {
        shards.decode(|chunk| {
            divan::black_box(chunk);
        })
    });
}
