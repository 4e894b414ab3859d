//! The ways in for Rust programs: the `Allocator` traits of others, heaps that come and go, limits, hooks, and what a heap says
//! of itself.

mod bytes;
mod collections;
mod coming_and_going;
mod contract;
mod figures;
mod hooks;
mod limits;
mod nightly;
mod report;
