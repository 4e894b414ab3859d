//! The environment variables that configure the shared library; `capi/README.md` lists them. The static library reads
//! none: its program's author decides, not the user.

use crate::line::{STDERR, say};
use crate::policy;
use crate::shared::HEAP;
use hmalloc::process::{self, POLICIES, checks_of, policy_of};

/// Reads the environment, once, and sets the policy that it names, unless the program has chosen one.
#[cold]
pub(crate) fn read() {
    if process::settings().is_some() {
        return;
    }
    process::read(&POLICIES);
    if let Some(settings) = process::settings() {
        policy::set_unless_chosen(policy_of(settings).unwrap_or_default());
        if let Some(checks) = checks_of(settings)
            && !HEAP.set_checks(checks)
        {
            let _ = say(STDERR, format_args!("this heap cannot be checked: HMALLOC_CHECKED has no effect"));
        }
    }
}
