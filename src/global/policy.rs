//! The policy of a program's heap, which the program may change while it runs.

use super::Hmalloc;
use crate::global::lock::Lock;
use crate::ground::policy::Policy;
use crate::kernel::brk::Brk;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

/// A policy, as a number.
#[derive(Debug)]
pub(super) struct Setting(AtomicU8);

impl Setting {
    pub(super) const fn new(policy: Policy) -> Self {
        Self(AtomicU8::new(policy as u8))
    }

    #[cfg_attr(not(feature = "speed"), inline(never))]
    fn get(&self) -> Policy {
        let number = self.0.load(Relaxed);
        let others = [Policy::Ignore, Policy::Report];
        others.into_iter().find(|&policy| policy as u8 == number).unwrap_or(Policy::Abort)
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// What is done about a misuse now.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy.get()
    }

    /// From now on, misuse is handled as `policy` says. What is done about a break that was lowered below
    /// blocks stays as it was when the heap was made.
    ///
    /// ```
    /// use hmalloc::{Hmalloc, Policy};
    ///
    /// static HEAP: Hmalloc = Hmalloc::new();
    /// assert_eq!(HEAP.policy(), Policy::Abort);
    /// HEAP.set_policy(Policy::Report);
    /// assert_eq!(HEAP.policy(), Policy::Report);
    /// ```
    pub fn set_policy(&self, policy: Policy) {
        self.policy.0.store(policy as u8, Relaxed);
    }
}
