//! Fuzzes the check `values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (lath_fuzz::VALUES.check)(bytes));
