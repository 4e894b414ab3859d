//! What every part stands on: this process and its children, numbers and tables. Nothing here knows an allocator.

pub(crate) mod cargo;
pub(crate) mod clock;
pub(crate) mod kernel;
pub(crate) mod progress;
pub(crate) mod stats;
pub(crate) mod table;
