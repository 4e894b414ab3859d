//! What happens when a function is given a wrong pointer: the policy decides.

use crate::policy;
use hmalloc::{Misuse, Policy};

/// Reports `misuse` in `call`, and returns unless the policy is to abort.
///
/// The first one may come before the library's hook for the start has run, so the environment is read here, too: it may
/// set the policy.
#[cold]
#[inline(never)]
pub(crate) fn apply(call: &str, misuse: &Misuse) {
    #[cfg(feature = "preload")]
    if policy::chosen().is_none() {
        crate::environment::read();
    }
    policy::current().apply(call, misuse);
}

/// Whether it matters what a misuse is: not once the policy is known to be to ignore it.
#[cold]
#[inline(never)]
pub(crate) fn matters() -> bool {
    policy::chosen() != Some(Policy::Ignore)
}
