//! Walks over the whole heap.

pub(crate) mod blocks;
pub(crate) mod check;
pub(crate) mod figures;
pub(crate) mod histogram;
pub(crate) mod map;
pub(crate) mod stats;
pub(crate) mod summary;
