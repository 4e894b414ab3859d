//! See `hmalloc_fuzz::owners`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hmalloc_fuzz::owners::run(input));
