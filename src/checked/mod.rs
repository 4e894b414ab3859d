//! Checked mode: what is looked at beyond pointers. Which checks there are, and what a heap keeps for them; what is done with
//! it at each call is in `global/checked`.
//!
//! | what | where it is kept |
//! |---|---|
//! | exact sizes and states | [`Records`], away from the blocks |
//! | what must stand in slack and free slots | [`pattern`](crate::ground::pattern), computed |
//! | blocks of 0 bytes | [`nothing`]: addresses that are inaccessible |
//! | large blocks that were freed | [`quarantine`]: inaccessible for a while |
//! | what faults there mean | [`faults`]: one line |
//! | whether a heap is checked | [`mode`] |
//!
//! Checked mode costs a heap without it nothing: its threads find no tier without a look at whether it is on, because in checked
//! mode they find none at all ([`Lock::offer`](crate::Lock)), and the slow way that is left to them asks for the mode first.

pub(crate) mod content;
pub(crate) mod faults;
pub(crate) mod found;
pub(crate) mod mode;
pub(crate) mod nothing;
pub(crate) mod options;
pub(crate) mod quarantine;

use crate::checked::found::Found;
use crate::checked::nothing::Nothing;
pub(crate) use crate::checked::nothing::{Here, NOTHING_BYTES};
use crate::checked::options::Checks;
use crate::checked::quarantine::Quarantine;
use crate::ground::pattern::Secret;
use crate::ground::records::Records;
use core::cell::UnsafeCell;

/// What a heap in checked mode keeps. Made in memory that is zero, and stays.
pub(crate) struct Checked {
    pub(crate) secret: Secret,
    pub(crate) checks: Checks,
    pub(crate) nothing: Nothing,
    pub(crate) found: Found,
    /// For the holder of the central lock.
    quarantine: UnsafeCell<Quarantine>,
    pub(crate) records: Records,
}

// SAFETY: what is not atomic is written before the value is shared, but for the quarantine, which the lock's holder alone uses.
unsafe impl Sync for Checked {}

impl core::fmt::Debug for Checked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Checked").field("checks", &self.checks).finish_non_exhaustive()
    }
}

impl Checked {
    /// Makes it at `place`. `nothing` is where addresses for blocks of 0 bytes are, if there are any.
    ///
    /// # Safety
    ///
    /// There is room for it at `place`, which is zero, in no other use, and stays.
    pub(crate) unsafe fn make<'a>(place: usize, checks: Checks, secret: u64, nothing: Option<usize>) -> &'a Self {
        let place = core::ptr::with_exposed_provenance_mut::<Self>(place);
        // SAFETY: the caller's promise. Zeros are the rest of it: what is long is not moved, for a stack may have no room for it.
        unsafe {
            (&raw mut (*place).secret).write(Secret(secret));
            (&raw mut (*place).checks).write(checks);
            (&raw mut (*place).found).write(Found::new(checks.notes_callers()));
            (&raw mut (*place).quarantine).write(UnsafeCell::new(Quarantine::new()));
            (*place).nothing.begin(nothing.unwrap_or(0));
            if checks.notes_callers() {
                (*place).records.begin_callers();
            }
            &*place
        }
    }

    /// The quarantine.
    ///
    /// # Safety
    ///
    /// The caller holds the central lock, and no other reference to it.
    #[allow(clippy::mut_from_ref, reason = "the lock stands for it")]
    pub(crate) unsafe fn quarantine(&self) -> &mut Quarantine {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.quarantine.get() }
    }
}
