//! The stack of the caller: the return addresses of the functions that are running, from the innermost to the outermost.
//!
//! | way | needs |
//! |---|---|
//! | the unwinder of libgcc or LLVM (`_Unwind_Backtrace`) | that it is linked, as in each Rust program with `std`, or was [given](use_unwinder) |
//! | frame pointers | x86_64, aarch64 or riscv64; that all of the program, the heap too, is built with `-C force-frame-pointers=yes` or `-fno-omit-frame-pointer` |
//!
//! The heap allocates nothing for this; an unwinder may. So no lock is held while a stack is walked, and a thread that is walking
//! one does not begin another. A frame pointer may be any number, so the kernel is asked to read there (`process_vm_readv`), and
//! says so where nothing is. Where a filter may forbid that call, stacks without an unwinder are empty.

use crate::kernel::call::{Sysno, syscall};
use crate::kernel::{seat, tasks};
use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What an unwinder calls for each frame.
type Visit = extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Backtrace = unsafe extern "C" fn(Visit, *mut c_void) -> c_int;
type GetIp = unsafe extern "C" fn(*mut c_void) -> usize;

weak!(hmalloc_backtrace, "_Unwind_Backtrace", Backtrace);
weak!(hmalloc_backtrace_ip, "_Unwind_GetIP", GetIp);

/// An unwinder that was loaded: the addresses of its two functions, or 0.
static LOADED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

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

    /// Gives the functions `_Unwind_Backtrace` and `_Unwind_GetIP` of a library that was loaded for it.
    ///
    /// # Safety
    ///
    /// They are that, and stay.
    pub unsafe fn use_unwinder(backtrace: usize, get_ip: usize) {
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

fn unwinder() -> Option<(Backtrace, GetIp)> {
    if let (Some(backtrace), Some(get_ip)) = (linked!(hmalloc_backtrace), linked!(hmalloc_backtrace_ip)) {
        return Some((backtrace, get_ip));
    }
    let (backtrace, get_ip) = (LOADED[0].load(Acquire), LOADED[1].load(Relaxed));
    if backtrace == 0 || get_ip == 0 {
        return None;
    }
    // SAFETY: the promise made to `use_unwinder`.
    unsafe { Some((core::mem::transmute::<usize, Backtrace>(backtrace), core::mem::transmute::<usize, GetIp>(get_ip))) }
}

/// Frames as they come in.
struct Frames<'a> {
    into: &'a mut [usize],
    count: usize,
    get_ip: GetIp,
    outside: bool,
}

impl Frames<'_> {
    /// Adds a frame. False if there is no room for another.
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
}

extern "C" fn visit(context: *mut c_void, frames: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    /// `_URC_END_OF_STACK`: to an unwinder, any other number than 0 ends the walk.
    const STOP: c_int = 5;
    // SAFETY: passed by `capture`, which is still running.
    let frames = unsafe { &mut *frames.cast::<Frames<'_>>() };
    // SAFETY: the context that the unwinder has passed.
    let address = unsafe { (frames.get_ip)(context) };
    if frames.add(address) { GO_ON } else { STOP }
}

extern "C" fn no_ip(_: *mut c_void) -> usize {
    0
}

/// Writes the return addresses of the caller's stack to `into`, from the innermost on, and says how many there are: 0 where
/// there is no way to see them.
#[cold]
#[inline(never)]
pub(crate) fn capture(into: &mut [usize]) -> usize {
    let Some(_looking) = Looking::begin() else { return 0 };
    let mut frames = Frames { into, count: 0, get_ip: no_ip, outside: false };
    if let Some((backtrace, get_ip)) = unwinder() {
        frames.get_ip = get_ip;
        // SAFETY: the function of this name has this type, and what is passed lives longer than the call.
        unsafe { backtrace(visit, (&raw mut frames).cast()) };
    } else if !tasks::is_filtered() {
        by_frame_pointers(&mut frames);
    }
    frames.count
}

/// The frame pointer of the caller, or 0 where frames are not laid out in a way that is known.
#[allow(unused, reason = "0 stays where no line below is for the architecture")]
#[inline(always)]
fn frame_pointer() -> usize {
    let mut pointer = 0_usize;
    // SAFETY: reads a register.
    #[cfg(not(miri))]
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov {}, rbp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("mov {}, x29", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "riscv64")]
        core::arch::asm!("mv {}, s0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// From a frame pointer to the saved one and the return address after it.
const SAVED: usize = if cfg!(target_arch = "riscv64") { 2 * size_of::<usize>() } else { 0 };

#[inline(never)]
fn by_frame_pointers(frames: &mut Frames<'_>) {
    let (mut pointer, process) = (frame_pointer(), tasks::process_id());
    while pointer != 0 && pointer.is_multiple_of(align_of::<usize>()) {
        let Some([saved, address]) = read_two_words(process, pointer.wrapping_sub(SAVED)) else { return };
        // Frames are in order on a stack, so this ends.
        if !frames.add(address) || saved <= pointer {
            return;
        }
        pointer = saved;
    }
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
