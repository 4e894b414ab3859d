//! The one heap of a process.

use hmalloc::Hmalloc;

/// Its own policy is not used: `misuse` applies the one of `policy`.
pub(crate) static HEAP: Hmalloc = Hmalloc::with_report(crate::misuse::apply);
