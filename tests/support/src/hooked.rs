//! An emulated break under a model, and the veil over what is not the heap's to look at.

use hmalloc::Heap;
use hmalloc::brk::{Brk, Emulated, Refused, Source};
use std::ops::{Deref, DerefMut, Range};

/// Hides bytes from the heap, and shows them again: payloads, and what others raised the break over. In the tests nothing is
/// hidden; under a sanitizer (`fuzz/`) the heap's first access to a hidden byte is a finding.
#[derive(Clone, Copy)]
pub struct Veil {
    /// Hides so many bytes at an address.
    pub hide: fn(usize, usize),
    /// Shows them again.
    pub show: fn(usize, usize),
}

impl Veil {
    /// Nothing is ever hidden.
    pub const NONE: Self = Self { hide: |_, _| {}, show: |_, _| {} };

    /// Looks at bytes that are hidden before and after.
    pub fn lift<R>(&self, address: usize, bytes: usize, look: impl FnOnce() -> R) -> R {
        (self.show)(address, bytes);
        let seen = look();
        (self.hide)(address, bytes);
        seen
    }
}

/// An emulated break whose kernel is shown what it writes: it plays its part in the program's own memory.
pub struct Hooked<'a> {
    pub brk: Emulated<'a>,
    pub veil: Veil,
}

/// The production heap on such a break.
pub type HookedHeap<'a> = Heap<Hooked<'a>>;

impl<'a> Hooked<'a> {
    pub fn new(brk: Emulated<'a>) -> Self {
        Self { brk, veil: Veil::NONE }
    }

    fn show(&self, range: Range<usize>) {
        (self.veil.show)(range.start, range.len());
    }
}

impl<'a> Deref for Hooked<'a> {
    type Target = Emulated<'a>;

    fn deref(&self) -> &Emulated<'a> {
        &self.brk
    }
}

impl DerefMut for Hooked<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.brk
    }
}

// SAFETY: each call is the emulated break's own; what is shown is not touched.
unsafe impl Brk for Hooked<'_> {
    fn query(&self) -> Result<usize, Refused> {
        self.brk.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let page = self.brk.page_size();
        let now = self.brk.current();
        if from == now {
            // Whole pages are cleared, up to the end of the last one; what is below the break then stays as it is.
            self.show(from.min(to)..from.max(to).next_multiple_of(page).min(self.brk.limit().max(from)));
        }
        // SAFETY: the caller's promise.
        unsafe { self.brk.move_break(from, to) }
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.brk.map(bytes)
    }

    fn room(&mut self) -> Result<Range<usize>, Refused> {
        self.brk.room()
    }

    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.brk.map_at(start, bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // What is mapped there next is cleared.
        self.show(start..start + bytes);
        // SAFETY: the caller's promise.
        unsafe { self.brk.unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.show(start..start + bytes);
        // SAFETY: the caller's promise.
        unsafe { self.brk.discard(start, bytes) }
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        self.show(from..from + bytes);
        self.show(to..to + bytes);
        // SAFETY: the caller's promise.
        unsafe { self.brk.relocate(from, to, bytes) }
    }

    unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.seal(start, bytes) }
    }

    unsafe fn unseal(&mut self, start: usize, bytes: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.brk.unseal(start, bytes) }
    }

    fn expect_use(&mut self, start: usize, bytes: usize) {
        self.brk.expect_use(start, bytes);
    }

    fn is_locked(&mut self, start: usize) -> bool {
        self.brk.is_locked(start)
    }

    fn is_resident(&mut self, start: usize) -> bool {
        self.brk.is_resident(start)
    }

    fn now(&self) -> Option<u64> {
        self.brk.now()
    }

    fn page_size(&self) -> usize {
        self.brk.page_size()
    }

    fn source(&self) -> Source {
        self.brk.source()
    }
}
