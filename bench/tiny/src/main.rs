//! A small program as a static binary without libc: it counts the words of a text, says what it found, waits for a
//! byte on standard input, frees everything, waits again and ends.
//!
//! While it waits, its parent looks at the memory it has touched. What the program is worth is the difference between
//! two builds of it, so it holds as little as it can besides the allocator: a panic ends it without a message, and
//! unless the feature `format` is on, nothing is formatted.
#![no_std]
#![no_main]

extern crate alloc;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("this program is for Linux on x86_64");

mod allocator;
mod runtime;
mod words;

// Its memory functions alone: string instructions, and nothing but `core`.
use hmalloc_runtime as _;
use runtime::{say, wait_for_byte};

/// The whole program.
fn main() {
    allocator::prepare();
    let words = words::count(words::TEXT);
    say(words.report().as_bytes());
    allocator::name_spans();
    say(b"live\n");
    wait_for_byte();
    drop(words);
    say(b"freed\n");
    wait_for_byte();
}
