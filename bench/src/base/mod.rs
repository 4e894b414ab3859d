//! What every part stands on: this process and its children, numbers and tables. Nothing here knows an allocator.

pub(crate) mod build;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod durations;
pub(crate) mod kernel;
pub(crate) mod machine;
pub(crate) mod neighbours;
pub(crate) mod probe;
pub(crate) mod progress;
pub(crate) mod random;
pub(crate) mod samples;
pub(crate) mod stats;
pub(crate) mod table;
