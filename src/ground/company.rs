//! Whether a heap can have several tiers: the cargo feature `threads`; and whether it can be checked: `checked`.

/// What there is of other tiers. Without the feature `threads` there is nothing, at compile time: what would be done with it is
/// left out of the program.
#[inline(always)]
pub(crate) fn if_threads<T>(company: Option<T>) -> Option<T> {
    if cfg!(feature = "threads") { company } else { None }
}

/// Whether requests can be samples: what counts them belongs to the tiers of threads.
pub(crate) const SAMPLES: bool = cfg!(feature = "threads");

/// What there is for checked mode. Without the feature `checked` there is nothing, at compile time.
#[inline(always)]
pub(crate) fn if_checked<T>(state: Option<T>) -> Option<T> {
    if cfg!(feature = "checked") { state } else { None }
}
