//! What an exercise of `learn/` is written against, and what makes a heap of one do its calls.
//!
//! | file | what it has |
//! |---|---|
//! | `gap.rs` | what stands where the learner has to write |
//! | `heap.rs` | [`Heap`]: what all heaps here can do, and [`candidate!`], which makes one of an exercise |
//! | `peers.rs` | the heaps to compare with: the journal's stages, a first fit as in xv6, the production heap |
//! | `slab.rs` | [`Slab`]: what exercise 6 makes |
//! | `play.rs` | a script of calls: what each answered, and the heap after it |
//! | `replay.rs` | a recorded trace, done again |
#![no_std]
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "what a wrong call does is the lesson; see `Heap`")]

mod gap;
mod heap;
mod peers;
mod play;
mod replay;
mod slab;

pub use gap::{UNFINISHED, gap, on_gap};
pub use heap::{Heap, Kernel, OfStage, Seen};
pub use peers::{FirstFit, Production};
pub use play::{Make, play};
pub use replay::{Replayed, Step, replay};
pub use slab::{Slab, Wrong, play_slab};
