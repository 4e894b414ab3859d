//! The mistakes: what is allocated before, and the one wrong call.

use super::after::Blocks;
use crate::allocators::candidate::Entry;
use std::ptr::without_provenance_mut;
use std::thread;

pub(super) struct Mistake {
    pub(super) name: &'static str,
    /// The wrong pointer.
    pub(super) pointer: fn(&Entry, &mut Blocks) -> *mut u8,
    /// The wrong call, with that pointer.
    pub(super) call: fn(&'static Entry, *mut u8),
    /// Made by a second thread, which not all allocators can have.
    pub(super) has_threads: bool,
}

/// Bytes of the block that is freed wrongly.
pub(super) const SIZE: usize = 64;
/// One that allocators give a range of pages of its own.
const LARGE: usize = 1 << 20;

static IN_THE_PROGRAM: [u64; 64] = [7; 64];

pub(super) static MISTAKES: [Mistake; 13] = [
    mistake("twice", freed, free),
    mistake(
        "twice, another between",
        |entry, _| {
            let [first, second] = [block(entry, SIZE), block(entry, SIZE)];
            free(entry, first);
            free(entry, second);
            first
        },
        free,
    ),
    mistake(
        "twice, 1,000 calls later",
        |entry, blocks| {
            let first = freed(entry, blocks);
            // Of sizes that share nothing with that block.
            (0..500).for_each(|round| free_sized(entry, block(entry, 256 + round), 256 + round));
            first
        },
        free,
    ),
    Mistake {
        has_threads: true,
        ..mistake("twice, second thread", freed, |entry, wrong| {
            let wrong = wrong.expose_provenance();
            thread::spawn(move || free(entry, std::ptr::with_exposed_provenance_mut(wrong))).join().expect("it ends");
        })
    },
    mistake(
        "large twice",
        |entry, _| {
            let large = block(entry, LARGE);
            free_sized(entry, large, LARGE);
            large
        },
        |entry, wrong| free_sized(entry, wrong, LARGE),
    ),
    mistake("inside, +1", |_, blocks| blocks.any().wrapping_add(1), free),
    mistake("inside, +16", |_, blocks| blocks.any().wrapping_add(16), free),
    mistake(
        "inside a large one",
        |entry, _| block(entry, LARGE).wrapping_add(LARGE / 2),
        |entry, wrong| {
            free_sized(entry, wrong, LARGE);
        },
    ),
    mistake(
        "on the stack",
        |_, _| {
            let mut here = [0_u64; 64];
            // The frame is gone when the pointer is freed, as after a function that returned it.
            std::hint::black_box(&mut here).as_mut_ptr().cast()
        },
        free,
    ),
    mistake("in the program", |_, _| (&raw const IN_THE_PROGRAM).cast_mut().cast(), free),
    mistake("where nothing is", |_, _| without_provenance_mut(0x10_0000), free),
    mistake("size too large", |_, blocks| blocks.give_away(), |entry, wrong| free_sized(entry, wrong, 4 * SIZE)),
    mistake("resized when freed", freed, |entry, wrong| {
        // SAFETY: there is nothing that makes this right, which is the point: the process is made for it.
        unsafe { (entry.resize)(wrong, SIZE, 4 * SIZE) };
    }),
];

const fn mistake(
    name: &'static str,
    pointer: fn(&Entry, &mut Blocks) -> *mut u8,
    call: fn(&'static Entry, *mut u8),
) -> Mistake {
    Mistake { name, pointer, call, has_threads: false }
}

fn block(entry: &Entry, size: usize) -> *mut u8 {
    entry.block(size).payload
}

fn freed(entry: &Entry, _: &mut Blocks) -> *mut u8 {
    let block = block(entry, SIZE);
    free(entry, block);
    block
}

fn free(entry: &Entry, payload: *mut u8) {
    free_sized(entry, payload, SIZE);
}

fn free_sized(entry: &Entry, payload: *mut u8, size: usize) {
    // SAFETY: where the pointer is wrong, nothing makes this right: the process is made for it, and ends soon.
    unsafe { (entry.free)(payload, size) }
}
