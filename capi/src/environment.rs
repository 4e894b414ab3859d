//! The environment variables that configure the shared library; `capi/README.md` lists them. The static library reads
//! none: its program's author decides, not the user.
//!
//! They are copied once, at start, because the program may move, free or overwrite its environment later. In a program
//! with more rights than its caller they are not read at all.

use crate::line::{STDERR, say};
use crate::{libc, policy};
use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use hmalloc::Policy;
use syscalls::{Sysno, syscall};

/// The longest path that the kernel accepts, with its closing 0.
const PATH_MAX: usize = 4096;
/// The entry of the auxiliary vector that says whether the program has more rights than its caller.
const AT_SECURE: usize = 23;

/// One of the three below. It only ever rises.
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
    /// A path that ends with a 0. Empty: standard error.
    log: [u8; PATH_MAX],
}

impl Settings {
    /// The file that the line of `stats` goes to instead of standard error.
    pub(crate) fn log(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.log).ok().filter(|path| !path.is_empty())
    }
}

struct Shared(UnsafeCell<Settings>);

// SAFETY: only the thread that raised `STATE` to `READING` writes, and threads read only after `READ`.
unsafe impl Sync for Shared {}

static SETTINGS: Shared = Shared(UnsafeCell::new(Settings { stats: false, check: false, log: [0; PATH_MAX] }));

/// Reads the environment, once. Before libc has one, nothing happens.
#[cold]
pub(crate) fn read() {
    if libc::environment().is_none() || STATE.compare_exchange(UNREAD, READING, Relaxed, Relaxed).is_err() {
        return;
    }
    if !is_secure() {
        choose_policy();
        // SAFETY: this thread raised the state to `READING`, and no other can do so after it.
        fill(unsafe { &mut *SETTINGS.0.get() });
    }
    STATE.store(READ, Release);
}

/// Sets the policy that `HMALLOC_POLICY` names, unless the program has chosen one. Reports a word that names none.
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

/// Copies the settings for the exit.
fn fill(settings: &mut Settings) {
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

/// Whether the program has more rights than its caller, who wrote the environment. Where libc does not pass on what the
/// kernel says about that, the user and group ids are compared, which does not detect capabilities.
fn is_secure() -> bool {
    libc::auxiliary(AT_SECURE).map_or_else(has_other_ids, |secure| secure != 0)
}

fn has_other_ids() -> bool {
    // On these two the calls without `32` in their names return ids of 16 bits.
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    let calls = [Sysno::getuid32, Sysno::geteuid32, Sysno::getgid32, Sysno::getegid32];
    #[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
    let calls = [Sysno::getuid, Sysno::geteuid, Sysno::getgid, Sysno::getegid];
    // SAFETY: no arguments, no effects.
    let [user, effective_user, group, effective_group] = calls.map(|call| unsafe { syscall!(call) });
    user != effective_user || group != effective_group
}
