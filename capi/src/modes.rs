//! Checked mode, profile and guards, where the environment asks for them.

use crate::line::{STDERR, say};
use crate::shared::HEAP;
use crate::unwinder;
use hmalloc::process::{checks_of, settings, without_stacks};

/// Begins what the environment asks for, if it was read. Once, when the library starts.
pub(crate) fn begin() {
    let Some(settings) = settings() else { return };
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
