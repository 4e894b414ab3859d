//! What the environment asks of the shared library. The static one does not look: who runs a program has no say in what
//! its author chose. `capi/README.md` has the table of the variables.
//!
//! The environment is copied once, at start. Later it is the program's: it may have moved, freed or overwritten it. A
//! program with more rights than its caller does not look at all.

use crate::line::{STDERR, say};
use crate::{libc, policy};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use hmalloc::Policy;
use syscalls::{Sysno, syscall};

/// What the kernel takes as a path, the closing 0 included.
const PATH_MAX: usize = 4096;
/// In the auxiliary vector: the program has more rights than its caller.
const AT_SECURE: usize = 23;

/// One of the three below. Only ever raised.
static STATE: AtomicU8 = AtomicU8::new(UNREAD);
const UNREAD: u8 = 0;
/// A thread is writing to [`SETTINGS`].
const READING: u8 = 1;
const READ: u8 = 2;

/// What is to happen at exit.
pub(crate) struct Settings {
    /// Print the heap in one line.
    pub(crate) stats: bool,
    /// Check the whole heap.
    pub(crate) check: bool,
    /// A string; empty for standard error.
    log: [u8; PATH_MAX],
}

impl Settings {
    /// The file that the line of `stats` goes to instead of standard error.
    pub(crate) fn log(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.log).ok().filter(|path| !path.is_empty())
    }
}

struct Shared(UnsafeCell<Settings>);

// SAFETY: the thread that has raised `STATE` to `READING` writes; everyone reads only after `READ`.
unsafe impl Sync for Shared {}

static SETTINGS: Shared = Shared(UnsafeCell::new(Settings { stats: false, check: false, log: [0; PATH_MAX] }));

/// Reads the environment, the first time that there is one.
#[cold]
pub(crate) fn read() {
    if libc::environment().is_none() || STATE.compare_exchange(UNREAD, READING, Relaxed, Relaxed).is_err() {
        return;
    }
    if !is_secure() {
        choose_policy();
        // SAFETY: this thread has raised the state to `READING`, which no other can do.
        note(unsafe { &mut *SETTINGS.0.get() });
    }
    STATE.store(READ, Release);
}

/// Does what `HMALLOC_POLICY` says, unless the program has chosen itself. A word that is none of the three is named.
fn choose_policy() {
    let policy = match variable("HMALLOC_POLICY").map_or(&b""[..], CStr::to_bytes) {
        b"ignore" => Policy::Ignore,
        b"report" => Policy::Report,
        b"abort" | b"" => Policy::Abort,
        _ => {
            let _ = say(STDERR, format_args!("HMALLOC_POLICY is none of ignore, report, abort: abort it is"));
            Policy::Abort
        }
    };
    policy::set_unless_chosen(policy);
}

fn note(settings: &mut Settings) {
    settings.stats = is_on("HMALLOC_STATS");
    settings.check = is_on("HMALLOC_CHECK");
    let path = variable("HMALLOC_LOG").map_or(&[0][..], CStr::to_bytes_with_nul);
    match settings.log.get_mut(..path.len()) {
        Some(place) => place.copy_from_slice(path),
        None => {
            let _ = say(STDERR, format_args!("HMALLOC_LOG is no path, being too long: standard error it is"));
        }
    }
}

/// What is to happen at exit. `None` if the environment has not been read.
pub(crate) fn settings() -> Option<&'static Settings> {
    // SAFETY: after `READ`, no thread writes.
    (STATE.load(Acquire) == READ).then(|| unsafe { &*SETTINGS.0.get() })
}

fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| value.to_bytes() == b"1")
}

/// The value of an environment variable.
fn variable(name: &str) -> Option<&'static CStr> {
    libc::environment()?.find_map(|entry| {
        let value = entry.to_bytes_with_nul().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        CStr::from_bytes_with_nul(value).ok()
    })
}

/// Whether the program has more rights than its caller, who wrote the environment. Where libc does not hand on what the
/// kernel says about that, the user and group numbers tell; they do not tell of capabilities.
fn is_secure() -> bool {
    libc::auxiliary(AT_SECURE).map_or_else(has_other_ids, |secure| secure != 0)
}

fn has_other_ids() -> bool {
    // The calls of these two that are not named so know numbers of 16 bits only.
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    let calls = [Sysno::getuid32, Sysno::geteuid32, Sysno::getgid32, Sysno::getegid32];
    #[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
    let calls = [Sysno::getuid, Sysno::geteuid, Sysno::getgid, Sysno::getegid];
    // SAFETY: no arguments, no effects.
    let [user, effective_user, group, effective_group] = calls.map(|call| unsafe { syscall!(call) });
    user != effective_user || group != effective_group
}
