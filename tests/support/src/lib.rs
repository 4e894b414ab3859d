//! What the tests of hmalloc share: every file in `tests/` takes it from here, and from nowhere else.
#![allow(missing_docs, reason = "most of it says what it is by its name, and its readers are in this repository")]
#![allow(clippy::not_unsafe_ptr_arg_deref, clippy::new_without_default, reason = "no program is built on these")]

pub mod arena;
pub mod calls;
pub mod child;
pub mod classes;
pub mod hooked;
pub mod installed;
pub mod instances;
pub mod leaves;
pub mod oracle;
pub mod packages;
pub mod pattern;
pub mod places;
pub mod programs;
pub mod random;
pub mod rustup;
pub mod setup;
pub mod staged;
pub mod subject;
pub mod toolchain;
pub mod watched;
pub mod world;
