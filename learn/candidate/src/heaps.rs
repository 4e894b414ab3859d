//! The heaps that this program has: those that it was built with, and the ones to compare with.

use core::fmt;
use hmalloc::stages::s1_minimal::Minimal;
use hmalloc::stages::s2_aligned::Aligned;
use hmalloc::stages::s3_linked::Linked;
use hmalloc::stages::s4_splitting::Splitting;
use hmalloc::stages::s5_coalescing::Coalescing;
use hmalloc_runtime::{Output, exit, say};
#[allow(unused_imports, reason = "only exercise 6 has slabs")]
use learn_heap::play_slab;
use learn_heap::{FirstFit, Heap, Kernel, OfStage, Production};

/// Tests and their names.
pub(crate) type Tests = &'static [(&'static str, fn(&mut dyn Heap))];

/// What was asked for is not in this build.
fn no_such(name: &str) -> ! {
    say(format_args!("there is no {name} here\n"));
    exit(2)
}

fn own<B: Kernel>(name: &str, brk: B, play: &mut dyn FnMut(&mut dyn Heap)) {
    match name {
        "s1" => play(&mut OfStage(Minimal::new(brk))),
        "s2" => play(&mut OfStage(Aligned::new(brk))),
        "s3" => play(&mut OfStage(Linked::new(brk))),
        "s4" => play(&mut OfStage(Splitting::new(brk))),
        "s5" => play(&mut Resizing(Coalescing::new(brk))),
        "xv6" => play(&mut FirstFit::new(brk)),
        "heap" => play(&mut Production::new(brk)),
        _ => no_such(name),
    }
}

/// Stage 5 with what it alone has.
struct Resizing<B: Kernel>(Coalescing<B>);

impl<B: Kernel> Heap for Resizing<B> {
    fn malloc(&mut self, size: usize) -> *mut u8 {
        // SAFETY: whoever plays a heap writes to payloads only, and nothing lowers the break below it.
        unsafe { self.0.hmalloc(size) }
    }

    fn free_and_hear(&mut self, payload: *mut u8, _: learn_heap::Seen<'_>) {
        // SAFETY: the payload is not used again.
        unsafe { self.0.hfree(payload) }
    }

    fn realloc(&mut self, payload: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the payload is not used again if the answer is another.
        unsafe { self.0.hrealloc(payload, size) }
    }

    fn can_realloc(&self) -> bool {
        true
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        // SAFETY: as for `malloc`.
        unsafe { self.0.hcalloc(count, size) }
    }

    fn blocks(&self, see: &mut dyn FnMut(hmalloc::stages::StageBlock)) {
        hmalloc::stages::Stage::blocks(&self.0).for_each(see);
    }

    fn header(&self) -> usize {
        <Coalescing<B> as hmalloc::stages::Stage>::HEADER
    }

    fn kernel(&mut self) -> &mut dyn Kernel {
        self.0.brk_mut()
    }
}

/// Writes what is in the buffer.
pub(crate) fn flush(output: &mut Output) {
    let _ = output.flush();
}

/// Hands the heap `name` over `brk` to `play`.
pub(crate) fn with<B: Kernel>(name: &str, brk: B, play: &mut dyn FnMut(&mut dyn Heap)) {
    told(name, brk, play);
}

/// Plays a script on the slab `name`.
pub(crate) fn play_on_slab(name: &str, script: &str, output: &mut Output) -> fmt::Result {
    slab(name, script, output, flush)
}

include!(concat!(env!("OUT_DIR"), "/heaps.rs"));
