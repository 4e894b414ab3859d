//! Blocks that grow: how often they move, how their content is moved, and what stays untouched.

use hmalloc::brk::{Brk, Emulated, Refused};
use hmalloc::{Heap, PAGE};
use std::ptr::NonNull;
use support::arena::Arena;
use support::calls::{MIB, free, get, layout};
use support::pattern;
use support::subject::EmulatedHeap;

fn bytes<'a>(payload: NonNull<u8>, length: usize) -> &'a mut [u8] {
    // SAFETY: the tests ask for blocks of at least `length` bytes, which they have written, and use them one at a time.
    unsafe { std::slice::from_raw_parts_mut(payload.as_ptr(), length) }
}

/// A block of `length` bytes, filled.
fn filled(heap: &mut EmulatedHeap<'_>, length: usize, seed: usize) -> NonNull<u8> {
    let payload = get(heap, length).expect("room");
    // SAFETY: the block is this long.
    unsafe { payload.write_bytes(0, length) };
    pattern::fill(bytes(payload, length), seed);
    payload
}

fn resize(heap: &mut EmulatedHeap<'_>, payload: NonNull<u8>, size: usize) -> NonNull<u8> {
    // SAFETY: the tests go on with the block that is returned.
    unsafe { heap.resize(payload.as_ptr(), layout(size, 8)) }.expect("room")
}

/// A heap in which a block of `length` bytes has to move to grow.
fn hemmed_in<'a>(arena: &'a mut Arena, length: usize, relocations: usize) -> (EmulatedHeap<'a>, NonNull<u8>) {
    let mut brk = arena.brk();
    brk.allow_relocations(relocations);
    let mut heap = Heap::new(brk);
    let block = filled(&mut heap, length, 7);
    get(&mut heap, 5 * PAGE).expect("room");
    (heap, block)
}

#[test]
fn a_large_block_moves_without_a_copy() {
    let (mut arena, length) = (Arena::new(32 * MIB), 3 * MIB + 100);
    let (mut heap, block) = hemmed_in(&mut arena, length, 1);
    let moved = resize(&mut heap, block, 7 * MIB);
    assert_ne!(moved, block);
    assert_eq!(heap.brk().relocated(), length.next_multiple_of(PAGE));
    assert_eq!(pattern::first_difference(bytes(moved, length), 7), None);
    assert_eq!(heap.check(), Ok(()));
    // What it left behind has no memory, and is handed out as zeros.
    let zeroed = heap.allocate_zeroed(layout(3 * MIB, 8)).expect("room");
    assert!(zeroed == block && bytes(zeroed, 3 * MIB).iter().all(|&byte| byte == 0));
}

/// A kernel that refuses to move all of it at once, or any of it.
#[test]
fn a_large_block_is_copied_where_moving_is_refused() {
    let (mut arena, length) = (Arena::new(32 * MIB), 3 * MIB + 100);
    let (mut heap, block) = hemmed_in(&mut arena, length, 0);
    let moved = resize(&mut heap, block, 7 * MIB);
    assert_eq!((heap.brk().relocated(), heap.check()), (0, Ok(())));
    assert_eq!(pattern::first_difference(bytes(moved, length), 7), None);
    assert_eq!(pattern::first_difference(bytes(moved, length), 8), Some(0), "the pattern tells blocks apart");
}

/// Where the target has memory, a copy is cheaper than moving pages.
#[test]
fn a_block_that_moves_to_used_memory_is_copied() {
    let (mut arena, length) = (Arena::new(32 * MIB), 2 * MIB);
    let (mut heap, block) = hemmed_in(&mut arena, length, 1);
    let gap = filled(&mut heap, 3 * MIB, 1);
    get(&mut heap, 5 * PAGE).expect("room");
    free(&mut heap, gap);
    let moved = resize(&mut heap, block, 3 * MIB);
    assert!(moved.addr().get().abs_diff(gap.addr().get()) < MIB, "where the other block was");
    assert_eq!(heap.brk().relocated(), 0);
    assert_eq!(pattern::first_difference(bytes(moved, length), 7), None);
}

/// Blocks that grow a page at a time, each in the way of the others.
#[test]
fn blocks_that_grow_in_turn_move_seldom() {
    for count in [2, 3] {
        let mut arena = Arena::new(100 * MIB);
        let mut heap = Heap::new(arena.brk());
        let mut blocks: Vec<_> = (0..count).map(|_| get(&mut heap, MIB).expect("room")).collect();
        let (mut moves, steps) = (0, 7 * MIB / PAGE);
        for step in 1..=steps {
            for block in &mut blocks {
                let grown = resize(&mut heap, *block, MIB + step * PAGE);
                moves += usize::from(grown != *block);
                *block = grown;
            }
        }
        // An eighth more each time: 18 moves from 1 to 8 MiB.
        assert!(moves <= 20 * count, "{moves} moves of {count} blocks in {steps} steps");
        assert_eq!(heap.check(), Ok(()));
    }
}

/// Small blocks that stay are allocated while a large one grows.
#[test]
fn a_growing_block_gets_out_of_the_way() {
    let mut arena = Arena::new(100 * MIB);
    let mut heap = Heap::new(arena.brk());
    let (mut block, mut moves) = (get(&mut heap, 2 * MIB).expect("room"), 0);
    for step in 1..600 {
        get(&mut heap, 3000).expect("room");
        let grown = resize(&mut heap, block, 2 * MIB + step * PAGE);
        moves += usize::from(grown != block);
        block = grown;
    }
    assert!(moves <= 20, "{moves} moves");
    assert_eq!(heap.check(), Ok(()));
}

/// A vector that grows by little at a time is copied a few times per doubling, not once per size class.
#[test]
fn a_block_that_grows_by_little_moves_seldom() {
    let mut arena = Arena::new(4 * MIB);
    let mut heap = Heap::new(arena.brk());
    let (mut payload, mut moves) = (get(&mut heap, 128).expect("room"), 0);
    for size in (136..=57_344).step_by(8) {
        // SAFETY: the block is live, and only what the heap answers is used from here on.
        let grown = unsafe { heap.resize(payload.as_ptr(), layout(size, 8)) }.expect("room");
        moves += usize::from(grown != payload);
        payload = grown;
    }
    // Nine doublings of up to eight classes each.
    assert!(moves <= 9 * 4, "{moves} moves");
}

/// A block that doubles moves to a freed block that is long enough, and leaves the heap's free end alone.
#[test]
fn a_block_that_doubles_moves_to_what_was_freed() {
    let mut arena = Arena::new(64 * MIB);
    let (mut heap, block) = hemmed_in(&mut arena, MIB, 0);
    let hole = get(&mut heap, 3 * MIB).expect("room");
    get(&mut heap, 5 * PAGE).expect("room");
    let end = get(&mut heap, 6 * MIB).expect("room");
    heap.brk_mut().refuse_lowering(true);
    free(&mut heap, end);
    free(&mut heap, hole);
    let moved = resize(&mut heap, block, 2 * MIB);
    assert_eq!(moved, hole);
    assert_eq!(pattern::first_difference(bytes(moved, MIB), 7), None);
    assert_eq!(heap.check(), Ok(()));
}

/// Room to grow is the block's, and is freed when that is made much smaller.
#[test]
fn room_to_grow_is_no_more_than_an_eighth() {
    let mut arena = Arena::new(64 * MIB);
    let (mut heap, block) = hemmed_in(&mut arena, 8 * MIB, 0);
    let grown = resize(&mut heap, block, 8 * MIB + PAGE);
    let usable = heap.usable_size(grown.as_ptr()).expect("a live block");
    assert!((8 * MIB + PAGE..=9 * MIB + 2 * PAGE).contains(&usable), "{usable}");
    let (old, new) = (layout(8 * MIB + PAGE, 8), layout(8 * MIB + 1, 8));
    // SAFETY: the block is used only as the answers say.
    let kept = unsafe { heap.resize_sized(grown.as_ptr(), old, new) }.expect("it is large enough");
    assert_eq!((kept, heap.usable_size(kept.as_ptr())), (grown, Ok(usable)));
    let small = resize(&mut heap, kept, 4 * MIB);
    assert_eq!((small, heap.usable_size(small.as_ptr())), (grown, Ok(4 * MIB)));
    // SAFETY: nothing uses the block any more.
    assert_eq!(unsafe { heap.free_sized(small.as_ptr(), layout(4 * MIB, 8)) }, Ok(()));
    assert_eq!(heap.check(), Ok(()));
}

/// Where there is no room for an eighth more, or no room at all.
#[test]
fn a_block_grows_to_the_last_page() {
    let mut arena = Arena::new(24 * MIB);
    let (mut heap, block) = hemmed_in(&mut arena, 8 * MIB, usize::MAX);
    let limit = (8..24).rev().find(|&mib| heap.allocate(layout(mib * MIB, 8)).is_ok()).expect("some room");
    assert!(limit >= 14, "{limit} MiB were left of 24, beside 8");
    // SAFETY: the block is used only as the answers say.
    let grown = unsafe { heap.resize(block.as_ptr(), layout(9 * MIB, 8)) };
    assert_eq!(grown, Err(hmalloc::ResizeError::OutOfMemory));
    assert_eq!(pattern::first_difference(bytes(block, 8 * MIB), 7), None);
    assert_eq!(heap.check(), Ok(()));
}

/// A kernel that clears the place it moves to and moves the first bytes there, and then refuses.
struct Halfway<'a> {
    brk: Emulated<'a>,
    moved: usize,
    asked: usize,
}

// SAFETY: every promise is the emulated break's; a refused relocation leaves both ranges usable and nothing lost.
unsafe impl Brk for Halfway<'_> {
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

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.brk.discard(start, bytes) }
    }

    unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
        self.asked += 1;
        // SAFETY: the caller's promise, of parts of it.
        unsafe {
            self.brk.discard(to, bytes)?;
            self.brk.relocate(from, to, self.moved)?;
        }
        Err(Refused)
    }

    fn page_size(&self) -> usize {
        self.brk.page_size()
    }
}

#[test]
fn a_move_that_is_refused_halfway_loses_nothing() {
    for (used, moved) in [(false, MIB), (true, MIB), (false, 40 * MIB), (true, 40 * MIB)] {
        let mut arena = Arena::new(256 * MIB);
        let mut brk = arena.brk();
        brk.allow_relocations(usize::MAX);
        brk.allow_discard(true);
        let mut heap = Heap::new(Halfway { brk, moved, asked: 0 });
        let length = 2 * moved + 100;
        let mut block = get(&mut heap, length).expect("room");
        // SAFETY: the block is this long.
        unsafe { block.write_bytes(0, length) };
        pattern::fill(bytes(block, length), 7);
        // A page of zeros in the middle of what is not moved.
        bytes(block, length)[moved + PAGE..moved + 2 * PAGE].fill(0);
        get(&mut heap, 5 * PAGE).expect("room");
        if used {
            // Something else was where it goes.
            let other = get(&mut heap, length + 5 * PAGE).expect("room");
            // SAFETY: the block is this long.
            unsafe { other.write_bytes(9, length + 5 * PAGE) };
            free(&mut heap, other);
        }
        // SAFETY: the test goes on with the block that is returned.
        block = unsafe { heap.resize(block.as_ptr(), layout(length + 4 * PAGE, 8)) }.expect("room");
        let mut expected = vec![0; length];
        pattern::fill(&mut expected, 7);
        expected[moved + PAGE..moved + 2 * PAGE].fill(0);
        assert!(bytes(block, length) == &expected[..], "{moved} bytes were moved, to used memory: {used}");
        assert!(heap.brk().asked > 0 || used && moved == MIB);
        assert_eq!(heap.check(), Ok(()));
    }
}
