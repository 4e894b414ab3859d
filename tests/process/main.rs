//! A program of the standard library whose global allocator is an `Hmalloc`: this test binary. Its collections and threads,
//! and, each scenario in a process of its own, forks, signal handlers and re-entry.
//!
//! `HMALLOC_TEST_FORKS` is how often a scenario forks.

mod processes;
mod staged;

mod bare;
mod contention;
mod environment;
mod global_allocator;
mod guards;
mod handlers;
mod pictures;
mod profile;
mod reentry;
mod refused_guards;
mod storms;

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
