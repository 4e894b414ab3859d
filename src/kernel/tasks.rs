//! System calls about tasks: which one the caller is, whether there are others, waiting for one of them; and the clock. An
//! interpreter makes none: its threads wait by spinning.

use crate::kernel::call::{Errno, Sysno, syscall};
use core::sync::atomic::AtomicU32;

const FUTEX_WAIT_PRIVATE: usize = 128;
const FUTEX_WAKE_PRIVATE: usize = 1 | 128;
const CLONE_VM: usize = 0x100;
const PR_GET_SECCOMP: usize = 21;

/// The calling thread's id, never 0.
pub(crate) fn thread_id() -> u32 {
    #[cfg(all(miri, test))]
    return interpreted_thread();
    #[cfg(not(all(miri, test)))]
    real_thread_id()
}

/// A number that no other living thread of a test has.
#[cfg(all(miri, test))]
fn interpreted_thread() -> u32 {
    std::thread_local!(static HERE: u64 = const { 0 });
    HERE.with(|here| (core::ptr::from_ref(here).addr() >> 3) as u32 | 1 << 31)
}

#[cfg(not(all(miri, test)))]
fn real_thread_id() -> u32 {
    if cfg!(miri) {
        return 1;
    }
    // SAFETY: no arguments, no effects.
    unsafe { syscall!(Sysno::gettid) }.map_or(u32::MAX, |id| id as u32)
}

/// A word that cannot be foreseen, or where the kernel has none, one that differs from run to run.
pub(crate) fn random() -> u64 {
    /// Without waiting for the first randomness after boot.
    const NONBLOCK: usize = 1;
    let mut word = [0_u8; 8];
    if !cfg!(miri) {
        // SAFETY: the kernel writes at most eight bytes there.
        let _ = unsafe { syscall!(Sysno::getrandom, word.as_mut_ptr(), word.len(), NONBLOCK) };
    }
    let near = core::ptr::from_ref(&word).addr() as u64;
    u64::from_ne_bytes(word) ^ near.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ milliseconds().unwrap_or(0).rotate_left(32)
}

/// The calling process's id.
pub(crate) fn process_id() -> u32 {
    if cfg!(miri) {
        return 1;
    }
    // SAFETY: no arguments, no effects.
    unsafe { syscall!(Sysno::getpid) }.map_or(0, |id| id as u32)
}

/// Whether no other task shares the caller's memory, neither a thread nor a process made by `vfork`. False where that
/// cannot be known, as under a filter that refuses the question.
#[cold]
pub(crate) fn is_alone() -> bool {
    if cfg!(miri) {
        return false;
    }
    // SAFETY: a task that shares its memory with none has nothing to give up by no longer sharing it; for any other
    // this flag is refused. Either way nothing changes.
    unsafe { syscall!(Sysno::unshare, CLONE_VM) }.is_ok()
}

/// Whether a filter may stand between this thread and the kernel. One that kills on a call cannot be tried out, so
/// where there is one, only calls are made that every libc's own `malloc` needs.
#[cold]
pub(crate) fn is_filtered() -> bool {
    if cfg!(miri) {
        return true;
    }
    // SAFETY: a question without effects. A kernel without filters answers EINVAL; another error is a filter's.
    !matches!(unsafe { syscall!(Sysno::prctl, PR_GET_SECCOMP) }, Ok(0) | Err(Errno::EINVAL))
}

/// About how many milliseconds have passed since some moment: half as many or twice as many may be counted. The counter
/// of the processor, which runs at 1 to 5 GHz, is taken for one of 2 GHz; no system call is made, which a filter might
/// forbid.
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(miri)))]
pub(crate) fn milliseconds() -> Option<u64> {
    #[cfg(target_arch = "x86")]
    use core::arch::x86::_rdtsc;
    #[cfg(target_arch = "x86_64")]
    use core::arch::x86_64::_rdtsc;
    // SAFETY: every processor that runs Rust has the instruction, and Linux allows it.
    Some(unsafe { _rdtsc() } >> 21)
}

/// How many milliseconds have passed since some moment: no system call is made, which a filter might forbid.
#[cfg(target_arch = "aarch64")]
pub(crate) fn milliseconds() -> Option<u64> {
    let (ticks, frequency): (u64, u64);
    // SAFETY: Linux lets programs read the counter and its frequency.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
        core::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags));
    }
    Some(ticks / (frequency / 1000).max(1))
}

/// Milliseconds since the system started, give or take a few, or nothing where a filter may forbid the question.
#[cfg(any(miri, not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64"))))]
#[cold]
pub(crate) fn milliseconds() -> Option<u64> {
    const CLOCK_MONOTONIC_COARSE: usize = 6;
    #[cfg(target_pointer_width = "64")]
    const CLOCK_GETTIME: Sysno = Sysno::clock_gettime;
    #[cfg(target_pointer_width = "32")]
    const CLOCK_GETTIME: Sysno = Sysno::clock_gettime64;
    let mut time = [0_u64; 2];
    // SAFETY: the kernel writes seconds and nanoseconds of 64 bits each.
    let mut asked = || unsafe { syscall!(CLOCK_GETTIME, CLOCK_MONOTONIC_COARSE, time.as_mut_ptr()) };
    if is_filtered() || asked().is_err() {
        return None;
    }
    let [seconds, nanoseconds] = time;
    Some(seconds * 1000 + nanoseconds / 1_000_000)
}

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awake {
    /// The time is over.
    Late,
    /// By another thread, or the word has changed.
    Called,
    /// By a signal, or it did not begin: a filter refuses it.
    Interrupted,
}

/// Sleeps for at most some milliseconds while `word` holds `value`; may return at any time.
#[cold]
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, milliseconds: usize) -> Awake {
    futex_wait_for(word, value, [milliseconds / 1000, milliseconds % 1000 * 1_000_000])
}

/// The same for a time in seconds and nanoseconds.
fn futex_wait_for(word: &AtomicU32, value: u32, time: [usize; 2]) -> Awake {
    if cfg!(miri) {
        core::hint::spin_loop();
        return Awake::Called;
    }
    // SAFETY: the kernel reads the word, compares it, and reads the time: seconds and nanoseconds of one word each. The
    // caller looks again after any other answer.
    let answer = unsafe { syscall!(Sysno::futex, word.as_ptr(), FUTEX_WAIT_PRIVATE, value, time.as_ptr()) };
    match answer {
        Ok(_) | Err(Errno::EAGAIN) => Awake::Called,
        Err(Errno::ETIMEDOUT) => Awake::Late,
        Err(_) => Awake::Interrupted,
    }
}

/// Wakes one sleeper on `word`.
#[cold]
pub(crate) fn futex_wake_one(word: &AtomicU32) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: the address only names the queue of sleepers.
    let _ = unsafe { syscall!(Sysno::futex, word.as_ptr(), FUTEX_WAKE_PRIVATE, 1) };
}

/// Sleeps for about so many milliseconds; a signal may end it sooner.
#[cold]
pub(crate) fn sleep(milliseconds: usize) {
    let word = AtomicU32::new(0);
    futex_wait(&word, 0, milliseconds);
}

/// Leaves the processor to others for a moment: some 100 us.
#[cold]
pub(crate) fn nap() {
    let word = AtomicU32::new(0);
    futex_wait_for(&word, 0, [0, 50_000]);
}

/// Whether there is no task with this thread id. False where that cannot be known.
#[cold]
pub(crate) fn is_gone(thread: u32) -> bool {
    if is_filtered() {
        return false;
    }
    // SAFETY: signal 0 is not sent.
    let answer = unsafe { syscall!(Sysno::tkill, thread, 0) };
    answer == Err(Errno::ESRCH)
}

/// Whether nothing that can be read is at an address, which is a multiple of 4, or another word than `word`, if that is given.
/// False where that cannot be known.
#[cold]
pub(crate) fn is_not_there(address: usize, word: Option<u32>) -> bool {
    if cfg!(miri) {
        return false;
    }
    let no_time = [0_usize; 2];
    // SAFETY: the kernel reads the word, if it can, and the time. Whatever the word holds, the wait ends at once.
    let answer = unsafe { syscall!(Sysno::futex, address, FUTEX_WAIT_PRIVATE, word.unwrap_or(0), no_time.as_ptr()) };
    answer == Err(Errno::EFAULT) || (word.is_some() && answer == Err(Errno::EAGAIN))
}
