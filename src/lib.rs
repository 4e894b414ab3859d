//! A heap for Linux over the raw `brk` system call.
#![no_std]

pub mod brk;
#[cfg(feature = "stages")]
pub mod stages;
