//! Fuzzes the check `routes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (lath_fuzz::ROUTES.check)(bytes));
