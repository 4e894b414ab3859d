//! hmalloc in company: a C library with a malloc of its own, other heaps in the process, limits, neighbours, and safe code
//! that takes every liberty.
//!
//! The programs are in `tests/programs`, a package of its own that these tests build for glibc and for musl. What makes
//! them larger: `tests/README.md`.

mod arenas;
mod build;
mod glibc;
mod limits;
mod musl;
mod safe;
mod sources;
mod watched;
