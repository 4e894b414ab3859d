//! Static programs without a libc, which is what the heap is for: the main job on this machine, and what runs on twelve
//! more architectures.

mod matrix;
mod runtime;
mod words;
