//! Walks over the whole heap.

pub(crate) mod blocks;
pub(crate) mod check;
pub(crate) mod debugger;
pub(crate) mod stats;
