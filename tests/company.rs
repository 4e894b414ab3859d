//! hmalloc in company: a C library with a malloc of its own, other heaps in the process, limits, neighbours, and safe code
//! that takes every liberty.
//!
//! The programs are in `tests/programs`, a package of its own that these tests build for glibc and for musl. What makes
//! them larger: `tests/README.md`.

#[path = "company/arenas.rs"]
mod arenas;
#[path = "company/build.rs"]
mod build;
#[path = "company/glibc.rs"]
mod glibc;
#[path = "company/limits.rs"]
mod limits;
#[path = "company/musl.rs"]
mod musl;
#[path = "company/safe.rs"]
mod safe;
#[path = "company/sources.rs"]
mod sources;
