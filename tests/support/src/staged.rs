//! A source of memory that lets a scenario act at one exact moment: while a thread is inside the heap, growing it.

use hmalloc::brk::{Brk, OwnBreak, Refused};
use hmalloc::{Futex, Hmalloc};
use std::alloc::Layout;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// What happens once, the next time a heap's break moves: 0 or the address of a `fn()`.
#[derive(Debug)]
pub struct Act {
    next: AtomicUsize,
    /// How often it was set.
    count: AtomicUsize,
}

impl Act {
    pub const fn new() -> Self {
        Self { next: AtomicUsize::new(0), count: AtomicUsize::new(0) }
    }

    /// Has `act` called inside the heap, when it grows the next time.
    pub fn set(&self, act: fn()) {
        self.count.fetch_add(1, SeqCst);
        self.next.store(act as usize, SeqCst);
    }

    fn happen(&self) {
        let act = self.next.swap(0, SeqCst);
        if act != 0 {
            // SAFETY: stored by `set`.
            let act: fn() = unsafe { std::mem::transmute::<usize, fn()>(act) };
            act();
        }
    }
}

#[derive(Debug)]
pub struct Staged {
    source: OwnBreak,
    act: &'static Act,
    /// Whether there are mappings. Without them there is no memory for threads' tiers, and all threads take turns.
    maps: bool,
    /// Whether the act is for the next mapping, instead.
    acts_at_mappings: bool,
}

impl Staged {
    pub const fn new(act: &'static Act, maps: bool) -> Self {
        Self { source: OwnBreak::new(), act, maps, acts_at_mappings: false }
    }

    /// A source whose act happens with the next mapping: the first one is for threads' tiers.
    pub const fn at_mappings(act: &'static Act) -> Self {
        Self { source: OwnBreak::new(), act, maps: true, acts_at_mappings: true }
    }
}

/// Takes a block that is larger than whatever is free, so that the heap grows, and what was set for this happens. Each is
/// larger than the ones before, so that it does not fit where they were.
pub fn grow(heap: &Hmalloc<Futex, Staged>, act: &Act) -> *mut u8 {
    let layout = Layout::from_size_align((64 << 20) + (act.count.load(SeqCst) << 22), 16).expect("a layout");
    let block = heap.allocate(layout).expect("memory");
    assert_eq!(act.next.load(SeqCst), 0, "it grew");
    block.as_ptr()
}

// SAFETY: an `OwnBreak` does the work.
unsafe impl Brk for Staged {
    fn query(&self) -> Result<usize, Refused> {
        self.source.query()
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        if to > from && !self.acts_at_mappings {
            self.act.happen();
        }
        // SAFETY: the caller's promise.
        unsafe { self.source.move_break(from, to) }
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        if self.acts_at_mappings {
            self.act.happen();
        }
        if self.maps { self.source.map(bytes) } else { Err(Refused) }
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.source.unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { self.source.discard(start, bytes) }
    }

    fn page_size(&self) -> usize {
        self.source.page_size()
    }
}
