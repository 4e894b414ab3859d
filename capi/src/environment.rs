//! What the environment asks of the shared library. The static one does not look: who runs a program has no say in what
//! its author chose.
//! `capi/README.md` has the table of the variables.

use crate::line::{STDERR, say};
use crate::panic::abort;
use crate::{libc, policy, report};
use core::ffi::{CStr, c_int};
use hmalloc::Policy;
use syscalls::{Sysno, syscall};

const AT_FDCWD: isize = -100;
const O_WRONLY: usize = 1;
const O_CREAT: usize = 0o100;
const O_APPEND: usize = if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0o10 } else { 0o2000 };

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// Does what `HMALLOC_POLICY` says, unless the program has chosen itself. A word that is none of the three is named.
/// Before there is an environment nothing is settled, and it is looked for again.
#[cold]
pub(crate) fn choose_policy() {
    let Some(mut entries) = libc::environment() else { return };
    let policy = match value_of("HMALLOC_POLICY", &mut entries).map_or(&b""[..], CStr::to_bytes) {
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

extern "C" fn at_exit() {
    if is_on("HMALLOC_STATS") {
        let log = variable("HMALLOC_LOG").and_then(open);
        let _ = report::print(log.unwrap_or(STDERR));
        if let Some(log) = log {
            // SAFETY: opened above, and nobody else knows of it.
            let _ = unsafe { syscall!(Sysno::close, log) };
        }
    }
    if is_on("HMALLOC_CHECK")
        && let Err(corruption) = report::check()
    {
        let _ = say(STDERR, format_args!("the heap is corrupt at exit: {corruption}"));
        abort();
    }
}

fn open(path: &CStr) -> Option<c_int> {
    let flags = O_WRONLY | O_CREAT | O_APPEND;
    // SAFETY: the kernel reads the path.
    let opened = unsafe { syscall!(Sysno::openat, AT_FDCWD, path.as_ptr(), flags, 0o666) };
    opened.ok().and_then(|descriptor| c_int::try_from(descriptor).ok())
}

fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| value.to_bytes() == b"1")
}

/// The value of an environment variable.
fn variable(name: &str) -> Option<&'static CStr> {
    value_of(name, &mut libc::environment()?)
}

fn value_of(name: &str, entries: &mut impl Iterator<Item = &'static CStr>) -> Option<&'static CStr> {
    entries.find_map(|entry| {
        let value = entry.to_bytes_with_nul().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        CStr::from_bytes_with_nul(value).ok()
    })
}
