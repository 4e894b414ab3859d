//! Runs the heap of an exercise, of a stage or the production heap, without a libc, so that it runs on any machine:
//! `candidate HEAP play|draw|words|trace|TEST`, with a script on standard input.
#![no_std]
#![no_main]
#![cfg_attr(
    any(target_arch = "mips", target_arch = "mips64", target_arch = "powerpc", target_arch = "powerpc64"),
    feature(asm_experimental_arch)
)]

#[allow(dead_code, reason = "the probe uses all of it")]
#[path = "../../../qemu/src/bin/probe/access.rs"]
mod access;
mod heaps;
mod modes;
mod words;

/// The stages' files, of which exercise 7 has copies, take the seam to the kernel from here.
mod brk {
    #[allow(unused_imports, reason = "only copies of stages need it")]
    pub(crate) use hmalloc::brk::Brk;
}

use hmalloc_runtime::{Process, program, say};

program!(main);

fn main(process: Process) -> i32 {
    learn_heap::on_gap(unfinished);
    let mut arguments = process.arguments().skip(1).map(|argument| argument.to_str().unwrap_or(""));
    let (heap, mode) = (arguments.next().unwrap_or(""), arguments.next().unwrap_or(""));
    modes::limit_time(mode);
    modes::run(heap, mode, arguments.next().unwrap_or(""))
}

/// Says which gap was reached, and ends.
fn unfinished(place: &str, hint: &str) -> ! {
    say(format_args!("gap {place}: {hint}\n"));
    hmalloc_runtime::exit(learn_heap::UNFINISHED)
}
