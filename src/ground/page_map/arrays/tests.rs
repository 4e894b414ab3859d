//! What a reader without the lock relies on: that all arrays are true, and that the one in use gives way to a longer one
//! only, unless its memory goes.

use super::*;
use crate::heap::Heap;
use crate::kernel::brk::{Brk, Emulated, Refused};
use core::alloc::Layout;
use core::ptr::NonNull;
use std::boxed::Box;
use std::vec::Vec;

/// A break with a room for metadata or without, whose kernel may refuse to take metadata back.
struct Source {
    brk: Emulated<'static>,
    has_room: bool,
    keeps: bool,
}

// SAFETY: all that is not refused is the emulated break's.
unsafe impl Brk for Source {
    fn query(&self) -> Result<usize, Refused> {
        self.brk.query()
    }
    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.move_break(from, to) }
    }
    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        self.brk.map(bytes)
    }
    fn room(&mut self) -> Result<Range<usize>, Refused> {
        if self.has_room { self.brk.room() } else { Err(Refused) }
    }
    fn map_at(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        self.brk.map_at(start, bytes)
    }
    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        if self.keeps { Err(Refused) } else { unsafe { self.brk.unmap(start, bytes) } }
    }
    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.discard(start, bytes) }
    }
    fn page_size(&self) -> usize {
        self.brk.page_size()
    }
}

type Subject = Heap<Source>;

fn subject(has_room: bool) -> Subject {
    let arena = Box::leak(Box::new_uninit_slice(if cfg!(miri) { 12 << 20 } else { 40 << 20 }));
    Heap::new(Source { brk: Emulated::new(arena), has_room, keeps: false })
}

fn get(heap: &mut Subject, pages: usize) -> Option<NonNull<u8>> {
    heap.allocate(Layout::from_size_align(pages * PAGE, 16).expect("a small layout")).ok()
}

const CONTENT: u8 = 0x5A;

fn filled(heap: &mut Subject, pages: usize) -> NonNull<u8> {
    let block = get(heap, pages).expect("room");
    // SAFETY: the block is new, and so long.
    unsafe { block.write_bytes(CONTENT, pages * PAGE) };
    block
}

fn holds_content(block: NonNull<u8>, pages: usize) -> bool {
    // SAFETY: the block is live, was filled, and is not written to now.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), pages * PAGE) };
    bytes == std::vec![CONTENT; pages * PAGE]
}

fn free(heap: &mut Subject, block: NonNull<u8>) {
    // SAFETY: nothing uses the block.
    unsafe { heap.free(block.as_ptr()) }.expect("a live block");
}

/// The array in use, and how many handles it has.
fn in_use(map: &PageMap) -> (Handles, usize) {
    map.arrays().find(|(handles, _)| *handles == map.array()).unwrap_or((map.array(), 0))
}

/// What was seen of the array in use.
#[derive(Debug, Default)]
struct Seen {
    longer: usize,
    shorter: usize,
    /// The heap was shorter than an older array.
    within_older: usize,
}

impl Seen {
    /// Does something to a heap, and looks at its arrays before and after.
    fn step(&mut self, heap: &mut Subject, act: impl FnOnce(&mut Subject)) {
        let (before, room) = in_use(&heap.spans.map);
        act(heap);
        assert_eq!(heap.check(), Ok(()), "all arrays are true, and the one in use is the longest");
        let map = &heap.spans.map;
        let (now, room_now) = in_use(map);
        if now != before {
            let stands = map.arrays().any(|(handles, room)| handles == before && room > 0);
            assert!(room == 0 || room_now > room || !stands, "{room_now} handles instead of {room}");
            *(if room_now > room { &mut self.longer } else { &mut self.shorter }) += 1;
        }
        self.within_older += usize::from(map.pages() < map.older);
    }
}

fn grows_and_shrinks(has_room: bool) -> Seen {
    let (mut heap, mut live, mut seen) = (subject(has_room), Vec::new(), Seen::default());
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for step in 0..if cfg!(miri) { 40 } else { 3000 } {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(step | 1);
        let (pages, which) = (1 + (random >> 33) as usize % 40, (random >> 45) as usize);
        let (grows, kind) = (step / 20 % 2 == 0, (random >> 58) % 16);
        // A kernel that does not take metadata back, or the break.
        heap.brk_mut().keeps = random >> 62 == 0;
        heap.brk_mut().brk.refuse_lowering(random >> 61 == 7);
        seen.step(&mut heap, |heap| match kind {
            0 if !grows => _ = heap.trim(which % 4 * PAGE),
            1..=4 if !grows => _ = heap.spans.lower(which % 4 * PAGE),
            _ if grows => live.extend(get(heap, if kind == 0 { 9 * pages } else { pages })),
            // Few are left, and none but the first ones in time.
            _ => live.drain(live.len().min(which % 4)..).for_each(|block| free(heap, block)),
        });
    }
    live.drain(..).for_each(|block| free(&mut heap, block));
    (heap.brk_mut().keeps, _) = (false, heap.brk_mut().brk.refuse_lowering(false));
    seen.step(&mut heap, |heap| _ = heap.trim(0));
    assert_eq!((heap.spans.map.aside_bytes(), in_use(&heap.spans.map).1), (0, super::super::FIRST_LEAF));
    seen
}

#[test]
fn arrays_are_true_and_the_one_in_use_is_the_longest() {
    for has_room in [true, false] {
        let seen = grows_and_shrinks(has_room);
        let enough = if cfg!(miri) { 1 } else { 10 };
        assert!(seen.longer >= enough && seen.shorter >= enough, "{seen:?}");
        assert!(!has_room || cfg!(miri) || seen.within_older >= enough, "{seen:?}");
    }
}

/// A heap that became short again has its handles aside as long as they are mapped, and no new leaf in line.
#[test]
fn what_is_aside_stays_in_use_until_it_is_returned() {
    let (mut heap, mut seen) = (subject(true), Seen::default());
    let (first, large) = (get(&mut heap, 5).expect("room"), get(&mut heap, 300).expect("room"));
    let metadata = |heap: &Subject| heap.stats().metadata_bytes - heap.stats().aside_bytes;
    let aside = in_use(&heap.spans.map).0;
    seen.step(&mut heap, |heap| free(heap, large));
    seen.step(&mut heap, |heap| _ = heap.spans.lower(0));
    assert!(heap.spans.map.pages() < 10 && in_use(&heap.spans.map).0 == aside);
    let in_line = metadata(&heap);
    // Past the end of the first leaf, and of where the second would be.
    let blocks: Vec<_> = (0..30).map(|_| filled(&mut heap, 5)).collect();
    seen.step(&mut heap, |heap| assert_eq!(metadata(heap), in_line));
    // No handle was written to where the array of the second leaf was.
    assert!(blocks.iter().all(|&block| holds_content(block, 5)));
    blocks.into_iter().for_each(|block| free(&mut heap, block));
    // It is kept where the kernel does not take it.
    heap.brk_mut().keeps = true;
    seen.step(&mut heap, |heap| _ = heap.trim(0));
    assert_eq!((seen.longer, seen.shorter, in_use(&heap.spans.map).0), (0, 0, aside));
    heap.brk_mut().keeps = false;
    seen.step(&mut heap, |heap| _ = heap.trim(0));
    assert!(seen.shorter == 1 && heap.spans.map.aside_bytes() == 0);
    seen.step(&mut heap, |heap| free(heap, first));
}
