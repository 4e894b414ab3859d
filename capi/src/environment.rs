//! The environment variables that configure the shared library; `capi/README.md` lists them. The static library reads
//! none: its program's author decides, not the user.

use crate::line::{STDERR, say};
use crate::shared::HEAP;
use crate::{policy, unwinder};
use hmalloc::process::{self, POLICIES, checks_of, policy_of, without_stacks};

/// Reads the environment, once, and sets the policy that it names, unless the program has chosen one.
#[cold]
pub(crate) fn read() {
    if process::settings().is_some() {
        return;
    }
    process::read(&POLICIES);
    if let Some(settings) = process::settings() {
        policy::set_unless_chosen(policy_of(settings).unwrap_or_default());
        let checks = checks_of(settings);
        let callers = checks.is_some_and(|checks| checks.notes_callers());
        // What the loader allocates for it is checked, too, as far as the heap is then.
        without_stacks(|| {
            if let Some(checks) = checks
                && !HEAP.set_checks(checks)
            {
                let _ = say(STDERR, format_args!("this heap cannot be checked: HMALLOC_CHECKED has no effect"));
            }
            if callers || settings.samples() {
                unwinder::prepare();
            }
        });
        if settings.samples() {
            HEAP.profile_as_asked();
        }
        // After the profile, which is worth more.
        HEAP.look_however_it_ends();
    }
}
