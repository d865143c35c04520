//! Fuzzes the check `bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (lath_fuzz::BUNDLE.check)(bytes));
