//! Whether a heap can have several tiers: the cargo feature `threads`.

/// What there is of other tiers. Without the feature `threads` there is nothing, at compile time: what would be done with it is
/// left out of the program.
#[inline(always)]
pub(crate) fn if_threads<T>(company: Option<T>) -> Option<T> {
    if cfg!(feature = "threads") { company } else { None }
}
