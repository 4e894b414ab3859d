//! The way into the kernel, and what stands there where there is no Linux: a kernel that refuses every call. The heap lives
//! with refusals anyway, so all that is above needs no second form; what would be of no use without a kernel cannot be
//! made there (`global/elsewhere.rs`).

on_linux! {
    pub(crate) use syscalls::{Errno, Sysno, syscall};
}

#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
mod refused;

elsewhere! {
    pub(crate) use refused::{Errno, Sysno, refuse, syscall};
}
