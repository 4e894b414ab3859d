//! What a `Heap` answers to whoever calls it: blocks that are right, or that there is no memory. All of it over an
//! emulated break.

mod contract;
mod exhaustive;
mod guests;
mod model;
mod operations;
mod requests;
mod zeroed;
