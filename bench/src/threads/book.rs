//! An allocator that keeps book, for tests: who holds what, what was done wrong.

use crate::allocators;
use crate::allocators::candidate::{Entry, Threads};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// What an allocator saw.
#[derive(Default)]
pub(super) struct Book {
    /// By address: size and owner.
    live: HashMap<usize, (usize, ThreadId)>,
    pub(super) allocated: usize,
    pub(super) freed: usize,
    /// Of those, by another thread than the one that allocated.
    pub(super) freed_by_others: usize,
    pub(super) smallest: Option<usize>,
    pub(super) largest: usize,
    /// Threads that made themselves known, and those of them that ended.
    pub(super) begun: usize,
    pub(super) ended: usize,
    pub(super) faults: Vec<String>,
}

impl Book {
    pub(super) fn live(&self) -> usize {
        self.live.len()
    }

    pub(super) fn calls(&self) -> usize {
        self.allocated + self.freed
    }

    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: no promise is needed to allocate.
        let payload = unsafe { libc::malloc(size.max(8)) }.cast::<u8>();
        assert!(!payload.is_null());
        // SAFETY: the block is fresh and has that size.
        unsafe { payload.write_bytes(pattern(payload.addr()), size) };
        self.live.insert(payload.addr(), (size, thread::current().id()));
        self.allocated += 1;
        self.smallest = Some(self.smallest.map_or(size, |smallest| smallest.min(size)));
        self.largest = self.largest.max(size);
        payload
    }

    /// The first word of a block is what its owner wrote, its size; the rest is as it was.
    fn free(&mut self, payload: *mut u8, size: usize) {
        self.freed += 1;
        let Some((known, owner)) = self.live.remove(&payload.addr()) else {
            return self.faults.push(format!("{payload:p} is not live"));
        };
        if known != size {
            self.faults.push(format!("{payload:p} has {known} bytes, not {size}"));
        }
        self.freed_by_others += usize::from(owner != thread::current().id());
        // SAFETY: the block is live, and has as many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(payload, known) };
        let (word, rest) = bytes.split_at(8);
        if word != (known as u64).to_ne_bytes() || rest.iter().any(|byte| *byte != pattern(payload.addr())) {
            self.faults.push(format!("{payload:p} was changed"));
        }
        // SAFETY: it came from there, and is no longer in the book.
        unsafe { libc::free(payload.cast()) };
    }
}

fn pattern(address: usize) -> u8 {
    (address >> 4) as u8 | 1
}

static BOOK: Mutex<Option<Book>> = Mutex::new(None);

/// A test has the book to itself.
static TURN: Mutex<()> = Mutex::new(());

fn write<T>(line: impl FnOnce(&mut Book) -> T) -> T {
    let mut book = BOOK.lock().unwrap_or_else(PoisonError::into_inner);
    line(book.as_mut().expect("a book is open"))
}

pub(super) fn read<T>(line: impl FnOnce(&Book) -> T) -> T {
    write(|book| line(book))
}

/// Ends the book.
pub(super) fn close() -> Book {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner).take().expect("a book is open")
}

/// An entry with an empty book, as long as the guard lives.
pub(super) fn open() -> (&'static Entry, MutexGuard<'static, ()>) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *BOOK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Book::default());
    let system = allocators::find("system").expect("an entry");
    let entry = Entry {
        name: "book",
        threads: Some(Threads { begin: || write(|book| book.begun += 1), end: || write(|book| book.ended += 1) }),
        allocate: |size| write(|book| book.allocate(size)),
        free: |payload, size| write(|book| book.free(payload, size)),
        ..*system
    };
    (Box::leak(Box::new(entry)), turn)
}
