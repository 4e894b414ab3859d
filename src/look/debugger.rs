//! What a debugger finds of the heaps of a program: where they are, and where in them is what. `gdb.py` reads it.
//!
//! A release build has neither types nor, if it is stripped, names. So this table lies in a section of its own, `hmalloc_heaps`,
//! which is found by its name in any program and library, and holds for each heap its address and the offsets of what is read.
//!
//! ```text
//! hmalloc_heaps | "hmalloc1" | entries | heap, offsets | heap, offsets | ...
//!                                        |       |
//!                   an Hmalloc <---------'       '---------> a row of numbers, as the type of that heap has them
//! ```
//!
//! Where the cargo feature `details` is left out there is no such table.
//!
//! A heap enters it when it is first waited for, which its first use is; heaps that share the last of the locks share an entry, too.

use crate::ground::chunks::CHUNK_OFFSETS;
use crate::ground::header::{PAGE, RECORD_OFFSETS};
use crate::ground::lookup::LOOKUP_OFFSETS;
use crate::ground::page_map::REGION_OFFSETS;
use crate::kernel::parts::DETAILS;
use crate::threads::{TIER_OFFSETS, WORLD_OFFSETS};
use core::sync::atomic::Ordering::{Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// How many heaps have an entry: one for each lock, and some for heaps without one.
const ENTRIES: usize = LOCKS + 8;
const LOCKS: usize = 32;

/// How many numbers there are for the fields that all heaps have alike.
const COMMON: usize = 1 + 3 + 6 + 11 + 3 + 2 + 4;

/// Where in a heap is what, in bytes from its start or from that of what is named.
#[repr(C)]
pub(crate) struct Offsets {
    /// Bytes of a word.
    word: usize,
    /// How many numbers follow.
    count: usize,
    heap: HeapOffsets,
    common: [usize; COMMON],
}

/// What differs between types of heaps.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct HeapOffsets {
    /// The page map's part for readers, and its regions.
    pub(crate) lookup: usize,
    pub(crate) regions: usize,
    /// The span at the lowest address.
    pub(crate) first: usize,
    /// The pointer to the tiers of threads; 0 if there can be none.
    pub(crate) world: usize,
}

impl Offsets {
    pub(crate) const fn new(heap: HeapOffsets) -> Self {
        let parts: [&[usize]; 7] =
            [&[PAGE], &LOOKUP_OFFSETS, &REGION_OFFSETS, &RECORD_OFFSETS, &WORLD_OFFSETS, &TIER_OFFSETS, &CHUNK_OFFSETS];
        let mut common = [0; COMMON];
        let (mut part, mut at) = (0, 0);
        while part < parts.len() {
            let mut index = 0;
            while index < parts[part].len() {
                common[at] = parts[part][index];
                (index, at) = (index + 1, at + 1);
            }
            part += 1;
        }
        assert!(at == COMMON);
        Self { word: size_of::<usize>(), count: COMMON + size_of::<HeapOffsets>() / size_of::<usize>(), heap, common }
    }
}

#[repr(C)]
struct Entry {
    heap: AtomicUsize,
    offsets: AtomicPtr<Offsets>,
}

#[repr(C)]
struct Heaps {
    magic: [u8; 8],
    entries: AtomicUsize,
    list: [Entry; ENTRIES],
}

#[cfg_attr(
    any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")),
    unsafe(link_section = "hmalloc_heaps")
)]
static HEAPS: Heaps = Heaps {
    magic: *b"hmalloc1",
    entries: AtomicUsize::new(ENTRIES),
    list: [const { Entry { heap: AtomicUsize::new(0), offsets: AtomicPtr::new(core::ptr::null_mut()) } }; ENTRIES],
};

/// Enters the heap with this lock's number, or without a lock.
#[cold]
#[inline(never)]
pub(crate) fn enter(lock: Option<usize>, heap: usize, offsets: &'static Offsets) {
    if !DETAILS {
        return;
    }
    let unused = |entry: &&Entry| entry.heap.compare_exchange(0, heap, Relaxed, Relaxed).is_ok();
    let entry = match lock {
        Some(number) => HEAPS.list[..LOCKS].get(number),
        None if HEAPS.list[LOCKS..].iter().any(|entry| entry.heap.load(Relaxed) == heap) => None,
        None => HEAPS.list[LOCKS..].iter().find(unused),
    };
    if let Some(entry) = entry {
        entry.offsets.store(core::ptr::from_ref(offsets).cast_mut(), Relaxed);
        entry.heap.store(heap, Release);
    }
}

/// Takes out the heap with this lock's number.
pub(crate) fn leave(lock: usize) {
    if DETAILS && let Some(entry) = HEAPS.list[..LOCKS].get(lock) {
        entry.heap.store(0, Relaxed);
    }
}

// The script travels in the program, in a section that is not loaded: gdb reads it there if the program is on its safe path. The
// attribute `debugger_visualizer` does the same, but for programs with debug information only.
#[cfg(all(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")), not(miri)))]
core::arch::global_asm!(
    ".pushsection .debug_gdb_scripts, \"MS\", %progbits, 1",
    ".byte 4",
    ".ascii \"hmalloc\\n\"",
    concat!(".incbin \"", env!("CARGO_MANIFEST_DIR"), "/src/look/gdb.py\""),
    ".byte 0",
    ".popsection",
);
