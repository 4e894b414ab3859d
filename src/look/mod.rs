//! Walks over the whole heap.

pub(crate) mod blocks;
pub(crate) mod check;
pub(crate) mod debugger;
pub(crate) mod figures;
pub(crate) mod histogram;
pub(crate) mod map;
pub(crate) mod profile;
pub(crate) mod report;
pub(crate) mod stats;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod summary;
