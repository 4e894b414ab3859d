//! What a program may do before a request fails: free something, and have it tried again.

use super::Hmalloc;
use crate::central::spans::OutOfMemory;
use crate::global::lock::Lock;
use crate::kernel::brk::Brk;
use crate::kernel::parts::LIMITS;
use crate::kernel::{sys, tasks};
use core::alloc::Layout;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// Threads that can be in the hook at a time. Requests of more fail without it.
const THREADS: usize = 8;

/// A program's function, and the threads that are in it.
pub(super) struct Hook {
    pub(super) function: Option<fn(Layout) -> bool>,
    /// Thread ids, or 0.
    inside: [AtomicU32; THREADS],
}

impl core::fmt::Debug for Hook {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.function.fmt(f)
    }
}

impl Hook {
    pub(super) const fn none() -> Self {
        Self { function: None, inside: [const { AtomicU32::new(0) }; THREADS] }
    }

    /// Calls the function, unless the caller is in it already.
    #[cold]
    #[inline(never)]
    fn call(&self, layout: Layout) -> bool {
        let (Some(function), thread) = (self.function, tasks::thread_id()) else { return false };
        if self.change(thread, thread).is_some() {
            return false;
        }
        let Some(entry) = self.change(0, thread) else { return false };
        let _inside = Inside(entry);
        function(layout)
    }

    /// Changes an entry that is `from` into `to`, if there is one.
    #[inline(never)]
    fn change(&self, from: u32, to: u32) -> Option<&AtomicU32> {
        self.inside.iter().find(|entry| entry.compare_exchange(from, to, Relaxed, Relaxed).is_ok())
    }
}

/// Ends the process if a panic unwinds past it.
pub(super) struct NoUnwinding;

impl Drop for NoUnwinding {
    fn drop(&mut self) {
        sys::die("hmalloc: a function that the heap called has panicked\n");
    }
}

/// An entry of a thread that is in the hook. Ends when it goes out of scope, also if the hook panics. The entry of a thread
/// that was in it when another one forked is lost in the child.
struct Inside<'a>(&'a AtomicU32);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// This heap with a function that is called before a request fails for lack of memory, with the request: once, outside
    /// of any lock, in the thread that asks. If it returns true, the request is tried once more. So a program can empty
    /// its caches first, write down what it was about to do, or wait for others to free something. By default there is none.
    ///
    /// `hook` may use the heap. Its own requests fail without another call to it, so it cannot call itself without end.
    /// At most eight threads are in it at a time; requests of further ones fail without it. If it panics, the process ends with
    /// a line, because a global allocator must not unwind; in a [`LocalHeap`](crate::LocalHeap) or
    /// [`SharedHeap`](crate::SharedHeap) it may. It is not called for signal handlers that have interrupted a call to the heap,
    /// nor for requests to a [`Heap`](crate::Heap) that was [lent](Self::with). It costs nothing until a request fails.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::Hmalloc;
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    ///
    /// static ASKED: AtomicUsize = AtomicUsize::new(0);
    ///
    /// fn empty_caches(layout: Layout) -> bool {
    ///     ASKED.store(layout.size(), Relaxed);
    ///     false // There was nothing to free.
    /// }
    ///
    /// static HEAP: Hmalloc = Hmalloc::new().with_hook(empty_caches);
    /// assert!(HEAP.allocate(Layout::from_size_align(1 << 60, 1).unwrap()).is_err());
    /// assert_eq!(ASKED.load(Relaxed), 1 << 60);
    /// ```
    #[must_use]
    #[cfg(feature = "limits")]
    pub const fn with_hook(mut self, hook: fn(Layout) -> bool) -> Self {
        self.set_hook(hook);
        self
    }

    #[cfg(feature = "limits")]
    pub(crate) const fn set_hook(&mut self, hook: fn(Layout) -> bool) {
        self.hook.function = Some(hook);
    }

    /// What `attempt` answers; if that is that there is no memory, its second answer after the hook asked for one.
    #[inline(always)]
    pub(super) fn or_after_hook<T>(
        &self,
        layout: Layout,
        mut attempt: impl FnMut() -> Result<T, OutOfMemory>,
    ) -> Result<T, OutOfMemory> {
        if !LIMITS {
            return attempt();
        }
        let mut asked = false;
        loop {
            match attempt() {
                Err(OutOfMemory) if !asked && self.ask_hook(layout) => asked = true,
                answer => return answer,
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn ask_hook(&self, layout: Layout) -> bool {
        if self.hook.function.is_none() || self.interrupted().is_some() {
            return false;
        }
        // A global allocator must not unwind. What comes and goes is none.
        let guard = (!self.lock.comes_and_goes()).then(|| NoUnwinding);
        let again = self.hook.call(layout);
        core::mem::forget(guard);
        again
    }
}
