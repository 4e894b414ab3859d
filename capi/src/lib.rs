//! hmalloc for C. `hmalloc.h` documents the functions. The layers, from the caller down:
//!
//! ```text
//! hooks        what a libc calls at start and at exit
//! family       hmalloc, hfree, ...; standard: malloc, free, ...; glibc: other names for them; figures: mallinfo, ...
//! operators    C++'s new and delete; operators/ENTRY: what of them Rust cannot say; cxx: throwing, if there is a C++ library
//! request      what C asks of an allocator, as layouts; errno
//! misuse       what is done about a wrong pointer
//! environment  what the environment asks of the libraries that define malloc
//! unwinder     what shows the stacks of a profile; leave: the ends of a process that run nothing else
//! report       the heap in one line
//! shared       the one heap; policy: the one policy
//! libc, line   what is used of a libc where there is one; one line of text
//! ```
//!
//! The modules standard, glibc, figures, operators, cxx and environment are for the libraries that define `malloc`, the shared
//! one and `libhmalloc-malloc.a` (feature `preload`).
//!
//! Nothing has to be initialized: the heap is a constant, so it works in the dynamic loader, in constructors and after
//! the last destructor.
#![no_std]

#[cfg(all(feature = "preload", target_arch = "x86_64", target_pointer_width = "64"))]
mod cxx;
#[cfg(feature = "preload")]
mod environment;
mod family;
#[cfg(feature = "preload")]
mod figures;
#[cfg(feature = "preload")]
mod glibc;
mod hooks;
#[cfg(feature = "preload")]
mod leave;
mod libc;
mod line;
mod misuse;
#[cfg(feature = "preload")]
mod modes;
#[cfg(all(feature = "preload", target_arch = "x86_64", target_pointer_width = "64"))]
mod operators;
mod panic;
mod policy;
mod report;
mod request;
mod shared;
#[cfg(feature = "preload")]
mod standard;
#[cfg(feature = "preload")]
mod unwinder;

// `libhmalloc.a` brings its own memory functions, as local symbols: it takes nothing from a libc, and overrides nothing of one.
// The others use libc's: a crate that nothing names is not linked.
#[cfg(not(feature = "preload"))]
use hmalloc_runtime as _;
