#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hayloft_core::fuzzing::layouts(bytes));
