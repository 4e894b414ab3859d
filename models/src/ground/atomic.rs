//! Stands in for `src/ground/atomic.rs`: the checker's atomics, and each ordering passes by [`place`](crate::place), which
//! may weaken it.

use crate::run::{event, full_fence};
use crate::{interrupt, place};
use core::sync::atomic::Ordering;
pub(crate) use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::OnceLock;

macro_rules! atomic {
    ($name:ident, $number:ident) => {
        /// The checker's atomic is made at its first use, for `new` is to be constant: by the thread that makes what
        /// contains it, before others see that.
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name(OnceLock<loom::sync::atomic::$name>);

        impl $name {
            /// Zero, for that is what all of them begin with.
            pub(crate) const fn new(zero: $number) -> Self {
                assert!(zero == 0);
                Self(OnceLock::new())
            }

            fn at(&self) -> &loom::sync::atomic::$name {
                interrupt::between_instructions();
                event();
                self.0.get_or_init(|| loom::sync::atomic::$name::new(0))
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $number {
                self.at().load(place::ordering(0, ordering))
            }

            #[track_caller]
            pub(crate) fn store(&self, number: $number, ordering: Ordering) {
                self.at().store(number, place::ordering(0, ordering));
            }

            #[track_caller]
            pub(crate) fn swap(&self, number: $number, ordering: Ordering) -> $number {
                self.at().swap(number, place::ordering(0, ordering))
            }

            #[track_caller]
            pub(crate) fn fetch_or(&self, bits: $number, ordering: Ordering) -> $number {
                self.at().fetch_or(bits, place::ordering(0, ordering))
            }

            #[track_caller]
            pub(crate) fn fetch_and(&self, bits: $number, ordering: Ordering) -> $number {
                self.at().fetch_and(bits, place::ordering(0, ordering))
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                old: $number,
                new: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                let (success, failure) = (place::ordering(0, success), place::ordering(1, failure));
                self.at().compare_exchange(old, new, success, failure)
            }

            /// The checker's never fails without a reason.
            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                old: $number,
                new: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                self.compare_exchange(old, new, success, failure)
            }
        }
    };
}

atomic!(AtomicU16, u16);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);

/// As those above, for a pointer.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct AtomicPtr<T>(OnceLock<loom::sync::atomic::AtomicPtr<T>>);

impl<T> AtomicPtr<T> {
    /// Null, for that is what all of them begin with.
    pub(crate) const fn new(null: *mut T) -> Self {
        assert!(null.is_null());
        Self(OnceLock::new())
    }

    fn at(&self) -> &loom::sync::atomic::AtomicPtr<T> {
        interrupt::between_instructions();
        event();
        self.0.get_or_init(|| loom::sync::atomic::AtomicPtr::new(core::ptr::null_mut()))
    }

    #[track_caller]
    pub(crate) fn load(&self, ordering: Ordering) -> *mut T {
        self.at().load(place::ordering(0, ordering))
    }

    #[track_caller]
    pub(crate) fn store(&self, pointer: *mut T, ordering: Ordering) {
        self.at().store(pointer, place::ordering(0, ordering));
    }
}

pub(crate) type AtomicFreed = AtomicU64;

/// A fence on every machine here, as it is on those where an atomic update does not order what follows.
#[track_caller]
pub(crate) fn fence_after_update() {
    fence();
}

/// What costs nothing in the product costs a fence here: one of the two that a membarrier puts between the accesses of
/// either side. Between a thread and its signal handlers it is what the language calls it, a fence for those two. Where a
/// model [interrupts](interrupt) the owner it is nothing.
#[track_caller]
pub(crate) fn compiler_fence(_: Ordering) {
    if !interrupt::is_on() {
        fence();
    }
}

/// The other one: a membarrier, as its caller sees it.
#[track_caller]
pub(crate) fn membarrier() {
    match interrupt::is_on() {
        true if place::fence() => interrupt::membarrier(),
        true => (),
        false => fence(),
    }
}

#[track_caller]
fn fence() {
    if place::fence() {
        full_fence();
    }
}
