//! hmalloc for C: `hmalloc.h` says what each function does. The layers, from the caller down:
//!
//! ```text
//! family    hmalloc, hfree, ...           both libraries
//! standard  malloc, free, ...             the shared library (feature `preload`); glibc: other names for them;
//!                                         figures: mallinfo and its kin; environment, log: what is asked of it
//! request   what C asks of an allocator, as layouts; errno; misuse
//! shared    the one heap
//! libc      what is used of a libc where there is one
//! ```
//!
//! Nothing has to be initialized: the heap is a constant, so it works in the dynamic loader, in constructors, and after
//! the last destructor.
#![no_std]

#[macro_use]
#[path = "../../src/weak.rs"]
mod weak;

#[cfg(feature = "preload")]
mod environment;
mod family;
#[cfg(feature = "preload")]
mod figures;
#[cfg(feature = "preload")]
mod glibc;
mod libc;
mod line;
#[cfg(feature = "preload")]
mod log;
mod panic;
mod policy;
mod report;
mod request;
mod shared;
#[cfg(feature = "preload")]
mod standard;

// The static library brings its own memory functions, as local symbols: it takes nothing from a libc, and overrides nothing
// of one. The shared library has libc's: a crate that nothing names is not linked.
#[cfg(not(feature = "preload"))]
use hmalloc_runtime as _;
