//! The profile of a process as files, which are written whenever it ends in a way that lets it: the path that the environment
//! names, and beside it stacks and a list as text.
//!
//! One process writes to a path: it holds a lock on the file while it lives. Those that find it locked, as what a build runs, and
//! children of a fork write to `PATH.PROCESS`.

use super::{Profile, Value};
use crate::ground::sites::Sites;
use crate::kernel::file::File;
use crate::kernel::line::{Text, say};
use crate::kernel::log::Reason;
use crate::kernel::output::Output;
use crate::kernel::sys::{NoSignals, STDERR};
use crate::kernel::{libc, tasks};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::fmt::Write;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32};
use syscalls::Errno;

/// The longest path, with its closing 0.
const PATH_MAX: usize = 4096;
/// Room for a process's number and an ending behind it.
const MORE: usize = 32;

/// How long a thread waits for another one that writes, before it ends the process in the middle of that.
const PATIENCE_MS: usize = 10_000;
/// One sleep of those.
const SLEEP_MS: usize = 5;

struct Path(UnsafeCell<[u8; PATH_MAX]>);

// SAFETY: written once, by `begin`, before `SITES` is published.
unsafe impl Sync for Path {}

static PATH: Path = Path(UnsafeCell::new([0; PATH_MAX]));

struct FullPath(UnsafeCell<Text<PATH_MAX>>);

// SAFETY: used only by the thread that `WRITER` names.
unsafe impl Sync for FullPath {}

/// The path of the file that is written, with what is behind it: not on the stack, which may be a small one for signals.
static FULL_PATH: FullPath = FullPath(UnsafeCell::new(Text::new()));
static SITES: AtomicPtr<Sites> = AtomicPtr::new(core::ptr::null_mut());
/// The process that writes. A child that shares its memory, by `vfork`, does not.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// Whether the path has the number of the process behind it.
static NUMBERED: AtomicBool = AtomicBool::new(false);
/// The thread that writes now, or 0. Others wait for it: each of them wants to end the process.
static WRITER: AtomicU32 = AtomicU32::new(0);
/// Whether all was written. It is not written anew: another thread may end the process at any moment now.
static DONE: AtomicBool = AtomicBool::new(false);
/// A process that signals with the default action do not end.
const INIT: u32 = 1;

/// What is written to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Pprof,
    Collapsed,
    Leaks,
}

impl Form {
    /// By the ending of a path: pprof's format, unless it says otherwise.
    fn of(path: &[u8]) -> Self {
        match () {
            () if path.ends_with(b".collapsed") => Self::Collapsed,
            () if path.ends_with(b".leaks") || path.ends_with(b".txt") => Self::Leaks,
            () => Self::Pprof,
        }
    }

    fn write(self, profile: &Profile<'_>, file: File) -> Result<(), Errno> {
        let mut out = Output::new(file)?;
        // An error of the file's is told at the end.
        let _ = match self {
            Self::Pprof => profile.write_pprof(|piece| out.put(piece)).map_err(|_| core::fmt::Error),
            Self::Collapsed => profile.write_collapsed(Value::AllocSpace, &mut out),
            Self::Leaks => profile.write_leaks(&mut out),
        };
        out.finish()
    }
}

/// Has the profile of these sites written to files when the process ends. Only once in a process.
pub(crate) fn begin(path: &CStr, sites: &'static Sites) {
    let bytes = path.to_bytes();
    if bytes.len() > PATH_MAX - MORE {
        return complain(Errno::ENAMETOOLONG);
    }
    if PROCESS.compare_exchange(0, tasks::process_id(), Relaxed, Relaxed).is_err() {
        return;
    }
    // SAFETY: nothing reads it before `SITES` is published, and only the thread that has set `PROCESS` comes here.
    let place = unsafe { &mut *PATH.0.get() };
    place[..bytes.len()].copy_from_slice(bytes);
    match File::lock(path) {
        Ok(locked) => NUMBERED.store(!locked, Relaxed),
        Err(error) => complain(error),
    }
    SITES.store(core::ptr::from_ref(sites).cast_mut(), Release);
    libc::at_fork(nothing, nothing, in_child);
    libc::at_quick_exit(at_quick_exit);
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    crate::kernel::fatal::before_death(write);
}

extern "C" fn nothing() {}

extern "C" fn at_quick_exit() {
    write();
}

extern "C" fn in_child() {
    NUMBERED.store(true, Relaxed);
    WRITER.store(0, Relaxed);
    DONE.store(false, Relaxed);
    PROCESS.store(tasks::process_id(), Relaxed);
}

fn complain(error: Errno) {
    let _ = say(STDERR, format_args!("HMALLOC_PROFILE cannot be written, {}", Reason(error)));
}

/// Writes the files, if the environment has named any, for the process ends. Takes no lock of the heap, so that it may be dying;
/// but waits, for at most ten seconds, while another thread writes them.
pub fn write() {
    // SAFETY: sites stay.
    let Some(sites) = (unsafe { SITES.load(Acquire).as_ref() }) else { return };
    let process = tasks::process_id();
    if PROCESS.load(Relaxed) != process || !begin_writing() {
        return;
    }
    if !DONE.load(Relaxed) {
        // A signal that comes meanwhile ends the process after this. One that an instruction causes still does so at once.
        let _quiet = NoSignals::new();
        write_all(&Profile { sites, base: None }, process).unwrap_or_else(complain);
        DONE.store(process != INIT, Relaxed);
        WRITER.store(0, Release);
        return;
    }
    WRITER.store(0, Release);
}

/// Makes the caller the thread that writes. False if it is already, in what a signal of its own has interrupted, and after it has
/// waited for another thread.
fn begin_writing() -> bool {
    let thread = tasks::thread_id();
    let Err(writer) = WRITER.compare_exchange(0, thread, Acquire, Acquire) else { return true };
    for _ in 0..if writer == thread { 0 } else { PATIENCE_MS / SLEEP_MS } {
        tasks::sleep(SLEEP_MS);
        if WRITER.load(Acquire) == 0 {
            break;
        }
    }
    false
}

fn write_all(profile: &Profile<'_>, process: u32) -> Result<(), Errno> {
    // SAFETY: written before `SITES` was published.
    let path = CStr::from_bytes_until_nul(unsafe { &*PATH.0.get() }).map_or(&[][..], CStr::to_bytes);
    let form = Form::of(path);
    write_one(profile, path, process, form, "")?;
    if form != Form::Pprof {
        return Ok(());
    }
    write_one(profile, path, process, Form::Collapsed, ".collapsed")?;
    write_one(profile, path, process, Form::Leaks, ".leaks")
}

fn write_one(profile: &Profile<'_>, path: &[u8], process: u32, form: Form, ending: &str) -> Result<(), Errno> {
    // SAFETY: this thread alone writes, and the reference ends before the next file.
    let full = unsafe { &mut *FULL_PATH.0.get() };
    form.write(profile, File::create(full_path(full, path, process, ending))?)
}

/// The path with what is behind it, as C has it.
fn full_path<'a>(text: &'a mut Text<PATH_MAX>, path: &[u8], process: u32, ending: &str) -> &'a CStr {
    text.clear();
    text.bytes(path);
    if NUMBERED.load(Relaxed) {
        let _ = write!(text, ".{process}");
    }
    text.text(ending);
    text.bytes(b"\0");
    CStr::from_bytes_until_nul(text.as_bytes()).unwrap_or_default()
}
