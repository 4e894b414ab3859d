//! See `hmalloc_fuzz::c`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hmalloc_fuzz::c::run(input));
