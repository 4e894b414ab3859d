//! A gap: what stands where the learner has to write.

use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// The status with which a program ends that has reached a gap.
pub const UNFINISHED: i32 = 3;

/// What a program does when it has reached a gap: says where and what, and ends.
type Reached = fn(place: &str, hint: &str) -> !;

static REACHED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what happens at a gap.
pub fn on_gap(reached: Reached) {
    REACHED.store(reached as *mut (), Relaxed);
}

/// A gap was reached.
///
/// # Panics
///
/// If nobody said what happens then.
pub fn gap(place: &str, hint: &str) -> ! {
    let reached = REACHED.load(Relaxed);
    assert!(!reached.is_null(), "{place}: {hint}");
    // SAFETY: only `on_gap` stores there, and it takes such a function.
    let reached = unsafe { core::mem::transmute::<*mut (), Reached>(reached) };
    reached(place, hint)
}

/// Stands where something has to be written, and says what. It compiles wherever an expression may stand.
///
/// ```text
/// let header = gap!("find: the first free block that is large enough");
/// ```
#[macro_export]
macro_rules! gap {
    ($hint:literal) => {
        $crate::gap(concat!(file!(), ":", line!()), $hint)
    };
}
