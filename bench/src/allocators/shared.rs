//! Rust allocators that several threads may call: one made for that, and two behind a lock, as their users put them.

use super::arena::{ARENA, Tlsf, raw};
use super::candidate::{Candidate, Threads, candidate, layout};
use super::is_plain;
use crate::base::kernel;
use rusty_alloc::alloc as rusty;
use spinning_top::RawSpinlock;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{NonNull, slice_from_raw_parts_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use talc::{TalcLock, source::Manual};

candidate!(
    RustyAlloc,
    Some("rusty_alloc"),
    "rusty_alloc",
    "the functions of its own global allocator",
    threads: Threads::UNANNOUNCED,
    trim: || rusty::collect(true),
    allocate(layout): match is_plain(layout) {
        true => rusty::malloc(layout.size()),
        false => rusty::malloc_aligned_pow2(layout.size(), layout.align()),
    },
    zeroed(layout): rusty::zalloc(layout.size()),
    free(payload, _): rusty::free_inline_flags_first(payload),
    resize(payload, _, new): rusty::realloc(payload, new),
);

static TALC: TalcLock<RawSpinlock, Manual> = TalcLock::new(Manual);

candidate!(
    TalcBehindLock,
    Some("talc"),
    "talc-lock",
    "TalcLock with spinning_top, as in its examples, 1 GiB arena",
    threads: Threads::UNANNOUNCED,
    prepare: TALC.lock().claim(kernel::reserve(ARENA), ARENA).expect("talc takes the arena"),
    allocate(layout): TALC.alloc(layout),
    free(payload, layout): TALC.dealloc(payload, layout),
    resize(payload, old, new): TALC.realloc(payload, old, new),
);

static RLSF: Mutex<Tlsf> = Mutex::new(Tlsf::new());

/// Nothing in here leaves the allocator half changed.
#[inline(always)]
fn rlsf() -> MutexGuard<'static, Tlsf> {
    RLSF.lock().unwrap_or_else(PoisonError::into_inner)
}

candidate!(
    RlsfBehindLock,
    Some("rlsf"),
    "rlsf-lock",
    "Tlsf in a Mutex of the standard library, 1 GiB arena",
    threads: Threads::UNANNOUNCED,
    prepare: {
        let arena = NonNull::new_unchecked(slice_from_raw_parts_mut(kernel::reserve(ARENA), ARENA));
        rlsf().insert_free_block_ptr(arena).expect("rlsf takes the arena")
    },
    allocate(layout): raw(rlsf().allocate(layout)),
    free(payload, layout): rlsf().deallocate(NonNull::new_unchecked(payload), layout.align()),
    resize(payload, old, new):
        raw(rlsf().reallocate(NonNull::new_unchecked(payload), layout(new, old.align()))),
);
