//! See `hmalloc_fuzz::heap`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hmalloc_fuzz::heap::run(input));
