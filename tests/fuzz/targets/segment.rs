//! Any k of the n columns of any segment give its bytes back.
#![no_main]

use hayloft_core::content::{Coder, Coding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, u8, Vec<u8>)| {
    let (k, spare, rotate, sealed) = input;
    let (k, spare) = (k % 20 + 1, spare % 20);
    if sealed.is_empty() {
        return;
    }
    let coder = Coder::new(Coding::new(k, k + spare).expect("k and n are in bounds"));
    let coded = coder.encode(sealed.clone()).expect("a segment that is not empty is coded");
    let n = k + spare;
    let column = |index: u8| ((u16::from(index) + u16::from(rotate)) % u16::from(n)) as u8;
    let mut columns: Vec<(u8, Vec<u8>)> =
        (0..k).map(column).map(|column| (column, coded.column(column))).collect();
    let stripes = 0..coded.layout().stripes();
    let back = coder.decode(coded.layout(), stripes, &mut columns).expect("k columns are enough");
    assert_eq!(back, sealed);
});
