//! This repository's heap: the default and the one for a single thread, each on its own break and on the program's. Every
//! freed pointer is validated.

use super::candidate::{Candidate, Kind, Threads, candidate};
use hmalloc::brk::Linux;
use hmalloc::{Futex, Hmalloc, SingleThreaded};
use std::alloc::{GlobalAlloc, Layout};

static DEFAULT: Hmalloc = Hmalloc::new();
// SAFETY: a process that calls this entry has one thread.
static ALONE: Hmalloc<SingleThreaded> = unsafe { Hmalloc::single_threaded() };
static ON_BREAK: Hmalloc<Futex, Linux> = Hmalloc::with_source(Linux);
// SAFETY: as above. The C library moves the same break, in the same thread, and is told where it is.
static ALONE_ON_BREAK: Hmalloc<SingleThreaded, Linux> = unsafe { Hmalloc::single_threaded_with_source(Linux) };

/// Hands the calls to a static that is a `GlobalAlloc`.
macro_rules! global {
    ($type:ident, $static:ident, $name:literal, $note:literal $(, $threads:expr)?) => {
        candidate!(
            $type,
            Some("hmalloc"),
            $name,
            $note,
            kind: Kind::Ours,
            $(threads: $threads,)?
            trim: || {
                $static.trim(0);
            },
            allocate(layout): $static.alloc(layout),
            zeroed(layout): $static.alloc_zeroed(layout),
            free(payload, layout): $static.dealloc(payload, layout),
            resize(payload, old, new): $static.realloc(payload, old, new),
        );
    };
}

global!(Default, DEFAULT, "hmalloc", "Hmalloc::new(): the default, for any number of threads", Threads::UNANNOUNCED);
global!(Alone, ALONE, "hmalloc-alone", "Hmalloc<SingleThreaded>: for programs of one thread");
global!(OnBreak, ON_BREAK, "hmalloc-brk", "the default on the program break", Threads::UNANNOUNCED);
global!(AloneOnBreak, ALONE_ON_BREAK, "hmalloc-alone-brk", "for programs of one thread, on the program break");

/// The heap in numbers, for those of this module.
pub(crate) fn stats(name: &str) -> Option<hmalloc::Stats> {
    match name {
        Default::NAME => Some(DEFAULT.stats()),
        Alone::NAME => Some(ALONE.stats()),
        OnBreak::NAME => Some(ON_BREAK.stats()),
        AloneOnBreak::NAME => Some(ALONE_ON_BREAK.stats()),
        _ => None,
    }
}
