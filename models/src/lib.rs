//! The protocol between threads, run by a model checker: the shipped files of `src/ground` and `src/kernel`, with the checker's atomics in the place
//! of the processor's.
//!
//! | file | what it holds |
//! |---|---|
//! | `ground/`, `kernel.rs` | the shipped files themselves, and `atomic.rs`, which stands in for the library's |
//! | `heap.rs` | the little of a heap that the protocol needs around them, written as the product does it |
//! | `frees.rs`, `wakeups.rs`, `inboxes.rs`, `recut.rs`, `leases.rs`, `maps.rs`, `owners.rs`, `seats.rs` | the models, one test each |
//! | `controls.rs` | heaps that deviate from the protocol: each must be found out |
//! | `orderings.rs` | each ordering is weakened once, and a model must fail |
//! | `place.rs`, `run.rs` | places in the source and how they are weakened; how a model runs |
//! | `interrupt.rs` | a membarrier that comes anywhere |
//!
//! What the checker covers, and what it cannot see, is in `tests/README.md`.
#![cfg(test)]

mod controls;
mod frees;
mod ground;
mod heap;
mod inboxes;
mod interrupt;
mod kernel;
mod leases;
mod maps;
mod orderings;
mod owners;
mod place;
mod recut;
mod run;
mod seats;
mod wakeups;
