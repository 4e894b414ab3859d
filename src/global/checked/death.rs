//! The last look at all contents where a process ends otherwise than by `exit`: by `_exit`, `quick_exit` or a signal of which it
//! dies. Nothing may wait there: contents are verified only if the lock is free and all threads stop at once.

use super::Hmalloc;
use super::look::SAID;
use crate::door::misuse::Misuse;
use crate::global::lock::Lock;
use crate::ground::company::if_checked;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use crate::kernel::{libc, sys, tasks};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32};

/// The process whose end is waited for; 0 once it was looked at. A child that shares its memory, by `vfork`, is another one.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// Its heap: the first one that asked for it.
static HEAP: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Whether the last look is the caller's. Only once in a process, and not if that dies of what was found already.
pub(in crate::global) fn begin() -> bool {
    !sys::dies() && PROCESS.compare_exchange(tasks::process_id(), 0, Acquire, Relaxed).is_ok()
}

extern "C" fn nothing() {}

extern "C" fn in_child() {
    PROCESS.store(tasks::process_id(), Relaxed);
}

/// # Safety
///
/// The heap that is waited for is of this type.
unsafe fn heap<'a, L: Lock + 'a, B: Brk + 'a>() -> Option<&'a Hmalloc<L, B>> {
    // SAFETY: the caller's promise; it is static.
    unsafe { HEAP.load(Acquire).cast::<Hmalloc<L, B>>().as_ref() }
}

extern "C" fn at_quick_exit<L: Lock, B: Brk>() {
    // SAFETY: registered with this function.
    unsafe { heap::<L, B>() }.into_iter().for_each(Hmalloc::look_at_end);
}

/// In the handler of a signal: what is found is said, and the process dies of its signal. No function of the program's is called.
fn at_death<L: Lock, B: Brk>() {
    // SAFETY: as above.
    if let Some(heap) = unsafe { heap::<L, B>() }.filter(|heap| heap.policy() != Policy::Ignore) {
        heap.last_look(|misuse| Policy::Report.apply("exit", misuse));
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// If the heap is checked, has its contents looked at however the process ends, as far as that can be known. Only for the first
    /// heap of a process that asks for it.
    #[doc(hidden)]
    pub fn look_however_it_ends(&'static self) {
        if if_checked(self.mode.state()).is_none() || !HEAP.load(Relaxed).is_null() {
            return;
        }
        HEAP.store(core::ptr::from_ref(self).cast_mut().cast(), Release);
        in_child();
        libc::at_fork(nothing, nothing, in_child);
        libc::at_quick_exit(at_quick_exit::<L, B>);
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
        crate::kernel::fatal::before_death(at_death::<L, B>);
    }

    /// The last look, for a caller that ends the process: what is found is treated as at `exit`.
    #[doc(hidden)]
    pub fn look_at_end(&self) {
        self.last_look(|misuse| self.report_found("exit", misuse));
    }

    fn last_look(&self, say: impl Fn(&Misuse)) {
        if let Some(checked) = if_checked(self.mode.state()).filter(|_| begin()) {
            let mut found = [None; SAID];
            self.while_stopped_at_once(|heap| super::look::gather(checked, heap, &mut found));
            found.iter().flatten().for_each(say);
        }
    }
}
