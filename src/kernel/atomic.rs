//! The atomics of the protocol between threads, from one place: a model checker puts its own in their place.

pub(crate) use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};
// The barrier that other threads make all pass does not exist for an interpreter.
#[cfg(not(miri))]
pub(crate) use core::sync::atomic::compiler_fence;
#[cfg(miri)]
pub(crate) use core::sync::atomic::fence as compiler_fence;

/// A word of freed bits and their generation, see [`freed`](crate::ground::freed).
#[cfg(target_pointer_width = "64")]
pub(crate) type AtomicFreed = core::sync::atomic::AtomicU64;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) type AtomicFreed = core::sync::atomic::AtomicU32;

/// Orders an atomic read-modify-write before all later loads, for those who look for each other. On x86 the locked
/// instruction has done that already.
#[inline(always)]
pub(crate) fn fence_after_update() {
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
    core::sync::atomic::fence(SeqCst);
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    compiler_fence(SeqCst);
}
