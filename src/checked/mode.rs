//! Whether a heap is checked: what was asked for, and what was made for it at the first call.

use crate::checked::Checked;
use crate::checked::options::Checks;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8};

/// Whether a heap is checked.
#[derive(Debug)]
pub(crate) struct Mode {
    /// The bits of [`Checks`], or 0.
    wanted: AtomicU8,
    /// Null until the first call.
    state: AtomicPtr<Checked>,
}

impl Mode {
    pub(crate) const fn off() -> Self {
        Self { wanted: AtomicU8::new(0), state: AtomicPtr::new(core::ptr::null_mut()) }
    }

    pub(crate) const fn wanting(checks: Checks) -> Self {
        Self { wanted: AtomicU8::new(checks.bits()), ..Self::off() }
    }

    /// What was asked for.
    #[inline(always)]
    pub(crate) fn wanted(&self) -> Option<Checks> {
        if cfg!(feature = "checked") { Checks::from_bits(self.wanted.load(Relaxed)) } else { None }
    }

    /// Asks for checks, or for none.
    pub(crate) fn want(&self, checks: Option<Checks>) {
        self.wanted.store(checks.map_or(0, Checks::bits), Relaxed);
    }

    /// What was made.
    #[inline(always)]
    pub(crate) fn state(&self) -> Option<&'static Checked> {
        // SAFETY: null, or what stays.
        if cfg!(feature = "checked") { unsafe { self.state.load(Acquire).as_ref() } } else { None }
    }

    /// Sets what was made.
    pub(crate) fn set_state(&self, state: &'static Checked) {
        self.state.store(core::ptr::from_ref(state).cast_mut(), Release);
    }
}
