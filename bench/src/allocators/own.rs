//! This repository's heap, with and without its lock, on its own break and on the program's. Every freed pointer is validated.

use super::candidate::{Candidate, Kind, candidate};
use hmalloc::brk::Linux;
use hmalloc::{Futex, Hmalloc};
use std::alloc::{GlobalAlloc, Layout};

// SAFETY: a child has one thread.
static SINGLE_THREADED: Hmalloc<hmalloc::SingleThreaded> = unsafe { Hmalloc::single_threaded() };
static LOCKED: Hmalloc = Hmalloc::new();
// SAFETY: as above. The C library moves the same break, in the same thread, and is told where it is.
static ON_BREAK: Hmalloc<hmalloc::SingleThreaded, Linux> = unsafe { Hmalloc::single_threaded_with_source(Linux) };
static LOCKED_ON_BREAK: Hmalloc<Futex, Linux> = Hmalloc::with_source(Linux);

/// Hands the calls to a static that is a `GlobalAlloc`.
macro_rules! global {
    ($type:ident, $static:ident, $name:literal, $note:literal) => {
        candidate!(
            $type,
            Some("hmalloc"),
            $name,
            $note,
            kind: Kind::Ours,
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

global!(SingleThreaded, SINGLE_THREADED, "hmalloc", "Hmalloc<SingleThreaded>: no lock, every free validated");
global!(Locked, LOCKED, "hmalloc-lock", "Hmalloc: the default, behind its futex lock, every free validated");
global!(OnBreak, ON_BREAK, "hmalloc-brk", "the same without a lock, on the program break");
global!(LockedOnBreak, LOCKED_ON_BREAK, "hmalloc-lock-brk", "the same behind its lock, on the program break");

/// The heap in numbers, for those of this module.
pub(crate) fn stats(name: &str) -> Option<hmalloc::Stats> {
    match name {
        SingleThreaded::NAME => Some(SINGLE_THREADED.stats()),
        Locked::NAME => Some(LOCKED.stats()),
        OnBreak::NAME => Some(ON_BREAK.stats()),
        LockedOnBreak::NAME => Some(LOCKED_ON_BREAK.stats()),
        _ => None,
    }
}
