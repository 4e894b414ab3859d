//! What is below the heap: the kernel, a libc if there is one, and how a line gets out.

/// What is for Linux alone: the items in it exist there, and nowhere else. That is where the target says so, or where it names
/// no operating system and the program promises it by the cargo feature `linux`. The manifest's dependencies say the same.
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
macro_rules! on_linux {
    ($($item:item)*) => { $($item)* };
}
#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
macro_rules! on_linux {
    ($($item:item)*) => {};
}

/// What stands in its place elsewhere.
#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
macro_rules! elsewhere {
    ($($item:item)*) => { $($item)* };
}
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
macro_rules! elsewhere {
    ($($item:item)*) => {};
}

#[macro_use]
mod weak;

pub(crate) mod around;
pub(crate) mod atomic;
pub(crate) mod backtrace;
pub(crate) mod barrier;
pub mod brk;
pub(crate) mod call;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod environment;
#[cfg(all(
    any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")),
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
pub(crate) mod fatal;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod file;
pub(crate) mod fork;
#[cfg(all(
    any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")),
    target_arch = "x86_64"
))]
pub(crate) mod frames;
pub(crate) mod libc;
pub(crate) mod line;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod log;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod modules;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod output;
pub(crate) mod parts;
pub(crate) mod seat;
pub(crate) mod seats;
pub(crate) mod sys;
pub(crate) mod tasks;
pub(crate) mod watchers;
pub(crate) mod who;
