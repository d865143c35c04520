//! Fuzzes the check `manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (lath_fuzz::MANIFEST.check)(bytes));
