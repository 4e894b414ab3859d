//! Which thread records, and into which process's file.
//!
//! Everything that belongs to one process lies in a mapping that a fork wipes: the child finds zeroes, which is a free lock
//! and no file, and opens its own. A `vfork` shares the parent's memory, and so the parent's heap and file.

use crate::file::{Window, say};
use crate::raw::{MISSED, Record};
use core::ffi::{CStr, c_char};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use errno::{errno, set_errno};

/// All zero is how it begins, and how a forked child finds it.
#[repr(C)]
struct State {
    /// The thread that is inside, 0 if none is.
    owner: AtomicU32,
    /// 1 if there was a call that is not recorded.
    missed: AtomicU32,
    stage: Stage,
    window: Window,
}

#[repr(u32)]
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    #[expect(dead_code, reason = "the kernel's zeroes make it")]
    Unknown = 0,
    Recording = 1,
    Off = 2,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(null_mut());

/// The right to write the next record. While it lives, no other thread is inside a call of the heap.
pub(crate) struct Turn {
    state: *mut State,
    thread: u32,
}

/// Waits for this thread's turn. None if nothing is recorded, or if this thread is inside already: what the heap underneath
/// or a signal handler asks for then is not the program's own call. The caller's `errno`, which a `free` must leave
/// alone, is kept here and in [`Turn::write`].
pub(crate) fn turn() -> Option<Turn> {
    let errno = errno();
    let turn = enter();
    set_errno(errno);
    turn
}

fn enter() -> Option<Turn> {
    let state = state()?;
    // SAFETY: the call has no arguments and cannot fail.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    // SAFETY: the state is mapped for good, and this field is atomic.
    let owner = unsafe { &(*state).owner };
    while let Err(holder) = owner.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed) {
        if holder == thread {
            // SAFETY: as above.
            unsafe { (*state).missed.store(1, Ordering::Relaxed) };
            return None;
        }
        // SAFETY: the call has no arguments.
        unsafe { libc::sched_yield() };
    }
    let turn = Turn { state, thread };
    // SAFETY: the turn is ours until it is dropped, so nothing else refers to the fields besides `owner`.
    let stage = unsafe {
        if !matches!((*state).stage, Stage::Recording | Stage::Off) {
            open(state);
        }
        (*state).stage
    };
    // A program without an environment yet is looked at again.
    (stage == Stage::Recording).then_some(turn)
}

impl Turn {
    pub(crate) fn write(&self, record: Record) {
        let errno = errno();
        // SAFETY: the turn is ours, and there is one only while the window is recorded into.
        unsafe {
            let missed = (*self.state).missed.load(Ordering::Relaxed) != 0
                && (*self.state).missed.swap(0, Ordering::Relaxed) != 0;
            let written = !missed || (*self.state).window.write(Record { thread: self.thread, ..MISSED });
            if !written || !(*self.state).window.write(Record { thread: self.thread, ..record }) {
                (*self.state).stage = Stage::Off;
            }
        }
        set_errno(errno);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // SAFETY: the state is mapped for good, and this field is atomic.
        unsafe { (*self.state).owner.store(0, Ordering::Release) };
    }
}

/// The process's state, mapped on first use. None if the kernel cannot wipe it on fork: then nothing is recorded.
fn state() -> Option<*mut State> {
    let known = STATE.load(Ordering::Acquire);
    if !known.is_null() {
        return Some(known);
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh mapping at an address that the kernel chooses.
    let fresh = unsafe { libc::mmap(null_mut(), size_of::<State>(), protection, flags, -1, 0) };
    if fresh == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping above.
    let wiped = unsafe { libc::madvise(fresh, size_of::<State>(), libc::MADV_WIPEONFORK) } == 0;
    let mut winner = None;
    if wiped {
        match STATE.compare_exchange(null_mut(), fresh.cast(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return Some(fresh.cast()),
            Err(other) => winner = Some(other),
        }
    }
    // SAFETY: nothing else has seen this mapping.
    unsafe { libc::munmap(fresh, size_of::<State>()) };
    winner
}

/// Begins this process's file, if the environment asks for one.
///
/// # Safety
///
/// The caller has the turn of `state`.
unsafe fn open(state: *mut State) {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library keeps the environment; `getenv` answers null or a string.
    let folder = unsafe {
        if environ.is_null() {
            return;
        }
        libc::getenv(c"HMALLOC_TRACE".as_ptr())
    };
    // SAFETY: the caller's promise.
    let state = unsafe { &mut *state };
    state.stage = Stage::Off;
    if folder.is_null() {
        return;
    }
    // SAFETY: `getenv` answered a string.
    let folder = unsafe { CStr::from_ptr(folder) }.to_bytes();
    if folder.first() != Some(&b'/') {
        say(b"hmalloc recorder: HMALLOC_TRACE is not the absolute path of a folder: ", folder);
    } else if state.window.create(folder) {
        state.stage = Stage::Recording;
    } else {
        say(b"hmalloc recorder: cannot write into ", folder);
    }
}
