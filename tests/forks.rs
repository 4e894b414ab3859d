//! Forks, signals and re-entry in a program of the standard library whose global allocator is an `Hmalloc`, each scenario
//! in a process of its own.
//!
//! `HMALLOC_TEST_FORKS` is how often a scenario forks.

#[path = "forks/processes.rs"]
mod processes;
#[path = "forks/staged.rs"]
mod staged;

#[path = "forks/bare.rs"]
mod bare;
#[path = "forks/contention.rs"]
mod contention;
#[path = "forks/handlers.rs"]
mod handlers;
#[path = "forks/reentry.rs"]
mod reentry;
#[path = "forks/storms.rs"]
mod storms;

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
