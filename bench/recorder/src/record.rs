//! One file for each process, written through a mapping: what is recorded stays recorded, however the process ends.
//!
//! Everything that belongs to one process lies in a mapping that a fork wipes: the child finds zeroes, which is a free lock
//! and no file, and opens its own. A `vfork` shares the parent's memory, and so the parent's heap and file.

use crate::raw::{Header, MAGIC, Record};
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

/// The file grows and is mapped by this much.
const WINDOW: usize = 1 << 20;
const PATH: usize = 4096;

/// All zero is how it begins, and how a forked child finds it.
#[repr(C)]
struct State {
    /// The thread that is inside, 0 if none is.
    owner: AtomicU32,
    stage: Stage,
    /// The next record's place, and the end of the window.
    cursor: *mut Record,
    end: *mut Record,
    /// Where the next window begins in the file.
    offset: usize,
    /// The file's path, null-terminated. No descriptor stays open: the program may close what it does not know.
    path: [u8; PATH],
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
/// or a signal handler asks for meanwhile is not the program's own call.
pub(crate) fn turn() -> Option<Turn> {
    let errno = Errno::save();
    let turn = enter();
    errno.restore();
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
            return None;
        }
        // SAFETY: the call has no arguments.
        unsafe { libc::sched_yield() };
    }
    let turn = Turn { state, thread };
    // SAFETY: the turn is ours until it is dropped, so nobody else refers to the fields besides `owner`.
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
    /// The kind goes last: a record is there wholly or not at all.
    pub(crate) fn write(&self, record: Record) {
        let errno = Errno::save();
        // SAFETY: the turn is ours. The cursor lies in the mapped window, or at its end, where `advance` maps the next.
        unsafe {
            let state = self.state;
            if (*state).cursor == (*state).end && !advance(state) {
                (*state).stage = Stage::Off;
            } else {
                let place = (*state).cursor;
                place.write(Record { kind: 0, thread: self.thread, ..record });
                AtomicU8::from_ptr(place.cast()).store(record.kind, Ordering::Release);
                (*state).cursor = place.add(1);
            }
        }
        errno.restore();
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
    // SAFETY: a fresh mapping at an address of the kernel's choice.
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
    // SAFETY: nobody else has seen this mapping.
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
    } else if create(state, folder) {
        state.stage = Stage::Recording;
    } else {
        say(b"hmalloc recorder: cannot write into ", folder);
    }
}

/// A file that was not there before, its first window mapped and its header written.
fn create(state: &mut State, folder: &[u8]) -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: the call writes at most 16 bytes with a null byte among them.
    let (process, parent) = unsafe {
        libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
        (libc::getpid() as u32, libc::getppid() as u32)
    };
    name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'_');
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    // A process that becomes another program keeps its number, so the number alone does not name a file.
    for attempt in 0..100 {
        let path = Path { bytes: &mut state.path, length: 0 };
        if !path.text(folder).text(b"/").number(process).text(b".").number(attempt).text(b".").text(name).end(b".raw") {
            return false;
        }
        match map(&state.path, 0, libc::O_CREAT | libc::O_EXCL) {
            Ok(window) => {
                let header = Header { magic: MAGIC, started: now(), process, parent, zero: [0; 5] };
                // SAFETY: the window is fresh, page-aligned and longer than a header.
                unsafe {
                    window.cast::<Header>().write(header);
                    state.cursor = window.add(size_of::<Header>()).cast();
                    state.end = window.add(WINDOW).cast();
                }
                state.offset = WINDOW;
                return true;
            }
            Err(libc::EEXIST) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Puts the cursor into the next window.
///
/// # Safety
///
/// The caller has the turn of `state`, which is recording.
unsafe fn advance(state: *mut State) -> bool {
    // SAFETY: the caller's promise.
    let state = unsafe { &mut *state };
    let Ok(window) = map(&state.path, state.offset, 0) else {
        say(b"hmalloc recorder: recording ends early: the file cannot grow: ", path_of(&state.path));
        return false;
    };
    // SAFETY: the old window ends at `end`, and nothing refers to it any more.
    unsafe { libc::munmap(state.end.byte_sub(WINDOW).cast(), WINDOW) };
    state.offset += WINDOW;
    state.cursor = window.cast();
    // SAFETY: the window has this length.
    state.end = unsafe { window.add(WINDOW) }.cast();
    true
}

/// Maps the window at `offset` of the file, with room on the disk behind every page. The error is the `errno`.
fn map(path: &[u8; PATH], offset: usize, flags: c_int) -> Result<*mut u8, c_int> {
    // SAFETY: the path ends in a null byte; the descriptor is this function's own; the mapping is fresh.
    unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDWR | libc::O_CLOEXEC | flags, 0o666);
        if file < 0 {
            return Err(Errno::save().0);
        }
        let mut window = libc::MAP_FAILED;
        if libc::posix_fallocate(file, offset as libc::off_t, WINDOW as libc::off_t) == 0 {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            window = libc::mmap(null_mut(), WINDOW, protection, libc::MAP_SHARED, file, offset as libc::off_t);
        }
        libc::close(file);
        if window == libc::MAP_FAILED {
            return Err(libc::ENOMEM);
        }
        libc::madvise(window, WINDOW, libc::MADV_DONTFORK);
        Ok(window.cast())
    }
}

fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn path_of(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// One line on standard error.
pub(crate) fn say(what: &[u8], about: &[u8]) {
    for part in [what, about, b"\n"] {
        // SAFETY: the kernel reads `part`. If nobody takes the line, there is nobody to tell.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

/// A path under construction. Beyond its end nothing is written, and `end` says so.
struct Path<'a> {
    bytes: &'a mut [u8; PATH],
    length: usize,
}

impl Path<'_> {
    fn text(mut self, text: &[u8]) -> Self {
        for &byte in text {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
            }
            self.length += 1;
        }
        self
    }

    fn number(self, number: u32) -> Self {
        let mut digits = [b'0'; 10];
        let mut rest = number;
        let mut first = digits.len();
        while first == digits.len() || rest > 0 {
            first -= 1;
            digits[first] += (rest % 10) as u8;
            rest /= 10;
        }
        self.text(&digits[first..])
    }

    fn end(self, text: &[u8]) -> bool {
        self.text(text).text(b"\0").length <= PATH
    }
}

/// The caller's `errno`, which a `free` must leave alone.
struct Errno(c_int);

impl Errno {
    fn save() -> Self {
        // SAFETY: the C library's place for this thread's number.
        Self(unsafe { *libc::__errno_location() })
    }

    fn restore(self) {
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = self.0 };
    }
}
