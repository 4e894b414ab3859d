//! The kernel that is not there.

/// Why a call failed: here always for the same reason. The others are what callers look for.
#[allow(dead_code, reason = "a name for each error that is looked for")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    ENOSYS,
    EAGAIN,
    EFAULT,
    EINVAL,
    ESRCH,
    ETIMEDOUT,
}

/// The calls that are asked for.
#[allow(dead_code, non_camel_case_types, reason = "the kernel's names, of which each target uses some")]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sysno {
    clock_gettime,
    clock_gettime64,
    futex,
    getpid,
    getrandom,
    gettid,
    membarrier,
    prctl,
    process_vm_readv,
    tkill,
    unshare,
}

/// Refuses a call.
///
/// # Safety
///
/// None is needed; the calls that this stands for have reasons of their own.
pub(crate) unsafe fn refuse(_: Sysno) -> Result<usize, Errno> {
    Err(Errno::ENOSYS)
}

/// A call like that of the `syscalls` crate, which looks at its arguments and does nothing with them.
macro_rules! syscall {
    ($call:expr $(, $argument:expr)* $(,)?) => {{
        $(let _ = $argument;)*
        $crate::kernel::call::refuse($call)
    }};
}
pub(crate) use syscall;
