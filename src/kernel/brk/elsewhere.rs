//! The sources that need Linux, where there is none: names for the compiler to say so about, and nothing behind them.

use super::{Brk, HEAP_PAGE, Refused};

/// The process's program break. Not on this target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Linux;

/// A break of the heap's own. Not on this target.
#[derive(Debug, Default)]
pub struct OwnBreak(());

/// The source that suits the program. Not on this target: what there is of it refuses everything, and nothing that is public
/// makes one.
#[derive(Debug)]
pub struct Automatic(());

/// A break in a range of its own. Not on this target.
#[derive(Debug, Default)]
pub struct Reserved(());

/// What refuses everything.
macro_rules! refusing {
    ($source:ident) => {
        // SAFETY: nothing is ever given.
        unsafe impl Brk for $source {
            fn query(&self) -> Result<usize, Refused> {
                Err(Refused)
            }

            unsafe fn move_break(&mut self, _: usize, _: usize) -> Result<(), Refused> {
                Err(Refused)
            }

            fn map(&mut self, _: usize) -> Result<usize, Refused> {
                Err(Refused)
            }

            unsafe fn unmap(&mut self, _: usize, _: usize) -> Result<(), Refused> {
                Err(Refused)
            }

            unsafe fn discard(&mut self, _: usize, _: usize) -> Result<(), Refused> {
                Err(Refused)
            }

            fn page_size(&self) -> usize {
                HEAP_PAGE
            }
        }
    };
}
refusing!(Automatic);
refusing!(Reserved);

/// A mapping away from the break: there are none.
pub(crate) fn map_alone(_: usize) -> Result<usize, Refused> {
    Err(Refused)
}

/// Bytes of a page of such a mapping.
pub(crate) fn page_alone() -> usize {
    HEAP_PAGE
}

/// Unmaps what [`map_alone`] mapped.
///
/// # Safety
///
/// Nothing in it is used.
pub(crate) unsafe fn unmap_alone(_: usize, _: usize) {}
