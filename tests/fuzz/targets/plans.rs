#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hayloft_payments::fuzzing::plans(bytes));
