//! The constructors that need Linux, where there is none: they say so when a program that calls them is compiled.

use super::Hmalloc;
use crate::door::misuse::Misuse;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;

/// What no lock of this crate is on this target. Naming it in a bound is how a constructor stays known and cannot be called.
#[diagnostic::on_unimplemented(
    message = "hmalloc: this way to make a heap needs Linux, and this target is none",
    label = "needs Linux: its memory, or its way to wait for a lock",
    note = "a heap over an array of the program's needs no kernel: `Heap::new(Bytes::new(&ARENA))`, or as the global allocator \
            of one thread `Hmalloc::single_threaded_with_source(Bytes::new(&ARENA))`",
    note = "where it is to serve on Linux alone: `[target.'cfg(target_os = \"linux\")'.dependencies]` in Cargo.toml, and \
            `#[cfg(target_os = \"linux\")]` on the static",
    note = "a target without an operating system in its name, as x86_64-unknown-none, whose programs run on Linux all the same: \
            cargo feature `linux`"
)]
pub trait OnLinux {}

/// The end of a constructor that cannot be called.
const fn needs_linux() -> ! {
    panic!("hmalloc: needs Linux")
}

impl<L: Lock> Hmalloc<L> {
    /// Needs Linux.
    pub const fn new() -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }

    /// Needs Linux.
    pub const fn with_policy(_: Policy) -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }

    /// Needs Linux.
    pub const fn with_report(_: fn(&str, &Misuse)) -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }

    /// Needs Linux.
    ///
    /// # Safety
    ///
    /// It cannot be called.
    pub const unsafe fn with_thread_pointers(_: Policy) -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }

    /// Needs Linux.
    ///
    /// # Safety
    ///
    /// It cannot be called.
    pub const unsafe fn single_threaded() -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Needs Linux: threads wait for each other by its futex.
    pub const fn with_source(_: B) -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }

    /// Needs Linux: threads wait for each other by its futex.
    pub const fn with_source_and_policy(_: B, _: Policy) -> Self
    where
        L: OnLinux,
    {
        needs_linux()
    }
}
