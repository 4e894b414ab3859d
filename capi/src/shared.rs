//! The one heap of a process.

use hmalloc::Hmalloc;

/// Its own policy for wrong pointers is not used: see `policy`.
pub(crate) static HEAP: Hmalloc = Hmalloc::new();
