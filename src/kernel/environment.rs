//! The environment variables `HMALLOC_*`, for programs and libraries that ask for them. Nothing reads them unasked.
//!
//! They are copied once, because the program may move, free or overwrite its environment later. In a program with more
//! rights than its caller, who wrote the environment, they are not read at all.

use crate::kernel::backtrace::leave_out;
use crate::kernel::line::say;
use crate::kernel::modules::code_around;
use crate::kernel::sys::STDERR;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use syscalls::{Sysno, syscall};

/// The longest path that the kernel accepts, with its closing 0.
const PATH_MAX: usize = 4096;
/// The longest value of `HMALLOC_CHECKED`; what is longer is no words that mean anything.
const WORDS_MAX: usize = 32;
/// The entry of the auxiliary vector that says whether the program has more rights than its caller.
const AT_SECURE: usize = 23;

/// One of the four below. It only ever rises.
static STATE: AtomicU8 = AtomicU8::new(UNREAD);
const UNREAD: u8 = 0;
/// A thread is writing to [`SETTINGS`].
const READING: u8 = 1;
/// It must not be read.
const SECURE: u8 = 2;
const READ: u8 = 3;

/// What the environment asks for.
#[derive(Debug)]
pub struct Settings {
    /// The words behind `HMALLOC_POLICY`: an index into the names that were passed to [`read`], if one of them stands there.
    pub policy: Option<usize>,
    /// At exit, print the heap in one line.
    pub stats: bool,
    /// At exit, say where the memory is and why it is not going back.
    pub report: bool,
    /// At exit, check the whole heap.
    pub check: bool,
    /// The words behind `HMALLOC_CHECKED`, with zeros up to the end.
    checked: [u8; WORDS_MAX],
    /// A path that ends with a 0. Empty: standard error.
    log: [u8; PATH_MAX],
    /// Where the profile goes: a path that ends with a 0. Empty: there is none.
    profile: [u8; PATH_MAX],
    /// Bytes from a sample to the next; `None`: the usual.
    pub every: Option<usize>,
    /// Whether sampled blocks are guarded: 1, or the bytes from one to the next.
    pub guards: Option<usize>,
}

impl Settings {
    /// The words behind `HMALLOC_CHECKED`.
    pub fn checked(&self) -> &[u8] {
        self.checked.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The file that the lines of `stats` and `report` go to instead of standard error.
    pub fn log(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.log).ok().filter(|path| !path.is_empty())
    }

    /// Whether requests are to be sampled.
    pub fn samples(&self) -> bool {
        self.guards.is_some() || self.profile().is_some()
    }

    /// The file that the profile goes to at exit.
    pub fn profile(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.profile).ok().filter(|path| !path.is_empty())
    }
}

struct Shared(UnsafeCell<Settings>);

// SAFETY: only the thread that raised `STATE` to `READING` writes, and threads read only after `READ`.
unsafe impl Sync for Shared {}

static SETTINGS: Shared = Shared(UnsafeCell::new(Settings {
    policy: None,
    stats: false,
    report: false,
    check: false,
    checked: [0; WORDS_MAX],
    log: [0; PATH_MAX],
    profile: [0; PATH_MAX],
    every: None,
    guards: None,
}));

weak!(hmalloc_environment, "environ", &'static usize);
weak!(hmalloc_environment_auxiliary, "getauxval", extern "C" fn(usize) -> usize);
weak!(hmalloc_environment_errno, "__errno_location", extern "C" fn() -> *mut c_int);

/// Reads the environment, once. Before libc has one, and without a libc, nothing happens.
#[cold]
pub fn read(policies: &[&str]) {
    if environment().is_none() || STATE.compare_exchange(UNREAD, READING, Relaxed, Relaxed).is_err() {
        return;
    }
    if is_secure() {
        return STATE.store(SECURE, Relaxed);
    }
    // SAFETY: this thread raised the state to `READING`, and no other can do so after it.
    fill(unsafe { &mut *SETTINGS.0.get() }, policies);
    STATE.store(READ, Release);
}

/// What the environment asks for. `None` if it has not been read.
pub fn settings() -> Option<&'static Settings> {
    // SAFETY: after `READ`, no thread writes.
    (STATE.load(Acquire) == READ).then(|| unsafe { &*SETTINGS.0.get() })
}

/// Copies the settings, and names those that mean nothing.
fn fill(settings: &mut Settings, policies: &[&str]) {
    let word = variable("HMALLOC_POLICY").map_or(&b""[..], CStr::to_bytes);
    settings.policy = policies.iter().position(|name| name.as_bytes() == word);
    if settings.policy.is_none() && !word.is_empty() {
        let _ = say(STDERR, format_args!("HMALLOC_POLICY is none of ignore, report, abort: abort it is"));
    }
    settings.stats = is_on("HMALLOC_STATS");
    settings.report = is_on("HMALLOC_REPORT");
    settings.check = is_on("HMALLOC_CHECK");
    let words = variable("HMALLOC_CHECKED").map_or(&b""[..], CStr::to_bytes);
    let kept = words.len().min(WORDS_MAX);
    settings.checked[..kept].copy_from_slice(&words[..kept]);
    if !copy_path("HMALLOC_LOG", &mut settings.log) {
        let _ = say(STDERR, format_args!("HMALLOC_LOG is no path, being too long: standard error it is"));
    }
    if !copy_path("HMALLOC_PROFILE", &mut settings.profile) {
        let _ = say(STDERR, format_args!("HMALLOC_PROFILE is no path, being too long: there is no profile"));
    }
    settings.every = number("HMALLOC_PROFILE_EVERY", "the usual it is");
    settings.guards = number("HMALLOC_GUARDS", "there are no guards").filter(|&bytes| bytes > 0);
}

/// Copies a path, or an empty one. False if it is too long.
fn copy_path(name: &str, into: &mut [u8; PATH_MAX]) -> bool {
    let path = variable(name).map_or(&[0][..], CStr::to_bytes_with_nul);
    let place = into.get_mut(..path.len());
    place.map(|place| place.copy_from_slice(path)).is_some()
}

/// The value of a variable that is a number of bytes. Another one is named, with what happens `instead`.
fn number(name: &str, instead: &str) -> Option<usize> {
    let word = variable(name).filter(|word| !word.is_empty())?;
    let number = word.to_str().ok().and_then(|word| word.parse().ok());
    if number.is_none() {
        let _ = say(STDERR, format_args!("{name} is no number of bytes: {instead}"));
    }
    number
}

fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| value.to_bytes() == b"1")
}

/// The value of an environment variable.
fn variable(name: &str) -> Option<&'static CStr> {
    environment()?.find_map(|entry| {
        let value = entry.to_bytes_with_nul().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        CStr::from_bytes_with_nul(value).ok()
    })
}

/// The process's environment, entry by entry. `None` without a libc, or before it has one.
fn environment() -> Option<impl Iterator<Item = &'static CStr>> {
    let place = linked!(hmalloc_environment)?;
    // SAFETY: libc's `environ`, which the program may change between any two reads.
    let mut entry = unsafe { core::ptr::from_ref(place).cast::<*const *const c_char>().read_volatile() };
    if entry.is_null() {
        return None;
    }
    Some(core::iter::from_fn(move || {
        // SAFETY: the null pointer that ends the array has not been passed.
        let text = unsafe { entry.read() };
        if text.is_null() {
            return None;
        }
        entry = entry.wrapping_add(1);
        // SAFETY: an entry of the environment is a string. It is read when a library is initialized, in a misuse before
        // that, or where the program promises that no other thread changes it.
        Some(unsafe { CStr::from_ptr(text) })
    }))
}

/// An entry of the auxiliary vector. `None` if libc has no function for it. `errno` is unchanged.
fn auxiliary(kind: usize) -> Option<usize> {
    let (ask, errno) = (linked!(hmalloc_environment_auxiliary)?, linked!(hmalloc_environment_errno)?());
    // SAFETY: `errno` points to the thread's own. It distinguishes an entry of 0 from a missing one.
    unsafe {
        let before = errno.replace(0);
        let value = ask(kind);
        (errno.replace(before) == 0).then_some(value)
    }
}

/// Leaves the frames of the heap's own code out of stacks, if that is a library's: the program itself has them in its midst.
#[cold]
pub fn leave_out_own_code() {
    const AT_ENTRY: usize = 9;
    let (own, entry) = (code_around(leave_out_own_code as *const () as usize), auxiliary(AT_ENTRY));
    if let Some((own, entry)) = own.zip(entry)
        && !own.contains(&entry)
    {
        leave_out(own.start, own.end);
    }
}

/// Whether the program has more rights than its caller. Where libc does not pass on what the kernel says about that, the
/// user and group ids are compared, which does not detect capabilities.
fn is_secure() -> bool {
    auxiliary(AT_SECURE).map_or_else(has_other_ids, |secure| secure != 0)
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
