//! A static program without a libc: it says how often each of its arguments was given.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use core::fmt::Write;
use hmalloc_runtime::{Output, Process, STDOUT, Text, program};

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

program!(main);

fn main(process: Process) -> i32 {
    let mut counts = BTreeMap::new();
    for argument in process.arguments().skip(1) {
        *counts.entry(argument).or_insert(0) += 1;
    }
    let mut output = Output::new(STDOUT);
    for (argument, count) in &counts {
        let _ = writeln!(output, "{count} {}", Text(argument));
    }
    let _ = writeln!(output, "{} blocks, from {:?}", HEAP.stats().live_blocks, HEAP.stats().source);
    i32::from(output.flush().is_err())
}
