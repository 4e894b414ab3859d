//! What a stage and the production heap look like to an experiment.

use hmalloc::brk::Emulated;
use hmalloc::stages::Stage;
use hmalloc::{BlockState, Heap};
use std::alloc::Layout;
use std::ptr::null_mut;

/// The strictest alignment of C's basic types, by an authority that the stages do not ask.
pub(crate) const MAX_ALIGN: usize = align_of::<libc::max_align_t>();

/// A payload, or a free block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) payload: usize,
    pub(crate) size: usize,
    pub(crate) free: bool,
}

impl Seen {
    pub(crate) fn end(&self) -> usize {
        self.payload + self.size
    }
}

/// A heap under test.
pub(crate) trait Subject<'a> {
    /// A payload, or null.
    fn hmalloc(&mut self, size: usize) -> *mut u8;

    /// Takes any pointer that the experiments give it.
    fn hfree(&mut self, payload: *mut u8);

    /// What is used and what is free, in address order.
    fn blocks(&self) -> Vec<Seen>;

    fn brk(&self) -> &Emulated<'a>;

    fn brk_mut(&mut self) -> &mut Emulated<'a>;

    /// Where the break stands, and every block: all that a call can change of the heap itself.
    fn state(&self) -> (usize, Vec<Seen>) {
        (self.brk().current(), self.blocks())
    }

    /// Memory where there must be some.
    fn get(&mut self, size: usize) -> *mut u8 {
        let payload = self.hmalloc(size);
        assert!(!payload.is_null(), "the arena is large enough for {size} bytes more");
        payload
    }
}

/// A stage. (A type of its own, so that the production heap can have another implementation.)
pub(crate) struct OfStage<S>(pub(crate) S);

impl<'a, S: Stage<Source = Emulated<'a>>> Subject<'a> for OfStage<S> {
    fn hmalloc(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the experiments write to payloads only, and nothing else lowers the break.
        unsafe { self.0.hmalloc(size) }
    }

    fn hfree(&mut self, payload: *mut u8) {
        // SAFETY: the experiments do not use what they freed. Where they free what is no block, the byte in front of it,
        // the only one that a stage without verification touches, is theirs, and lies in an array or a payload.
        unsafe { self.0.hfree(payload) }
    }

    fn blocks(&self) -> Vec<Seen> {
        self.0.blocks().map(|block| Seen { payload: block.payload, size: block.size, free: block.free }).collect()
    }

    fn brk(&self) -> &Emulated<'a> {
        self.0.brk()
    }

    fn brk_mut(&mut self) -> &mut Emulated<'a> {
        self.0.brk_mut()
    }
}

impl<'a> Subject<'a> for Heap<Emulated<'a>> {
    fn hmalloc(&mut self, size: usize) -> *mut u8 {
        let layout = Layout::from_size_align(size, MAX_ALIGN);
        let payload = layout.ok().and_then(|layout| self.allocate(layout).ok());
        self.check().expect("the heap is sound");
        payload.map_or(null_mut(), |payload| payload.as_ptr())
    }

    fn hfree(&mut self, payload: *mut u8) {
        let live = self.blocks().any(|block| block.address == payload.addr() && block.state == BlockState::Used);
        // SAFETY: the experiments do not use what they freed.
        let answer = unsafe { self.free(payload) };
        assert_eq!(answer.is_ok(), live, "{payload:?}: {answer:?}");
        self.check().expect("the heap is sound");
    }

    fn blocks(&self) -> Vec<Seen> {
        let seen = |block: hmalloc::Block| match block.state {
            BlockState::Used => Some(Seen { payload: block.address, size: block.size, free: false }),
            BlockState::Free => Some(Seen { payload: block.address, size: block.size, free: true }),
            _ => None,
        };
        Heap::blocks(self).filter_map(seen).collect()
    }

    fn brk(&self) -> &Emulated<'a> {
        Heap::brk(self)
    }

    fn brk_mut(&mut self) -> &mut Emulated<'a> {
        Heap::brk_mut(self)
    }
}
