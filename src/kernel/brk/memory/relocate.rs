//! Memory that moves to other addresses without a copy.

use super::{Anew, Area, READ_WRITE, map_exactly, protect, replace};
use crate::kernel::brk::{Refused, page_size};
use crate::kernel::call::{Errno, Sysno, syscall};
use crate::kernel::sys;
use crate::kernel::tasks::is_filtered;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

const MREMAP_MAYMOVE: usize = 1;
const MREMAP_FIXED: usize = 2;
/// Keeps the old mapping, empty (Linux 5.7): no gap is left that another mapping could take.
const MREMAP_DONTUNMAP: usize = 4;

/// Moves that are made in a process: each may leave some mappings more, of which Linux has 65,530 by default.
const MOVES_MAX: usize = 8192;
static MOVES: AtomicUsize = AtomicUsize::new(0);

/// Moves the memory of a range to another one, page by page and without a copy, and leaves zeros behind.
///
/// Refused are ranges of more than one mapping (before Linux 6.17; a block that was moved and has grown since is one),
/// kernels before 5.7, a limit on addresses that leaves no room for the range a second time, and more than
/// [`MOVES_MAX`] moves. Under a filter, which may forbid the call, it is not made.
///
/// # Safety
///
/// Both ranges consist of pages of the caller's that are readable and writable, they do not overlap, and the content
/// of `to` is not needed any more.
pub(in crate::kernel::brk) unsafe fn relocate(from: usize, to: usize, bytes: usize, area: Area) -> Result<(), Refused> {
    if MOVES.load(Relaxed) >= MOVES_MAX || is_filtered() {
        return Err(Refused);
    }
    MOVES.fetch_add(1, Relaxed);
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    // SAFETY: the caller's promise.
    match unsafe { syscall!(Sysno::mremap, from, bytes, bytes, flags, to) } {
        Ok(moved) if moved == to => {}
        _ => {
            // SAFETY: the caller's promise.
            unsafe { close_gaps(to, bytes) };
            return Err(Refused);
        }
    }
    // The old mapping is empty, and this only lets the kernel join it with its neighbours; but qemu-user takes it for
    // gone until it is mapped anew.
    // SAFETY: its content has just been moved away. Refused, it stays as it is: empty.
    let _ = unsafe { replace(from, bytes, Anew::Zero, area.flags()) };
    Ok(())
}

/// Maps anew what a move that failed has unmapped: kernels make room first and find errors later.
///
/// # Safety
///
/// The range is the caller's.
unsafe fn close_gaps(start: usize, bytes: usize) {
    // SAFETY: readable and writable is what the range is to be.
    let has_gap = |at, bytes| unsafe { protect(at, bytes, READ_WRITE) } == Err(Errno::ENOMEM);
    if !has_gap(start, bytes) || map_exactly(start, bytes).is_ok() {
        return;
    }
    let page = page_size::page_size();
    for at in (start..start + bytes).step_by(page) {
        if has_gap(at, page) && map_exactly(at, page).is_err() {
            sys::die("hmalloc: the kernel took a mapping away\n");
        }
    }
}
