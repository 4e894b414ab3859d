//! The stack of the caller: the return addresses of the functions that are running, from the innermost to the outermost.
//!
//! | way | needs |
//! |---|---|
//! | the unwinder of libgcc or LLVM (`_Unwind_Backtrace`) | that it is linked, as in each Rust program with `std`, or was [given](use_unwinder) |
//! | frame pointers | x86_64, aarch64 or riscv64; that all of the program, the heap too, is built with `-C force-frame-pointers=yes` or `-fno-omit-frame-pointer` |
//!
//! On x86_64 what an unwinder has walked is [kept](super::frames), and a stack that is like it is read without the unwinder.
//!
//! The heap allocates nothing for this; an unwinder may. So no lock is held while a stack is walked, and a thread that is walking
//! one does not begin another. A frame pointer may be any number, so the kernel is asked to read there (`process_vm_readv`), and
//! says so where nothing is. Where a filter may forbid that call, stacks without an unwinder are empty.

use crate::kernel::call::{Sysno, syscall};
use crate::kernel::{seat, tasks};
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

mod pointers;
#[cfg_attr(
    not(all(
        any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")),
        target_arch = "x86_64"
    )),
    path = "backtrace/unseen.rs"
)]
mod seen;
#[cfg(test)]
mod tests;

use seen::Seen;

/// What an unwinder calls for each frame.
type Visit = extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Backtrace = unsafe extern "C" fn(Visit, *mut c_void) -> c_int;
/// What tells a register of a frame: the address that runs there, or the stack pointer.
type GetWord = unsafe extern "C" fn(*mut c_void) -> usize;

weak!(hmalloc_backtrace, "_Unwind_Backtrace", Backtrace);
weak!(hmalloc_backtrace_ip, "_Unwind_GetIP", GetWord);
weak!(hmalloc_backtrace_cfa, "_Unwind_GetCFA", GetWord);

/// An unwinder that was loaded: the addresses of its functions, or 0.
static LOADED: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// The heap's own code, if that is a library's: its frames are left out.
static OWN: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Threads that look at a stack now, by their thread pointers.
static LOOKING: [AtomicUsize; 32] = [const { AtomicUsize::new(0) }; 32];

/// A number that no other thread has, never 0.
fn this_thread() -> usize {
    match seat::this_thread() {
        0 => tasks::thread_id() as usize,
        pointer => pointer,
    }
}

/// A thread that looks at a stack, until this is dropped.
struct Looking(&'static AtomicUsize);

impl Looking {
    /// `None` if the thread does so already, or too many do.
    fn begin() -> Option<Self> {
        let thread = this_thread();
        if LOOKING.iter().any(|place| place.load(Relaxed) == thread) {
            return None;
        }
        let take = |place: &&AtomicUsize| place.compare_exchange(0, thread, Relaxed, Relaxed).is_ok();
        LOOKING.iter().find(take).map(Self)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

/// Forgets the threads that looked at their stacks when another one forked, in the child.
pub(crate) fn forget_others() {
    let thread = this_thread();
    LOOKING.iter().filter(|place| place.load(Relaxed) != thread).for_each(|place| place.store(0, Relaxed));
}

on_linux! {
    /// Calls `run`. Until it returns, the calling thread's stacks are unknown: while an unwinder is loaded, which allocates.
    pub fn without_stacks(run: impl FnOnce()) {
        let _looking = Looking::begin();
        run();
    }

    /// Gives the functions `_Unwind_Backtrace`, `_Unwind_GetIP` and `_Unwind_GetCFA` of a library that was loaded for it.
    ///
    /// # Safety
    ///
    /// They are that, and stay.
    pub unsafe fn use_unwinder(backtrace: usize, get_ip: usize, get_cfa: usize) {
        LOADED[2].store(get_cfa, Relaxed);
        LOADED[1].store(get_ip, Relaxed);
        LOADED[0].store(backtrace, Release);
    }
}

/// Leaves out the innermost frames whose addresses are from `start` up to `end`: those of a library that is the heap.
pub(crate) fn leave_out(start: usize, end: usize) {
    OWN[0].store(start, Relaxed);
    OWN[1].store(end, Relaxed);
}

/// Whether frames are left out.
pub(crate) fn leaves_out_own() -> bool {
    OWN[1].load(Relaxed) != 0
}

/// The functions of an unwinder.
#[derive(Clone, Copy)]
struct Unwinder {
    backtrace: Backtrace,
    get_ip: GetWord,
    get_cfa: GetWord,
}

fn unwinder() -> Option<Unwinder> {
    if let (Some(backtrace), Some(get_ip)) = (linked!(hmalloc_backtrace), linked!(hmalloc_backtrace_ip)) {
        return Some(Unwinder { backtrace, get_ip, get_cfa: linked!(hmalloc_backtrace_cfa).unwrap_or(no_cfa) });
    }
    let backtrace = LOADED[0].load(Acquire);
    let [get_ip, get_cfa] = [1, 2].map(|at| LOADED[at].load(Relaxed));
    if backtrace == 0 || get_ip == 0 || get_cfa == 0 {
        return None;
    }
    // SAFETY: the promise made to `use_unwinder`.
    unsafe {
        Some(Unwinder {
            backtrace: core::mem::transmute::<usize, Backtrace>(backtrace),
            get_ip: core::mem::transmute::<usize, GetWord>(get_ip),
            get_cfa: core::mem::transmute::<usize, GetWord>(get_cfa),
        })
    }
}

extern "C" fn no_cfa(_: *mut c_void) -> usize {
    0
}

/// Frames as they come in.
struct Frames<'a> {
    into: &'a mut [usize],
    count: usize,
    outside: bool,
}

impl<'a> Frames<'a> {
    fn new(into: &'a mut [usize]) -> Self {
        Self { into, count: 0, outside: false }
    }

    /// Adds a frame. False if there is no room for another.
    #[inline]
    fn add(&mut self, address: usize) -> bool {
        let own = OWN[0].load(Relaxed)..OWN[1].load(Relaxed);
        self.outside |= !own.contains(&address);
        if !self.outside {
            return true;
        }
        match self.into.get_mut(self.count) {
            Some(place) if address != 0 => {
                *place = address;
                self.count += 1;
                true
            }
            _ => false,
        }
    }

    fn is_full(&self) -> bool {
        self.count == self.into.len()
    }
}

/// Frames that an unwinder walks.
struct Walk<'a, 'b> {
    frames: &'b mut Frames<'a>,
    unwinder: Unwinder,
    seen: Seen,
}

extern "C" fn visit(context: *mut c_void, walk: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    /// `_URC_END_OF_STACK`: to an unwinder, any other number than 0 ends the walk.
    const STOP: c_int = 5;
    // SAFETY: passed by `unwind`, which is still running.
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    // SAFETY: the context that the unwinder has passed.
    let [address, sp] = unsafe { [(walk.unwinder.get_ip)(context), (walk.unwinder.get_cfa)(context)] };
    walk.seen.frame(address, sp);
    if walk.frames.add(address) && !walk.frames.is_full() { GO_ON } else { STOP }
}

/// Writes the return addresses of the caller's stack to `into`, from the innermost on, and says how many there are: 0 where
/// there is no way to see them.
#[cold]
#[inline(never)]
pub(crate) fn capture(into: &mut [usize]) -> usize {
    let seen = Seen::new(stack_pointer());
    if let Some(count) = seen.read(into) {
        return count;
    }
    let Some(_looking) = Looking::begin() else { return 0 };
    let mut frames = Frames::new(into);
    if let Some(unwinder) = unwinder() {
        let mut walk = Walk { frames: &mut frames, unwinder, seen };
        // SAFETY: the function of this name has this type, and what is passed lives longer than the call.
        unsafe { (unwinder.backtrace)(visit, (&raw mut walk).cast()) };
        walk.seen.end(walk.frames.is_full());
    } else if !tasks::is_filtered() {
        pointers::follow(&mut frames);
    }
    frames.count
}

/// The stack pointer of the caller, or 0 where stacks that were seen are not kept.
#[inline(always)]
fn stack_pointer() -> usize {
    #[allow(unused_mut, reason = "written where frames are kept")]
    let mut pointer = 0_usize;
    // SAFETY: reads a register.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// Whether a word of this process can be read, and is `expected`.
#[allow(dead_code, reason = "only where frames are kept")]
fn is_word(place: usize, expected: usize) -> bool {
    read_two_words(tasks::process_id(), place).is_some_and(|[word, _]| word == expected)
}

/// Two words of this process, if they can be read.
fn read_two_words(process: u32, address: usize) -> Option<[usize; 2]> {
    let mut words = [0_usize; 2];
    read(process, address, &raw mut words as *mut u8, size_of_val(&words)).then_some(words)
}

/// Reads memory of this process that may not be there. Whether it was.
fn read(process: u32, address: usize, into: *mut u8, bytes: usize) -> bool {
    let (to, from) = ([into.expose_provenance(), bytes], [address, bytes]);
    // SAFETY: the kernel writes `bytes` bytes to `into`, and reads the two pairs.
    let read = unsafe { syscall!(Sysno::process_vm_readv, process, to.as_ptr(), 1, from.as_ptr(), 1, 0) };
    read == Ok(bytes)
}

/// Reads memory of this process that may not be there, or may go away meanwhile. Whether all of it was read.
pub(crate) fn read_bytes(address: usize, into: &mut [u8]) -> bool {
    read(tasks::process_id(), address, into.as_mut_ptr(), into.len())
}
