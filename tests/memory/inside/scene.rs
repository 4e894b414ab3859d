//! A heap whose blocks remember their contents, and a trim that looks at every kernel page it returned.

use hmalloc::{Heap, PAGE, SpanKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, layout};
use support::pattern::first_other_than;
use support::watched::{Call, Watched, WatchedHeap};

/// Bytes of the heap.
pub(crate) fn bytes<'a>(start: usize, length: usize) -> &'a [u8] {
    // SAFETY: the callers ask for pages below the break, all of which an emulated break has written. They are
    // not written while a caller looks at the slice, and no caller keeps it.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), length) }
}

fn is_zero(start: usize, length: usize) -> bool {
    first_other_than(bytes(start, length), 0).is_none()
}

/// A heap, and what its blocks are filled with.
pub(crate) struct Scene<'a> {
    pub(crate) heap: WatchedHeap<'a>,
    page: usize,
    pub(crate) live: BTreeMap<usize, (usize, u8)>,
    byte: u8,
    /// Whether slabs are used again in which some units are zero.
    pub(crate) mixed: bool,
}

impl<'a> Scene<'a> {
    /// Over kernel pages of `page` bytes.
    pub(crate) fn new(arena: &'a mut Arena, page: usize) -> Self {
        let mut brk = arena.brk();
        brk.set_page_size(page);
        brk.allow_discard(true);
        Self { heap: Heap::new(Watched::new(brk)), page, live: BTreeMap::new(), byte: 0, mixed: false }
    }

    /// A block, filled with a byte other than zero. If it was to be `zeroed`, that is checked before.
    pub(crate) fn get(&mut self, size: usize, zeroed: bool) -> Option<usize> {
        let layout = layout(size, 8);
        let block = if zeroed { self.heap.allocate_zeroed(layout) } else { self.heap.allocate(layout) }.ok()?;
        let at = block.addr().get();
        assert!(!zeroed || is_zero(at, size), "{size} bytes at {at:#x} are not zero");
        // All of it, so that every page of a block has memory.
        let size = self.heap.usable_size(block.as_ptr()).expect("a live block");
        let before = self.live.range(..=at).next_back();
        assert!(before.is_none_or(|(start, (size, _))| start + size <= at), "{at:#x} was handed out twice");
        self.byte = self.byte % 250 + 1;
        // SAFETY: the block is this long.
        unsafe { block.write_bytes(self.byte, size) };
        self.live.insert(at, (size, self.byte));
        Some(at)
    }

    pub(crate) fn free(&mut self, at: usize) {
        let (size, byte) = self.live.remove(&at).expect("a live block");
        assert_eq!(first_other_than(bytes(at, size), byte), None, "in the block of {size} bytes at {at:#x}");
        free(&mut self.heap, NonNull::new(std::ptr::with_exposed_provenance_mut(at)).expect("a block"));
    }

    /// Frees all blocks but the first few, and of the others all but one in `every`.
    pub(crate) fn keep(&mut self, first: usize, every: usize) {
        let all: Vec<usize> = self.live.keys().copied().skip(first).collect();
        all.iter().enumerate().filter(|(index, _)| index % every != 0).for_each(|(_, &at)| self.free(at));
    }

    fn slabs(&self) -> Vec<(usize, usize)> {
        let slabs = self.heap.spans().filter(|span| matches!(span.kind, SpanKind::Slab { .. }));
        slabs.map(|span| (span.address, span.address + span.bytes)).collect()
    }

    fn is_free(&self, start: usize, length: usize) -> bool {
        let before = self.live.range(..start + length).next_back();
        before.is_none_or(|(at, (size, _))| at + size <= start)
    }

    /// The kernel pages below the break with a byte other than zero in them: those that have memory.
    pub(crate) fn used(&self) -> BTreeSet<usize> {
        let Some(first) = self.heap.spans().next() else { return BTreeSet::new() };
        let first = first.address.next_multiple_of(self.page);
        let pages = (first..self.heap.brk().brk.current() / self.page * self.page).step_by(self.page);
        pages.filter(|&at| !is_zero(at, self.page)).collect()
    }

    /// Trims all but the top, and looks at each kernel page that was returned. Answers with how many of them lay in slabs
    /// that still stand, and all bytes that were returned.
    pub(crate) fn trim(&mut self) -> (usize, usize) {
        let before = self.used();
        self.heap.brk_mut().log.clear();
        let given = self.heap.trim(usize::MAX);
        assert_eq!(self.heap.check(), Ok(()));
        let (slabs, mut seen) = (self.slabs(), BTreeSet::new());
        let (mut total, mut held, mut untouched) = (0, 0, 0);
        for call in &self.heap.brk().log {
            let Call::Discarded(range) = call else { panic!("{call:?}") };
            assert!(range.start.is_multiple_of(self.page) && range.end.is_multiple_of(self.page), "{range:x?}");
            total += range.len();
            held += before.range(range.clone()).count() * self.page;
            if !slabs.iter().any(|(start, end)| *start <= range.start && range.end <= *end) {
                continue;
            }
            for at in range.clone().step_by(self.page) {
                untouched += usize::from(!before.contains(&at));
                assert!(self.is_free(at, self.page), "something lives at {at:#x}");
                assert!(is_zero(at, self.page) && seen.insert(at), "{at:#x} was returned twice");
            }
        }
        // Free spans count by our pages, of which some may not have been written to in full; and what is known to be zero
        // may be discarded again with what lies around it, and is not counted again.
        let unsure = usize::from(self.mixed) * 4 * PAGE;
        assert!(given <= total && held <= given + unsure, "a trim of {total} bytes, {held} of them held, says {given}");
        // Of the slots that a class has at hand, some may share a unit with one that was handed out; and what a free span knows
        // to be zero between dirty pages, a slab that is cut from it does not. Other seeds have shown 27.
        assert!(untouched <= usize::from(self.mixed) * 32, "{untouched} pages had no memory");
        // Nothing is left that could be returned.
        for (start, end) in slabs {
            let pages = (start.next_multiple_of(self.page)..end).step_by(self.page).filter(|at| at + self.page <= end);
            for at in pages.filter(|&at| self.is_free(at, self.page)) {
                assert!(is_zero(at, self.page), "{at:#x} was kept");
            }
        }
        (seen.len(), given)
    }

    /// Every block has what was written into it.
    pub(crate) fn verify(&self) {
        for (&at, &(size, byte)) in &self.live {
            assert_eq!(first_other_than(bytes(at, size), byte), None, "in the block of {size} bytes at {at:#x}");
        }
    }
}

/// A few MiB of blocks of one size, of which one in `every` is left.
pub(crate) fn fragmented<'a>(arena: &'a mut Arena, page: usize, size: usize, every: usize) -> Scene<'a> {
    let mut scene = Scene::new(arena, page);
    for _ in 0..4 * MIB / size {
        scene.get(size, false).expect("room");
    }
    // The first are guests, in short slabs in which no other block may be left.
    scene.keep(40, every);
    scene
}
