//! The policy: what is done about a misuse, or about a break that was lowered below blocks in use.

use crate::kernel::line::Text;
use crate::kernel::sys;

/// What [`Hmalloc`](crate::Hmalloc) does about a [`Misuse`](crate::Misuse), and any heap about a break that another
/// user has lowered below its blocks.
///
/// Where there is no Linux there is no standard error: `Report` says nothing, and `Abort` panics with the line, in a function
/// that cannot unwind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Nothing: the call has no effect, and nothing is written.
    Ignore = 1,
    /// One line on standard error; the call has no effect.
    Report = 2,
    /// One line on standard error, then death by `SIGABRT`.
    // 0, so that a static heap with the default policy takes no space in the executable.
    #[default]
    Abort = 0,
}

impl Policy {
    /// Writes the line to standard error unless the policy is to ignore. Aborts if the policy says so.
    #[cold]
    pub(crate) fn say<const MAX: usize>(self, line: &Text<MAX>) {
        match self {
            Self::Ignore => {}
            Self::Report => sys::write_to_stderr(line.as_bytes()),
            Self::Abort => sys::die(line.as_bytes()),
        }
    }
}
