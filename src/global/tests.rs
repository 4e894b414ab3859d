//! What is done in a turn, and what between two: tested by a lock that acts at the beginning and the end of each turn.

use super::*;
use crate::door::misuse::MisuseKind;
use crate::ground::policy::Policy;
use crate::kernel::brk::Emulated;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::boxed::Box;
use std::collections::VecDeque;
use std::rc::Rc;

mod killed;
mod put_off;
mod threads;

const KIB: usize = 1 << 10;
/// A block of many pages, and what it grows to. An interpreter takes minutes for more.
const LARGE: (usize, usize) = if cfg!(miri) { (60 * KIB, 80 * KIB) } else { (100 * KIB, 200 * KIB) };
const ARENA: usize = if cfg!(miri) { 512 * KIB } else { 2048 * KIB };
const OLD: u8 = 0x11;
const CONTENT: u8 = 0x22;

type Step<'a> = Box<dyn FnOnce() + 'a>;

/// A lock for one thread that runs a step right before each turn, and another right after it.
#[derive(Default)]
struct Stepping<'a> {
    is_held: Cell<bool>,
    steps: RefCell<VecDeque<Step<'a>>>,
}

impl Stepping<'_> {
    fn step(&self) {
        let step = self.steps.borrow_mut().pop_front();
        if let Some(step) = step {
            step();
        }
    }
}

// SAFETY: taking a turn inside another ends the test.
unsafe impl Lock for Stepping<'_> {
    fn try_lock(&self) -> bool {
        self.step();
        assert!(!self.is_held.replace(true), "a turn inside of a turn");
        true
    }

    fn wait(&self) -> Turn {
        unreachable!("the lock is always free")
    }

    unsafe fn unlock(&self) -> bool {
        assert!(self.is_held.replace(false), "a turn ends once");
        self.step();
        false
    }

    fn wake(&self) {}

    fn lend(&self, _: bool) {}
}

type Subject<'a> = Rc<Hmalloc<Stepping<'a>, Emulated<'a>>>;

fn arena() -> Box<[MaybeUninit<u8>]> {
    Box::new_uninit_slice(ARENA)
}

fn subject(arena: &mut [MaybeUninit<u8>]) -> Subject<'_> {
    Rc::new(Hmalloc::with_lock_and_policy(Stepping::default(), Emulated::new(arena), Policy::Ignore))
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a small layout")
}

fn filled(heap: &Subject<'_>, size: usize, byte: u8) -> NonNull<u8> {
    let block = heap.allocate(layout(size)).expect("room");
    // SAFETY: the block is new, and at least so long.
    unsafe { block.write_bytes(byte, size) };
    block
}

fn free(heap: &Subject<'_>, block: NonNull<u8>) {
    // SAFETY: the tests read a free block's bytes, but do not use it as a block.
    unsafe { heap.free(block.as_ptr(), |misuse| panic!("{misuse}")) };
}

/// Where the next block of `size` bytes will be. The bytes there are set to `OLD`.
fn next_block(heap: &Subject<'_>, size: usize) -> NonNull<u8> {
    let next = filled(heap, size, OLD);
    free(heap, next);
    next
}

/// Whether the first `size` bytes at `block` are all `byte`.
fn holds(block: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: this is memory of the arena that was written, and nothing writes to it meanwhile.
    let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr(), size) };
    // Compared at once, which an interpreter is quick at.
    bytes == std::vec![byte; size]
}

/// The steps of the next turns: before and after the first, before and after the second.
fn set_steps<'a>(heap: &Subject<'a>, steps: impl IntoIterator<Item = Step<'a>>) {
    heap.lock.steps.replace(steps.into_iter().collect());
}

/// A way to make a block larger.
type Resize = for<'a> fn(&Subject<'a>, NonNull<u8>, usize, usize) -> *mut u8;

const RESIZES: [Resize; 2] = [
    |heap, block, old, new| {
        // SAFETY: the tests go on with the block that is returned.
        unsafe { heap.realloc(block.as_ptr(), layout(old), new) }
    },
    |heap, block, _, new| {
        // SAFETY: as above.
        let answer = unsafe { heap.resize(block.as_ptr(), layout(new)) };
        answer.expect("room").as_ptr()
    },
];

#[test]
fn zeros_are_written_after_the_turn() {
    for size in [LARGE.0, 3 * KIB] {
        let mut arena = arena();
        let heap = subject(&mut arena);
        let next = next_block(&heap, size);
        // SAFETY: the layout is not empty.
        let calls: [&dyn Fn() -> *mut u8; 2] = [&|| unsafe { heap.alloc_zeroed(layout(size)) }, &|| {
            heap.allocate_zeroed(layout(size)).map_or(core::ptr::null_mut(), NonNull::as_ptr)
        }];
        for call in calls {
            // SAFETY: the block at `next` is free, and is written again before its next use.
            unsafe { next.write_bytes(OLD, size) };
            let after = move || assert!(holds(next, size, OLD), "zeros were written in the turn");
            set_steps(&heap, [Box::new(|| {}) as Step<'_>, Box::new(after)]);
            let block = NonNull::new(call()).expect("room");
            assert!(block == next && holds(block, size, 0) && heap.lock.steps.borrow().is_empty());
            free(&heap, block);
        }
    }
}

#[test]
fn content_is_copied_between_two_turns() {
    for resize in RESIZES {
        let mut arena = arena();
        let heap = subject(&mut arena);
        let (old, new) = LARGE;
        let block = filled(&heap, old, CONTENT);
        filled(&heap, KIB, OLD);
        let next = next_block(&heap, new);
        let not_yet = move || assert!(holds(next, old, OLD), "the content was copied in the first turn");
        let other = Rc::clone(&heap);
        let by_now = move || {
            assert!(holds(next, old, CONTENT), "it was copied before the next turn");
            assert!(other.usable_size(block.as_ptr()).is_err(), "the old block is not live any more");
        };
        set_steps(&heap, [Box::new(|| {}) as Step<'_>, Box::new(not_yet), Box::new(by_now)]);
        let moved = NonNull::new(resize(&heap, block, old, new)).expect("room");
        assert!(moved == next && holds(moved, old, CONTENT) && heap.lock.steps.borrow().is_empty());
        assert!(heap.usable_size(block.as_ptr()).is_err());
        assert_eq!(heap.check(), Ok(()));
    }
}

/// Only what has to be copied needs two turns.
#[test]
fn a_block_that_stays_is_resized_in_one_turn() {
    for resize in RESIZES {
        for (old, new) in [(100, 104), (LARGE.0, LARGE.0 - KIB), (LARGE.0, LARGE.0 / 10 * 9)] {
            let mut arena = arena();
            let heap = subject(&mut arena);
            let block = filled(&heap, old, CONTENT);
            let second = || panic!("a second turn");
            set_steps(&heap, [Box::new(|| {}) as Step<'_>, Box::new(|| {}), Box::new(second)]);
            assert_eq!(resize(&heap, block, old, new), block.as_ptr(), "{old} -> {new}");
            assert_eq!(heap.lock.steps.take().len(), 1);
        }
    }
}

#[test]
fn a_block_that_is_freed_while_it_is_copied_is_a_misuse_and_the_new_one_stays() {
    for (old, new) in [LARGE, (LARGE.0, 3 * KIB), (3 * KIB, 12 * KIB), (3 * KIB, LARGE.1)] {
        for resize in RESIZES {
            let mut arena = arena();
            let heap = subject(&mut arena);
            let block = filled(&heap, old, CONTENT);
            filled(&heap, KIB, OLD);
            let live = heap.stats().live_blocks;
            let (other, heard) = (Rc::clone(&heap), Rc::new(Cell::new(None)));
            let hears = Rc::clone(&heard);
            let intrude = move || {
                // SAFETY: this is the mistake that the heap has to notice.
                unsafe { other.free(block.as_ptr(), |misuse| hears.set(Some((misuse.kind, misuse.address)))) };
                // Had the block been freed, its memory would go now, to the kernel or to another block.
                other.trim(0);
                let next = filled(&other, old, OLD);
                assert_eq!((other.check(), other.stats().live_blocks), (Ok(()), live + 1));
                free(&other, next);
            };
            set_steps(&heap, [Box::new(|| {}) as Step<'_>, Box::new(intrude)]);
            let moved = NonNull::new(resize(&heap, block, old, new)).expect("room");
            assert_eq!(heard.get(), Some((MisuseKind::AlreadyFree, block.addr().get())), "{old} -> {new}");
            assert!(moved != block && holds(moved, old.min(new), CONTENT) && heap.lock.steps.borrow().is_empty());
            assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), live));
            free(&heap, moved);
        }
    }
}
