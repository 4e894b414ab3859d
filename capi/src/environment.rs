//! The environment variables that configure the shared library; `capi/README.md` lists them. The static library reads
//! none: its program's author decides, not the user. What they ask of the heap itself is begun at start (`modes.rs`).

use crate::policy;
use hmalloc::process::{self, POLICIES, policy_of};

/// Reads the environment, once, and sets the policy that it names, unless the program has chosen one.
#[cold]
pub(crate) fn read() {
    if process::settings().is_some() {
        return;
    }
    process::read(&POLICIES);
    if let Some(settings) = process::settings() {
        policy::set_unless_chosen(policy_of(settings).unwrap_or_default());
    }
}
