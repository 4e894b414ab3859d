//! The central part: runs of pages, from the kernel and back to it.

pub(crate) mod backoff;
pub(crate) mod chain;
mod coalesce;
mod common;
mod company;
mod discard;
pub(crate) mod fit;
mod huge;
pub(crate) mod known;
pub(crate) mod lower;
pub(crate) mod plan;
pub(crate) mod raise;
pub(crate) mod regions;
mod release;
pub(crate) mod relocate;
pub(crate) mod returns;
pub(crate) mod sampled;
pub(crate) mod slabs;
pub(crate) mod spans;
pub(crate) mod take;
pub(crate) mod thrift;
pub(crate) mod treap;
pub(crate) mod wish;
