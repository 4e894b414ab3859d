//! What a `Heap` answers to its caller: a block that is right, or that there is no memory. All of it over an emulated
//! break.

mod contract;
mod exhaustive;
mod guests;
mod model;
mod operations;
mod requests;
mod zeroed;
