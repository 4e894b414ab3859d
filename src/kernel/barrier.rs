//! A barrier that all threads of the process pass, wherever they are, so that they need none of their own.

use crate::kernel::call::{Errno, Sysno, syscall};
use crate::kernel::tasks;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, fence};

const PRIVATE_EXPEDITED: usize = 8;
const REGISTER_PRIVATE_EXPEDITED: usize = 16;
/// How long is slept where the kernel offers no barrier, in milliseconds. A store waits for nanoseconds in a processor that
/// runs, and is complete in one that has switched to another thread.
const SLEEP: usize = 2;

const UNKNOWN: u32 = 0;
const REGISTERED: u32 = 1;
const MISSING: u32 = 2;

static STATE: AtomicU32 = AtomicU32::new(UNKNOWN);

/// Returns when every thread of the process has passed a full barrier since the call began: what each of them stored before
/// is seen after it, and what the caller stored before is seen by them.
///
/// Costs some 5 us by `membarrier`, and the process's first call 15 ms, for the kernel gets ready for it. Where that is
/// missing, or where a filter may kill for it, 2 ms are slept instead: no store stays unseen for so long.
#[cold]
pub(crate) fn pass_all() {
    fence(SeqCst);
    if STATE.load(Relaxed) != MISSING && !tasks::is_filtered() {
        let answer = membarrier(PRIVATE_EXPEDITED).or_else(|_| {
            membarrier(REGISTER_PRIVATE_EXPEDITED)?;
            membarrier(PRIVATE_EXPEDITED)
        });
        STATE.store(if answer.is_ok() { REGISTERED } else { MISSING }, Relaxed);
        if answer.is_ok() {
            return;
        }
    }
    sleep();
}

/// As [`pass_all`], but makes no system call that a filter might kill for: sleeps 2 ms.
#[cold]
pub(crate) fn pass_all_quietly() {
    fence(SeqCst);
    sleep();
}

/// As [`pass_all`], where only a store that is seen a little later would do harm, and only in a program that frees a block
/// twice at the same instant: spins for some microseconds unless the kernel is ready for the better way.
#[cold]
pub(crate) fn pass_soon() {
    fence(SeqCst);
    let ready = STATE.load(Relaxed) == REGISTERED && !tasks::is_filtered();
    if ready && membarrier(PRIVATE_EXPEDITED).is_ok() {
        return;
    }
    (0..1000).for_each(|_| core::hint::spin_loop());
    fence(SeqCst);
}

fn sleep() {
    tasks::sleep(SLEEP);
    fence(SeqCst);
}

fn membarrier(command: usize) -> Result<(), Errno> {
    if cfg!(miri) {
        return Err(Errno::ENOSYS);
    }
    // SAFETY: changes nothing that a program can see.
    unsafe { syscall!(Sysno::membarrier, command, 0, 0) }.map(drop)
}
