//! Static programs without a libc, which is what the heap is for: the main job on this machine, what runs on twelve more
//! architectures, and the runtime that others build on.

mod killed;
mod matrix;
mod profiled;
mod runtime;
mod words;
mod zeros;
