//! Pages that the kernel takes back, or is told about.

use super::{Anew, Area, replace};
use crate::kernel::brk::Refused;
use crate::kernel::call::{Errno, Sysno, syscall};
use crate::kernel::tasks::is_filtered;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8};

const MADV_DONTNEED: usize = 4;
const MADV_HUGEPAGE: usize = 14;

/// Whether huge pages were asked for, so that mappings differ in more than their addresses.
static ADVISED: AtomicBool = AtomicBool::new(false);

/// Whether `madvise` does what it says: not asked yet, yes, no.
static DISCARDS: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const YES: u8 = 1;
const NO: u8 = 2;

/// Returns the memory of a range to the kernel, and keeps its addresses: on success it reads as zero.
///
/// In the program break `madvise` does that, which is believed after it was seen to work: emulators and filters may
/// answer 0 and do nothing. Elsewhere a new mapping takes the place of the old one, and the kernel joins it with its
/// neighbours again; unless those were advised to use huge pages, where `madvise` leaves fewer mappings behind.
///
/// # Safety
///
/// The range consists of pages of the caller's that are readable and writable, and its content is not needed any more.
pub(in crate::kernel::brk) unsafe fn discard(start: usize, bytes: usize, area: Area) -> Result<(), Refused> {
    let may_advise = matches!(area, Area::ProgramBreak) || ADVISED.load(Relaxed);
    if may_advise && DISCARDS.load(Relaxed) != NO && !is_filtered() {
        // SAFETY: the caller's promise.
        let answer = unsafe { discard_by_advice(start, bytes) };
        // Locked memory answers EINVAL, and stays.
        if answer.is_err() || DISCARDS.load(Relaxed) == YES {
            return answer;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { replace(start, bytes, Anew::Zero, area.flags()) }
}

/// # Safety
///
/// As for [`discard`].
unsafe fn discard_by_advice(start: usize, bytes: usize) -> Result<(), Refused> {
    let first = core::ptr::with_exposed_provenance_mut::<u8>(start);
    let unknown = DISCARDS.load(Relaxed) == UNKNOWN;
    if unknown {
        // SAFETY: the range is the caller's and writable; its content is not needed.
        unsafe { first.write_volatile(1) };
    }
    // SAFETY: the caller owns the range and does not need its content.
    let advised = unsafe { syscall!(Sysno::madvise, start, bytes, MADV_DONTNEED) };
    if unknown {
        // SAFETY: as above.
        let zero = unsafe { first.read_volatile() } == 0;
        if !zero {
            // It may be known to have been.
            // SAFETY: as above.
            unsafe { first.write_volatile(0) };
        }
        if advised.is_ok() {
            DISCARDS.store(if zero { YES } else { NO }, Relaxed);
        }
    }
    advised.map_err(|_| Refused)?;
    Ok(())
}

/// Whether a page is locked in memory, as all are after `mlockall(MCL_FUTURE)`: a new mapping is filled at once there,
/// and advice is refused. False where that is not asked: where no advice is given on pages anyway, and under a filter.
pub(in crate::kernel::brk) fn is_locked(start: usize, page: usize, area: Area) -> bool {
    let may_advise = matches!(area, Area::ProgramBreak) || ADVISED.load(Relaxed);
    // SAFETY: the callers own the page and do not need what is in it.
    may_advise
        && !is_filtered()
        && unsafe { syscall!(Sysno::madvise, start, page, MADV_DONTNEED) } == Err(Errno::EINVAL)
}

/// Asks for huge pages.
pub(in crate::kernel::brk) fn expect_use(start: usize, bytes: usize) {
    if !is_filtered() {
        ADVISED.store(true, Relaxed);
        // SAFETY: the advice changes which pages back the range, not what is in them. A kernel without huge pages
        // answers EINVAL, and then nothing was lost.
        let _ = unsafe { syscall!(Sysno::madvise, start, bytes, MADV_HUGEPAGE) };
    }
}

/// Whether the kernel's page at `start` holds memory. That is not asked, and the answer is no, under a filter, and where no advice is
/// given on pages anyway: to ask whether there is a filter may be what it kills for.
pub(in crate::kernel::brk) fn is_resident(start: usize, area: Area) -> bool {
    let may_advise = matches!(area, Area::ProgramBreak) || ADVISED.load(Relaxed);
    let mut answer = 0_u8;
    // SAFETY: the kernel writes a byte for each of its pages in the range, so that is one byte long: `page_size` may be larger than
    // its pages are. The lowest bit counts.
    let asked = may_advise && !is_filtered() && unsafe { syscall!(Sysno::mincore, start, 1, &raw mut answer) }.is_ok();
    asked && answer & 1 == 1
}
