//! The heap over bytes of the program's own, where there is no Linux: on a microcontroller, in a web page, in a kernel. It
//! ends with status 0 if all of it works.
#![no_std]
#![no_main]

extern crate alloc;

mod machine;
mod work;

use hmalloc::brk::{Arena, Bytes};
use hmalloc::{Hmalloc, SingleThreaded};

static ARENA: Arena<{ 512 << 10 }> = Arena::new();

// SAFETY: this program has one thread, and allocates in no interrupt.
#[global_allocator]
static HEAP: Hmalloc<SingleThreaded, Bytes> = unsafe { Hmalloc::single_threaded_with_source(Bytes::new(&ARENA)) };

/// All of the work.
fn run() {
    work::a_random_load_keeps_what_is_written();
    work::every_address_is_told_apart();
    work::running_out_is_an_answer();
    work::collections_live_on_the_global_heap(&HEAP);
    work::a_break_is_emulated();
    work::another_user_moves_the_break();
    work::large_blocks_are_resized(&HEAP);
    work::what_is_free_at_the_end_is_returned();
    work::the_last_stage_works();
}
