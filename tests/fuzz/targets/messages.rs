//! Whatever a stranger sends as a message is refused or is a value that survives being sent on.
#![no_main]

use hayloft_core::codec;
use hayloft_net::limits::CONTROL_FRAME;
use hayloft_net::messages::{Answer, Envelope};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = codec::decode::<T>(1, bytes, CONTROL_FRAME) {
        let again = codec::encode(1, &value);
        let value: T = codec::decode(1, &again, CONTROL_FRAME).expect("what we encode we decode");
        assert_eq!(codec::encode(1, &value), again);
    }
}

fuzz_target!(|bytes: &[u8]| {
    check::<Envelope>(bytes);
    check::<Answer>(bytes);
});
