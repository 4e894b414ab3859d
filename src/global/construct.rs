//! Making a program's heap, and the calls before and after a fork.

use super::Hmalloc;
use super::hook::Hook;
use super::policy::Setting;
use crate::checked::mode::Mode;
use crate::door::misuse::Misuse;
use crate::global::alone::SingleThreaded;
use crate::global::futex::Futex;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::heap::Heap;
use crate::kernel::around::Side;
use crate::kernel::brk::{Automatic, Brk};
use crate::kernel::{barrier, tasks};
use core::cell::UnsafeCell;

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl Hmalloc {
    /// A heap that aborts the process on misuse.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_policy(Policy::Abort)
    }

    /// A heap that handles misuse as `policy` says.
    #[must_use]
    pub const fn with_policy(policy: Policy) -> Self {
        Self::with_source_and_policy(Automatic::new(), policy)
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl Hmalloc {
    /// A heap that aborts if its break is lowered, and passes to `report` the misuses for which it finds no caller to pass
    /// them to: `report` gets the name of the function and what was found, and must not use the heap.
    #[must_use]
    pub const fn with_report(report: fn(&str, &Misuse)) -> Self {
        Self::assemble(Futex::new(), Automatic::new(), Policy::Abort, Some(report))
    }

    /// A heap whose threads use it without a lock although there is no libc, and that handles misuse as `policy` says. With
    /// a libc, [`new`](Self::new) does the same.
    ///
    /// # Safety
    ///
    /// Each thread that ever uses the heap has a thread pointer of its own while it lives, as one made by `clone` with
    /// `CLONE_SETTLS` has, or by `set_thread_area` or `arch_prctl` at its start; it does not change it while it lives; and
    /// on x86 and x86_64 the word to which it points holds that address itself, as the ABI of thread-local storage says. The
    /// memory to which it points stays mapped while the thread lives: when that is gone, too, the thread's part of the heap may
    /// be another's.
    /// A signal handler must not use the heap if it may have interrupted its thread in the heap.
    #[must_use]
    pub const unsafe fn with_thread_pointers(policy: Policy) -> Self {
        Self::assemble(Futex::with_thread_pointers(true), Automatic::new(), policy, None)
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    pub(crate) const fn assemble(lock: L, source: B, policy: Policy, report: Option<fn(&str, &Misuse)>) -> Self {
        let heap = UnsafeCell::new(Heap::with_policy(source, policy));
        Self { lock, policy: Setting::new(policy), mode: Mode::off(), hook: Hook::none(), report, heap }
    }

    /// A heap whose threads take turns by a lock of the program's own, that takes its memory from `source` and aborts the
    /// process on misuse. [`Lock`] shows one.
    #[must_use]
    pub const fn with_lock(lock: L, source: B) -> Self {
        Self::with_lock_and_policy(lock, source, Policy::Abort)
    }

    /// [`with_lock`](Self::with_lock), but misuse is handled as `policy` says.
    #[must_use]
    pub const fn with_lock_and_policy(lock: L, source: B, policy: Policy) -> Self {
        Self::assemble(lock, source, policy, None)
    }
}

impl<B: Brk> Hmalloc<Futex, B> {
    /// A heap that takes its memory from `source`, and aborts the process on misuse.
    #[must_use]
    #[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
    pub const fn with_source(source: B) -> Self {
        Self::with_source_and_policy(source, Policy::Abort)
    }

    /// A heap that takes its memory from `source`, and handles misuse as `policy` says.
    #[must_use]
    #[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
    pub const fn with_source_and_policy(source: B, policy: Policy) -> Self {
        Self::assemble(Futex::new(), source, policy, None)
    }

    /// Waits until no other thread is using the heap, and keeps other threads out. To be called right before `fork` in
    /// a program with threads and without a libc, so that no thread is changing the heap while the child gets its copy.
    pub fn before_fork(&self) {
        loop {
            self.lock.take_for_fork();
            let Some(world) = self.lock.world() else { return };
            if world.stop(self.lock.thread(), barrier::pass_all) {
                world.forker[0].set(tasks::process_id());
                world.forker[1].set(tasks::thread_id());
                return;
            }
            // SAFETY: taken above, and the heap was not used since.
            unsafe { self.lock.leave_after_fork() };
            tasks::sleep(1);
        }
    }

    /// Lets the threads of this process use the heap again: after `fork`, in the parent and in the child.
    ///
    /// # Safety
    ///
    /// The calling thread, or the one of which it is a copy, has called [`before_fork`](Self::before_fork) once and has
    /// not used the heap since; and neither call is made in a signal handler that may have interrupted a call to the
    /// heap.
    pub unsafe fn after_fork(&self) {
        if let Some(world) = self.lock.world() {
            let parent = world.forker[0].get() == tasks::process_id();
            let side = if parent { Side::Parent } else { Side::Child };
            world.go_on(side, self.lock.thread(), world.forker[1].get());
        }
        // SAFETY: the caller's promise.
        unsafe { self.lock.leave_after_fork() };
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl Default for Hmalloc {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl Hmalloc<SingleThreaded> {
    /// A heap that takes no lock and aborts on misuse, for programs with one thread.
    ///
    /// ```no_run
    /// use hmalloc::{Hmalloc, SingleThreaded};
    ///
    /// // SAFETY: this program starts no threads and allocates in no signal handler.
    /// #[global_allocator]
    /// static HEAP: Hmalloc<SingleThreaded> = unsafe { Hmalloc::single_threaded() };
    /// # fn main() {}
    /// ```
    ///
    /// # Safety
    ///
    /// Only one thread ever uses the heap, no signal handler does, and neither does code that [`with`](Self::with) or
    /// [`inspect`](Self::inspect) calls, except through the reference that it gets.
    #[must_use]
    pub const unsafe fn single_threaded() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::single_threaded_with_source(Automatic::new()) }
    }
}

impl<B: Brk> Hmalloc<SingleThreaded, B> {
    /// A heap that takes no lock and takes its memory from `source`, and aborts on misuse.
    ///
    /// # Safety
    ///
    /// As for [`single_threaded`](Hmalloc::single_threaded).
    #[must_use]
    pub const unsafe fn single_threaded_with_source(source: B) -> Self {
        // SAFETY: the caller's promise.
        let lock = unsafe { SingleThreaded::new() };
        Self::assemble(lock, source, Policy::Abort, None)
    }
}
