//! The comparison: children that measure, the parent that starts them, and the raw data that they leave.

mod callgrind;
pub(crate) mod child;
pub(crate) mod data;
pub(crate) mod parent;
pub(crate) mod record;
pub(crate) mod self_test;
mod smoke;
mod steps;
mod syscalls;
mod tracee;
