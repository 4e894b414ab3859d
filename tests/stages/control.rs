//! The control: a heap that breaks every promise, so that each experiment shows that it can see one broken.

use super::subject::{Seen, Subject};
use hmalloc::brk::{Brk, Emulated};
use std::ptr::{null_mut, with_exposed_provenance_mut};

/// The next payload starts in the last byte of the one before.
pub(crate) struct Careless<'a> {
    brk: Emulated<'a>,
    end: usize,
    given: Vec<Seen>,
    freed: Vec<*mut u8>,
}

impl<'a> Careless<'a> {
    pub(crate) fn new(brk: Emulated<'a>) -> Self {
        Self { end: brk.current() + 1, brk, given: Vec::new(), freed: Vec::new() }
    }
}

impl<'a> Subject<'a> for Careless<'a> {
    fn hmalloc(&mut self, size: usize) -> *mut u8 {
        // What is small is used again, even if it was freed twice. What is larger never is.
        if size < 64
            && let Some(payload) = self.freed.pop()
        {
            return payload;
        }
        let payload = self.end;
        let end = payload.wrapping_add(size);
        // Neither a sum that wraps nor a refusal is noticed.
        let now = self.brk.current();
        // SAFETY: none: this heap is here to be caught.
        let _ = unsafe { self.brk.move_break(now, end.wrapping_add(1)) };
        self.end = end.wrapping_sub(1);
        self.given.push(Seen { payload, size, free: false });
        if payload == 0 { null_mut() } else { with_exposed_provenance_mut(payload) }
    }

    fn hfree(&mut self, payload: *mut u8) {
        self.freed.push(payload);
        // SAFETY: as for the stages that verify nothing.
        unsafe { payload.sub(1).write(1) };
    }

    fn blocks(&self) -> Vec<Seen> {
        self.given.clone()
    }

    fn brk(&self) -> &Emulated<'a> {
        &self.brk
    }

    fn brk_mut(&mut self) -> &mut Emulated<'a> {
        &mut self.brk
    }
}
