//! What the programs of this package share: a heap drawn for a person to read.
#![no_std]

mod view;

pub use view::{Bytes, show_heap};
