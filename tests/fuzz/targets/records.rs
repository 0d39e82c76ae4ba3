//! Whatever is offered as a signed or stored record is refused or is a value that survives being written again.
#![no_main]

use hayloft_core::codec;
use hayloft_core::contract::{SignedRevision, SignedTerms};
use hayloft_core::manifest::{ContentRecord, PlacementRecord};
use hayloft_core::record::{DeviceCertificate, SignedFarmerRecord};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

const LIMIT_BYTES: usize = 1 << 20;

fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = codec::decode::<T>(1, bytes, LIMIT_BYTES) {
        let again = codec::encode(1, &value);
        let value: T = codec::decode(1, &again, LIMIT_BYTES).expect("what we encode we decode");
        assert_eq!(codec::encode(1, &value), again);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check::<SignedTerms>(bytes);
    check::<SignedRevision>(bytes);
    check::<SignedFarmerRecord>(bytes);
    check::<DeviceCertificate>(bytes);
    check::<ContentRecord>(bytes);
    check::<PlacementRecord>(bytes);
});
