//! What the fuzz targets do with an input. Each is a sequence of calls; after each call an oracle looks at what came of it.
//!
//! | module | what is fuzzed | the oracle |
//! |---|---|---|
//! | [`heap`] | a `Heap` over an emulated break that refuses, misbehaves and is moved by others | that of the tests: every byte, every span, `check` after each step |
//! | [`owners`] | a `Hmalloc` used through two handles and as itself, each freeing what the others have allocated | [`books`] |
//! | [`c`] | the functions of `hmalloc.h`, on the real kernel | [`books`] |
//!
//! Payloads are poisoned whenever the oracle itself does not look at them, so the heap's first access to one ends the run. A
//! block that is resized is not: its content may have to be copied.
#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "only the targets here call these functions")]

mod asan;
pub mod books;
pub mod c;
pub mod heap;
mod input;
#[path = "../../tests/heap/operations.rs"]
#[allow(dead_code, reason = "the tests name payloads by age, too")]
mod operations;
pub mod owners;
