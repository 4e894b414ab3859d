//! The tour of the journal.
#![no_std]
#![no_main]

use hmalloc_qemu::{Process, program, say};

program!(main);

fn main(_: Process) -> i32 {
    say(format_args!("tour: not written yet\n"));
    1
}
