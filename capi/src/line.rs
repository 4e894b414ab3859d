//! Formatted lines to a file descriptor, without allocation.

#[cfg(feature = "preload")]
pub(crate) use hmalloc::process::Text;
pub(crate) use hmalloc::process::{STDERR, say};
