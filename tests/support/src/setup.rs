//! What kind of kernel a heap runs on.

use crate::arena::Arena;
use crate::hooked::{Hooked, HookedHeap};
use crate::oracle::Verdict;
use crate::subject::Subject;
use crate::world::{EmulatedWorld, World};
use hmalloc::Heap;
use hmalloc::brk::Emulated;

/// The kernel under a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Bytes of the arena.
    pub arena: usize,
    /// How far past a page boundary the break starts.
    pub offset: usize,
    /// The kernel's page size.
    pub page: usize,
    /// A lowered break leaves scribbled bytes in its page.
    pub dirty: bool,
    /// Pages can be returned while their addresses are kept.
    pub discard: bool,
    /// Bytes of the arena set aside for mappings.
    pub mappings: usize,
}

impl Setup {
    /// A kernel without quirks over `arena` bytes.
    pub const fn plain(arena: usize) -> Self {
        Self { arena, offset: 0, page: 4096, dirty: false, discard: false, mappings: 0 }
    }

    /// The bytes for [`world`](Self::world).
    pub fn memory(&self) -> Arena {
        Arena::at(self.arena, self.offset)
    }

    /// An untouched heap in `memory`.
    pub fn world<'a>(&self, memory: &'a mut Arena) -> EmulatedWorld<'a> {
        self.world_of(memory, |heap| heap)
    }

    /// Acts on an untouched heap, then takes it apart. Panics with what was wrong.
    pub fn run(&self, act: impl FnOnce(&mut EmulatedWorld<'_>) -> Verdict) {
        let mut memory = self.memory();
        let mut world = self.world(&mut memory);
        let verdict = act(&mut world).and_then(|()| world.finish());
        verdict.unwrap_or_else(|what| panic!("{what}, on {self:?}"));
    }

    /// An untouched heap in `memory`, inside what `wrap` makes of it.
    pub fn world_of<'a, S: Subject<'a>>(
        &self,
        memory: &'a mut Arena,
        wrap: impl FnOnce(HookedHeap<'a>) -> S,
    ) -> World<'a, S> {
        let (start, end) = (memory.start(), memory.end());
        let mut brk: Emulated<'a> = memory.brk();
        brk.set_page_size(self.page);
        brk.set_dirty(self.dirty);
        brk.allow_discard(self.discard);
        let mappings = self.mappings.min(self.arena / 2);
        brk.allow_mappings(mappings);
        let maps_start = (end - mappings).next_multiple_of(self.page).min(end);
        let subject = wrap(Heap::new(Hooked::new(brk)));
        World::new(subject, *self, start..end, maps_start)
    }
}
