//! The source that suits the program: whether it has a libc decides.

use super::{Brk, Linux, OwnBreak, Refused, Source};
use crate::kernel::libc;
use core::ops::Range;

/// [`OwnBreak`] where a libc is linked (glibc, musl, bionic, uClibc, relibc), the program break of [`Linux`] elsewhere.
///
/// A libc moves the program break by itself and keeps its own idea of where that is; without one nothing else moves it.
#[derive(Debug, Default)]
pub struct Automatic {
    own: OwnBreak,
}

impl Automatic {
    /// The source that suits the program in which this runs.
    #[must_use]
    pub const fn new() -> Self {
        Self { own: OwnBreak::new() }
    }
}

/// Does the same with either of the two.
macro_rules! either {
    ($self:ident, $source:ident => $call:expr) => {
        if libc::is_there() {
            let $source = &$self.own;
            $call
        } else {
            let $source = &Linux;
            $call
        }
    };
    (mut $self:ident, $source:ident => $call:expr) => {
        if libc::is_there() {
            let $source = &mut $self.own;
            $call
        } else {
            let $source = &mut Linux;
            $call
        }
    };
}

// SAFETY: it is one of two that keep the trait's promises, and always the same: which symbols a program has is settled
// before it runs.
unsafe impl Brk for Automatic {
    fn query(&self) -> Result<usize, Refused> {
        either!(self, source => source.query())
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.move_break(from, to) })
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        either!(mut self, source => source.map(bytes))
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        either!(mut self, source => source.room())
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        either!(mut self, source => source.map_at(start, bytes))
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.unmap(start, bytes) })
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.discard(start, bytes) })
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.relocate(from, to, bytes) })
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.seal(start, bytes) })
    }

    unsafe fn unseal(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.unseal(start, bytes) });
    }

    unsafe fn reopen(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        either!(mut self, source => unsafe { source.reopen(start, bytes) })
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        either!(mut self, source => source.expect_use(start, bytes));
    }

    fn is_locked(&mut self, start: usize) -> bool {
        either!(mut self, source => source.is_locked(start))
    }

    fn is_resident(&mut self, start: usize) -> bool {
        either!(mut self, source => source.is_resident(start))
    }

    fn now(&self) -> Option<u64> {
        crate::kernel::tasks::milliseconds()
    }

    fn page_size(&self) -> usize {
        either!(self, source => source.page_size())
    }

    fn source(&self) -> Source {
        either!(self, source => source.source())
    }
}
