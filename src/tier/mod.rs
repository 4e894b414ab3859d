//! Small requests: slots of slabs, one bit each.

pub(crate) mod class;
pub(crate) mod shortage;
pub(crate) mod slab;
pub(crate) mod units;
