//! A heap for Linux over the raw `brk` system call.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod brk;
#[cfg(feature = "stages")]
pub mod stages;

mod blocks;
mod check;
mod fit;
mod global;
mod header;
mod heap;
mod lock;
mod misuse;
mod page_map;
mod regions;
mod size_class;
mod slab;
mod spans;
mod stats;
mod sys;
mod top;
mod validate;

pub use blocks::{Blocks, SpanInfo, SpanInfos, SpanKind};
pub use check::Corruption;
pub use global::Hmalloc;
pub use header::PAGE;
pub use heap::{Heap, ResizeError};
pub use lock::{Futex, Lock, SingleThreaded};
pub use misuse::{Block, BlockState, Misuse, MisuseKind, Policy};
pub use spans::OutOfMemory;
pub use stats::Stats;
