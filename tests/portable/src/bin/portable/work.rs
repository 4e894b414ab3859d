//! What a heap has to do on every machine.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ptr;
use hmalloc::brk::{Arena, Brk, Bytes, Emulated, Source};
use hmalloc::stages::s5_coalescing::Coalescing;
use hmalloc::{Heap, Hmalloc, MisuseKind, SingleThreaded};

/// Numbers that look random, and are the same each time (xorshift32).
struct Random(u32);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % limit
    }
}

/// A live block and the byte that fills it.
#[derive(Clone, Copy)]
struct Live {
    at: *mut u8,
    size: usize,
    byte: u8,
}

impl Live {
    fn fill(self) -> Self {
        // SAFETY: the block is live and so large.
        unsafe { self.at.write_bytes(self.byte, self.size) };
        self
    }

    fn is_whole(self, bytes: usize) -> bool {
        // SAFETY: as above.
        (0..bytes.min(self.size)).all(|index| unsafe { self.at.add(index).read() } == self.byte)
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn size(random: &mut Random) -> usize {
    match random.below(20) {
        0 => 1 + random.below(100_000),
        1..4 => 1 + random.below(8_000),
        _ => 1 + random.below(300),
    }
}

/// A block of a random size, or none where there is no room for it.
fn block<B: Brk>(heap: &mut Heap<B>, random: &mut Random) -> Option<Live> {
    let size = size(random);
    let at = heap.allocate(layout(size)).ok()?.as_ptr();
    assert_eq!(at.addr() % 16, 0);
    Some(Live { at, size, byte: random.below(256) as u8 }.fill())
}

/// Frees or resizes a block.
fn change<B: Brk>(heap: &mut Heap<B>, live: Live, random: &mut Random) -> Option<Live> {
    assert!(live.is_whole(live.size));
    if random.below(2) == 0 {
        // SAFETY: not used any more.
        assert!(unsafe { heap.free(live.at) }.is_ok());
        return None;
    }
    let size = size(random);
    // SAFETY: the old address is not used any more, unless the answer is that it stays.
    match unsafe { heap.resize(live.at, layout(size)) } {
        Ok(at) => {
            let moved = Live { at: at.as_ptr(), size, ..live };
            assert!(moved.is_whole(live.size));
            Some(moved.fill())
        }
        Err(_) => Some(live),
    }
}

pub(crate) fn a_random_load_keeps_what_is_written() {
    static ARENA: Arena<{ 2 << 20 }> = Arena::new();
    let mut heap = Heap::new(Bytes::new(&ARENA));
    let mut random = Random(0x9e37_79b9);
    let mut live = [None; 200];
    for step in 0..3_000 {
        let place = random.below(live.len());
        live[place] = match live[place] {
            None => block(&mut heap, &mut random),
            Some(block) => change(&mut heap, block, &mut random),
        };
        if step % 500 == 0 {
            assert_eq!(heap.check(), Ok(()));
            assert_eq!(heap.stats().live_blocks, live.iter().flatten().count());
        }
    }
    assert_eq!(heap.stats().source, Source::Other);
    for block in live.into_iter().flatten() {
        assert!(block.is_whole(block.size));
        // SAFETY: not used any more.
        assert!(unsafe { heap.free(block.at) }.is_ok());
    }
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// Each address of the arena and around it is asked for: those at which a live block begins are live, and no other is freed.
pub(crate) fn every_address_is_told_apart() {
    const BYTES: usize = 256 << 10;
    static ARENA: Arena<BYTES> = Arena::new();
    let mut heap = Heap::new(Bytes::new(&ARENA));
    let mut random = Random(1);
    let mut live = [0; 100];
    for address in &mut live {
        *address = heap.allocate(layout(1 + random.below(200))).expect("room").as_ptr().addr();
    }
    let start = (&raw const ARENA).addr();
    let mut found = 0;
    for address in start - 64..start + BYTES + 64 {
        let pointer = ptr::with_exposed_provenance_mut::<u8>(address);
        if live.contains(&address) {
            assert!(heap.usable_size(pointer).is_ok());
            found += 1;
        } else {
            assert!(heap.usable_size(pointer).is_err());
            // SAFETY: it is no live block's, so nothing is freed.
            let misuse = unsafe { heap.free(pointer) }.expect_err("no block starts there");
            assert_eq!(misuse.address, address);
        }
    }
    assert_eq!((found, heap.stats().live_blocks, heap.check()), (live.len(), live.len(), Ok(())));
    let first = ptr::with_exposed_provenance_mut::<u8>(live[0]);
    // SAFETY: not used any more; the second time nothing happens.
    let (once, twice) = unsafe { (heap.free(first), heap.free(first)) };
    assert!(once.is_ok() && twice.is_err_and(|misuse| misuse.kind == MisuseKind::AlreadyFree));
}

pub(crate) fn running_out_is_an_answer() {
    static ARENA: Arena<{ 128 << 10 }> = Arena::new();
    let mut heap = Heap::new(Bytes::new(&ARENA));
    for _ in 0..3 {
        let mut blocks = [ptr::null_mut(); 200];
        let mut count = 0;
        while let Ok(block) = heap.allocate(layout(1000)) {
            blocks[count] = block.as_ptr();
            count += 1;
        }
        assert!(count > 50 && heap.check().is_ok(), "{count} blocks of 1000 bytes in 128 KiB");
        // SAFETY: not used any more.
        assert!(blocks[..count].iter().all(|&block| unsafe { heap.free(block) }.is_ok()));
    }
}

pub(crate) fn collections_live_on_the_global_heap(heap: &Hmalloc<SingleThreaded, Bytes>) {
    let words: Vec<String> = (0..1000).map(|number| alloc::format!("word {number}")).collect();
    let index: BTreeMap<&str, usize> = words.iter().enumerate().map(|(at, word)| (word.as_str(), at)).collect();
    assert_eq!(index["word 999"], 999);
    assert!(heap.stats().live_blocks > 1000);
    drop(index);
    drop(words);
    assert_eq!((heap.stats().live_blocks, heap.check()), (0, Ok(())));
}

pub(crate) fn a_break_is_emulated() {
    static mut BYTES: [MaybeUninit<u8>; 256 << 10] = [MaybeUninit::uninit(); 256 << 10];
    let bytes = &raw mut BYTES;
    // SAFETY: named here alone, and this runs once.
    let mut heap = Heap::new(Emulated::new(unsafe { &mut *bytes }));
    let kept = heap.allocate(layout(100)).expect("room").as_ptr();
    heap.brk_mut().fail_after(0);
    while heap.allocate(layout(3000)).is_ok() {}
    assert_eq!(heap.check(), Ok(()));
    // SAFETY: not used any more.
    assert!(unsafe { heap.free(kept) }.is_ok() && heap.stats().source == Source::Emulated);
}

/// Another user of the break ends the heap's growth where regions and foreign spans are left out; what lives is not touched.
pub(crate) fn another_user_moves_the_break() {
    static mut BYTES: [MaybeUninit<u8>; 1 << 20] = [MaybeUninit::uninit(); 1 << 20];
    let bytes = &raw mut BYTES;
    // SAFETY: named here alone, and this runs once.
    let mut heap = Heap::new(Emulated::new(unsafe { &mut *bytes }));
    let first = heap.allocate(layout(300_000)).expect("room").as_ptr();
    heap.brk_mut().foreign_move(4096);
    assert_eq!(heap.allocate(layout(300_000)).is_ok(), cfg!(feature = "full"));
    assert_eq!((heap.check(), heap.trim(0)), (Ok(()), 0));
    // SAFETY: not used any more.
    assert!(unsafe { heap.free(first) }.is_ok());
    // In what was freed there is room.
    assert!(heap.allocate(layout(300_000)).is_ok() && heap.check() == Ok(()));
}

/// Large blocks keep what is in them when they grow and shrink, and may be freed by the layout that they got.
pub(crate) fn large_blocks_are_resized(heap: &'static impl GlobalAlloc) {
    let sizes = [70_000, 70_001, 100_000, 60_000, 130_000, 20_000, 90_000, 500, 80_000];
    // SAFETY: a block is used while it lives, and so much of it as it has.
    unsafe {
        let mut live = Live { at: heap.alloc(layout(sizes[0])), size: sizes[0], byte: 7 }.fill();
        for size in sizes {
            let at = heap.realloc(live.at, layout(live.size), size);
            assert!(!at.is_null() && Live { at, ..live }.is_whole(size), "{size}");
            live = Live { at, size, byte: live.byte + 1 }.fill();
        }
        heap.dealloc(live.at, layout(live.size));
    }
}

/// What is free at the heap's end goes back unasked, also where metadata lies between.
pub(crate) fn what_is_free_at_the_end_is_returned() {
    static mut BYTES: [MaybeUninit<u8>; 9 << 20] = [MaybeUninit::uninit(); 9 << 20];
    let bytes = &raw mut BYTES;
    // SAFETY: named here alone, and this runs once.
    let mut heap = Heap::new(Emulated::new(unsafe { &mut *bytes }));
    heap.brk_mut().allow_discard(true);
    for (count, size, turned) in
        [(70, 100_000, false), (70, 100_000, true), (3_600, 2_000, false), (3_600, 2_000, true)]
    {
        let mut blocks = [ptr::null_mut(); 3_600];
        let blocks = &mut blocks[..count];
        blocks.fill_with(|| heap.allocate(layout(size)).expect("room").as_ptr());
        assert!(heap.stats().heap_bytes > 7 << 20);
        if turned {
            blocks.reverse();
        }
        for &block in blocks.iter() {
            // SAFETY: not used any more.
            assert!(unsafe { heap.free(block) }.is_ok());
        }
        let stats = heap.stats();
        assert!(stats.free_bytes <= (1 << 20) + stats.peak_heap_bytes / 8, "{stats:?}");
        assert_eq!(heap.check(), Ok(()));
    }
}

pub(crate) fn the_last_stage_works() {
    static mut BYTES: [MaybeUninit<u8>; 16 << 10] = [MaybeUninit::uninit(); 16 << 10];
    let bytes = &raw mut BYTES;
    // SAFETY: named here alone, and this runs once.
    let mut stage = Coalescing::new(Emulated::new(unsafe { &mut *bytes }));
    // SAFETY: each block is freed once.
    unsafe {
        let (first, second) = (stage.hmalloc(100), stage.hmalloc(200));
        assert!(!first.is_null() && !second.is_null());
        stage.hfree(first);
        stage.hfree(second);
    }
}
