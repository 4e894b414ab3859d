//! What the programs of this package share: a heap drawn for a person to read.
#![no_std]

mod bytes;
mod view;

pub use bytes::Bytes;
pub use view::show_heap;
