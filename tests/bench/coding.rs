//! How fast one core seals and codes, and opens and decodes. The processor time of this thread counts, not the clock on
//! the wall.

use std::hint::black_box;

use hayloft_core::content::Parities;

use crate::{
    table::{Reference, Table, Target},
    usage::cpu_seconds,
    work::{self, BYTES, Shards},
};

/// Processor seconds that each rate is measured for.
pub(crate) const LONG_ENOUGH: f64 = 2.0;

/// Adds encoding and both decodings.
pub(crate) fn measure(table: &mut Table) {
    let (coder, parities, plain) = (work::coder(), Parities::default(), work::plain());
    let note = "16 of 40, both seals, per core".to_owned();
    let rate = rate_of(|| drop(work::encode(&coder, &parities, &plain)));
    table.rate("encode", rate, Target::AtLeast(400.0), Reference::Aes, note.clone());
    for (what, first, least) in
        [("decode from data shards", 0, 1200.0), ("decode from parity alone", 24, 500.0)]
    {
        let shards = Shards::from_column(first);
        let rate = rate_of(|| {
            shards.decode(|chunk| {
                black_box(chunk);
            });
        });
        table.rate(what, rate, Target::AtLeast(least), Reference::Aes, note.clone());
    }
}

/// MB of file per processor second.
pub(crate) fn rate_of(mut work: impl FnMut()) -> f64 {
    let used = || cpu_seconds(std::process::id()).unwrap_or(0.0);
    work();
    let (begun, mut rounds) = (used(), 0.0);
    while used() - begun < LONG_ENOUGH {
        (0..8).for_each(|_| work());
        rounds += 8.0;
    }
    rounds * BYTES as f64 / 1e6 / (used() - begun)
}
