//! The comparison: children that measure, the parent that starts them, and the raw data that they leave.

pub(crate) mod callgrind;
pub(crate) mod child;
pub(crate) mod parent;
pub(crate) mod record;
pub(crate) mod self_test;
pub(crate) mod smoke;
pub(crate) mod steps;
pub(crate) mod syscalls;
pub(crate) mod tracee;
