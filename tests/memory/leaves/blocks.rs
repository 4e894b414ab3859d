//! The blocks of a heap, and what each was filled with.

use hmalloc::{Heap, MisuseKind, PAGE, SpanKind};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{free, get, layout};
use support::pattern;
use support::watched::Watched;

/// The blocks of a heap, and what each was filled with.
pub(crate) struct Blocks<'a> {
    pub(crate) heap: Heap<Watched<'a>>,
    pub(crate) live: BTreeMap<usize, (NonNull<u8>, usize)>,
}

/// Bytes that are filled at either end of a block.
const ENDS: usize = 64;

impl<'a> Blocks<'a> {
    pub(crate) fn new(arena: &'a mut Arena, has_room: bool) -> Self {
        let mut brk = Watched::new(arena.brk());
        brk.has_room = has_room;
        Self { heap: Heap::new(brk), live: BTreeMap::new() }
    }

    fn ends<'b>(payload: NonNull<u8>, usable: usize) -> [&'b mut [u8]; 2] {
        let length = ENDS.min(usable / 2);
        // SAFETY: the block is live and `usable` bytes long, so its ends do not overlap; they are filled when it is made.
        [0, usable - length].map(|at| unsafe { std::slice::from_raw_parts_mut(payload.as_ptr().add(at), length) })
    }

    pub(crate) fn get(&mut self, size: usize) -> Option<usize> {
        let payload = get(&mut self.heap, size)?;
        let usable = self.heap.usable_size(payload.as_ptr()).expect("a live block");
        // SAFETY: the block is `usable` bytes long; a slice needs its bytes written.
        unsafe { payload.write_bytes(0, usable) };
        let at = payload.addr().get();
        Self::ends(payload, usable).into_iter().for_each(|end| pattern::fill(end, at));
        assert_eq!(self.live.insert(at, (payload, usable)), None, "{at:#x} was handed out twice");
        Some(at)
    }

    pub(crate) fn free(&mut self, at: usize) {
        let (payload, _) = self.live.remove(&at).expect("a live block");
        free(&mut self.heap, payload);
    }

    /// Frees the blocks that `choose` says by their rank.
    pub(crate) fn free_some(&mut self, choose: impl Fn(usize) -> bool) {
        let chosen: Vec<usize> =
            self.live.keys().enumerate().filter(|(rank, _)| choose(*rank)).map(|(_, &at)| at).collect();
        chosen.into_iter().for_each(|at| self.free(at));
    }

    /// Grows until the heap has more than `pages` pages: blocks of all kinds, and larger ones in a larger heap.
    pub(crate) fn grow(&mut self, pages: usize) {
        let mut step = 0_usize;
        while self.pages() <= pages {
            step += 1;
            let size = match step % 8 {
                0 => PAGE + 1 + step % 7 * PAGE,
                1 => 9000,
                2 => 3 * PAGE * (1 + pages / 256),
                3 => 300,
                _ => 1000 + step % 5 * 600,
            };
            self.get(size).expect("room");
        }
    }

    /// Makes a block `size` bytes long, and returns its address then.
    pub(crate) fn resize(&mut self, at: usize, size: usize) -> usize {
        let (payload, _) = self.live.remove(&at).expect("a live block");
        // SAFETY: the old address is forgotten.
        let payload = unsafe { self.heap.resize(payload.as_ptr(), layout(size, 8)) }.expect("room");
        let (at, usable) = (payload.addr().get(), self.heap.usable_size(payload.as_ptr()).expect("a live block"));
        for end in Self::ends(payload, usable) {
            // SAFETY: the end lies in the block; what is new of it may not have been written yet.
            unsafe { end.as_mut_ptr().write_bytes(0, end.len()) };
            pattern::fill(end, at);
        }
        self.live.insert(at, (payload, usable));
        at
    }

    /// Pages from the heap's first to its last.
    pub(crate) fn pages(&self) -> usize {
        let stats = self.heap.stats();
        (stats.heap_bytes - stats.aside_bytes) / PAGE
    }

    fn kind(&self, at: usize) -> MisuseKind {
        let answer = self.heap.usable_size(std::ptr::without_provenance(at));
        answer.expect_err("no block starts there").kind
    }

    /// Every block is found, exactly, with its length and content; every page is what its span says.
    pub(crate) fn verify(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        assert_eq!(self.heap.stats().live_blocks, self.live.len());
        for (&at, &(payload, usable)) in &self.live {
            assert_eq!(self.heap.usable_size(payload.as_ptr()), Ok(usable), "{at:#x}");
            for end in Self::ends(payload, usable) {
                assert_eq!(pattern::first_difference(end, at), None, "in the block at {at:#x}");
            }
            if usable > 16 {
                assert_eq!(self.kind(at + usable / 32 * 16), MisuseKind::NotABlock, "inside the block at {at:#x}");
            }
            for page in (PAGE..usable).step_by(PAGE) {
                assert_eq!(self.kind(at + page), MisuseKind::NotABlock, "{page} bytes into the block at {at:#x}");
            }
        }
        for span in self.heap.spans().filter(|span| !matches!(span.kind, SpanKind::Slab { .. } | SpanKind::Large)) {
            for page in (span.address..span.address + span.bytes).step_by(PAGE) {
                let first_of_free = span.kind == SpanKind::Free && page == span.address;
                let expected = if first_of_free { MisuseKind::AlreadyFree } else { MisuseKind::NotABlock };
                assert_eq!(self.kind(page), expected, "{page:#x} in {span:x?}");
            }
        }
        assert_eq!(self.kind(self.heap.brk().brk.current()), MisuseKind::OutsideHeap);
    }

    /// Metadata spans: one at the start, and one for each leaf in line or several that came at once.
    pub(crate) fn metadata(&self) -> usize {
        self.heap.spans().filter(|span| span.kind == SpanKind::Metadata).count()
    }

    /// Bytes of metadata, in line and aside.
    pub(crate) fn metadata_bytes(&self) -> usize {
        self.heap.stats().metadata_bytes
    }
}
