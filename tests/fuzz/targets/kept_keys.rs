#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hayloft_store::fuzzing::kept_keys(bytes));
