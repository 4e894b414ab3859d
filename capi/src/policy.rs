//! The policy for misuse: one setting for the process.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;
use hmalloc::Policy;

/// The number of a policy in C, or [`UNSET`].
static POLICY: AtomicU8 = AtomicU8::new(UNSET);
/// The program has not chosen yet, so the environment may.
const UNSET: u8 = 0;

/// In C: `HMALLOC_IGNORE`, `HMALLOC_REPORT`, `HMALLOC_ABORT`.
const BY_NUMBER: [(u8, Policy); 3] = [(1, Policy::Ignore), (2, Policy::Report), (3, Policy::Abort)];

/// The policy that the program or the environment has chosen.
pub(crate) fn chosen() -> Option<Policy> {
    let number = POLICY.load(Relaxed);
    BY_NUMBER.iter().find(|(known, _)| *known == number).map(|&(_, policy)| policy)
}

/// The policy in effect.
pub(crate) fn current() -> Policy {
    chosen().unwrap_or(Policy::Abort)
}

/// Sets the policy by its number in C. `Err` if no policy has that number.
pub(crate) fn set_by_number(number: u8) -> Result<(), ()> {
    BY_NUMBER.iter().find(|(known, _)| *known == number).ok_or(())?;
    POLICY.store(number, Relaxed);
    Ok(())
}

/// Sets the environment's policy, unless the program has chosen one.
#[cfg(feature = "preload")]
pub(crate) fn set_unless_chosen(policy: Policy) {
    if let Some(&(number, _)) = BY_NUMBER.iter().find(|(_, known)| *known == policy) {
        let _ = POLICY.compare_exchange(UNSET, number, Relaxed, Relaxed);
    }
}
