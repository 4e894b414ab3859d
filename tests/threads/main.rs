//! Several threads on one heap: each of them allocates, and any of them frees, resizes and looks. Everything here goes
//! through the public API, and holds whichever way the heap keeps threads apart.
//!
//! `HMALLOC_TEST_RACES`, `HMALLOC_TEST_FORKS`, `HMALLOC_TEST_SIGNALS` and `HMALLOC_TEST_FACTOR` make these longer
//! (`tests/README.md`).

mod blocks;
mod crowd;

mod forks;
mod handlers;
mod races;
mod short_lives;
mod storms;

/// The program's heap: the standard library's threads, channels and vectors are on it, too.
#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
