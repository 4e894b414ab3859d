//! What is below the heap: the kernel, a libc if there is one, and how a line gets out.

#[macro_use]
mod weak;

pub(crate) mod atomic;
pub(crate) mod barrier;
pub mod brk;
pub(crate) mod environment;
pub(crate) mod fork;
pub(crate) mod libc;
pub(crate) mod line;
pub(crate) mod log;
pub(crate) mod seat;
pub(crate) mod seats;
pub(crate) mod sys;
pub(crate) mod tasks;
pub(crate) mod who;
