//! What the other folders build on: headers, the page map, size classes, and the lock.

pub(crate) mod aside;
pub(crate) mod callers;
pub(crate) mod chance;
pub(crate) mod chunks;
pub(crate) mod company;
pub(crate) mod contents;
pub(crate) mod corrupt;
pub(crate) mod freed;
pub(crate) mod guards;
pub(crate) mod handles;
pub(crate) mod header;
pub(crate) mod inbox;
pub(crate) mod leaf;
pub(crate) mod lease;
pub(crate) mod limit;
pub(crate) mod list;
pub(crate) mod lookup;
pub(crate) mod page_map;
pub(crate) mod pattern;
pub(crate) mod pointer;
pub(crate) mod policy;
pub(crate) mod prefetch;
pub(crate) mod profiling;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod refused;
pub(crate) mod sampling;
pub(crate) mod shared;
pub(crate) mod sites;
pub(crate) mod size_class;
pub(crate) mod units;

pub(crate) use crate::kernel::atomic;
