//! The page map: look-ups without the lock, while the heap grows and spans come and go.
//!
//! An array of handles stands at a number in place of an address. What `growth.rs` and `arrays.rs` of the product do with plain
//! writes to an array that nobody knows yet is done as handles are set.

use crate::ground::header::PAGE;
use crate::ground::lookup::Lookup;
use crate::ground::pointer::SharedPointer;
use crate::run::{explore, promise};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// Where the heap is.
const BASE: usize = 64 * PAGE;
/// Pages before and after growth, each of which has a record.
const FEW: usize = 1;
const MANY: usize = 2;
/// The arrays of handles: one has room for few pages, and one for many.
const SHORT: usize = 1;
const LONG: usize = 2;

/// What a record says of its span. Zero is a record that was never written.
struct Record(UnsafeCell<usize>);

struct Map {
    lookup: Lookup,
    short: [SharedPointer<Record>; FEW],
    long: [SharedPointer<Record>; MANY],
    records: [Record; MANY],
}

// SAFETY: its cells are the checker's, which finds out if two threads use one at once.
unsafe impl Sync for Map {}
// SAFETY: as above.
unsafe impl Send for Map {}

impl Map {
    /// An empty one. The checker is to know all atomics before there is a second thread, so each is used once.
    fn new() -> Arc<Self> {
        let records = [(); MANY].map(|()| Record(UnsafeCell::new(0)));
        let null = SharedPointer::null;
        let map = Self { lookup: Lookup::new(), short: [null()], long: [null(), null()], records };
        assert_eq!((map.lookup.page_of(0), map.lookup.array()), (None, 0));
        for handle in map.short.iter().chain(&map.long) {
            assert!(handle.observe().is_null());
        }
        Arc::new(map)
    }

    /// One with the first page, and a span there.
    fn with_few() -> Arc<Self> {
        let map = Self::new();
        map.begin();
        map
    }

    /// The heap's first page, and a span there.
    fn begin(&self) {
        self.lookup.set_base(BASE);
        self.lookup.use_array(SHORT);
        self.lookup.set_pages(FEW);
        self.set(&self.short, 0);
    }

    fn record(&self, page: usize) -> *mut Record {
        core::ptr::from_ref(&self.records[page]).cast_mut()
    }

    /// Makes a span at a page, and sets its handle.
    fn set(&self, array: &[SharedPointer<Record>], page: usize) {
        self.write_record(page);
        array[page].publish(self.record(page));
    }

    fn write_record(&self, page: usize) {
        // SAFETY: the checker finds out if it is not the only use.
        self.records[page].0.with_mut(|start| unsafe { *start = BASE + page * PAGE });
    }

    /// Grows to many pages: the long array is complete before it comes into use, and in use before there are more pages.
    fn grow(&self) {
        self.long[0].publish(self.short[0].observe());
        self.lookup.use_array(LONG);
        self.lookup.set_pages(MANY);
        self.set(&self.long, 1);
    }

    /// What a look-up finds of the page: whether it has an owner.
    fn find(&self, page: usize) -> bool {
        let Some(number) = self.lookup.page_of(BASE + page * PAGE) else { return false };
        promise!(number == page, "page {page} is taken for page {number}");
        let array: &[SharedPointer<Record>] = match self.lookup.array() {
            SHORT => &self.short,
            LONG => &self.long,
            other => panic!("no array stands at {other}"),
        };
        promise!(page < array.len(), "a reader looks past the end of an array");
        // SAFETY: null, or a record, which lives as long as the map.
        let Some(record) = (unsafe { array[page].observe().as_ref() }) else { return false };
        // SAFETY: the checker finds out if it is written at the same time.
        let start = record.0.with(|start| unsafe { *start });
        promise!(start == BASE + page * PAGE, "a header that was not written yet");
        true
    }
}

/// A page of a live block is found while the heap grows, and what is in the new page is found or not.
#[test]
fn growth_beside_a_look_up() {
    explore(|| {
        let map = Map::with_few();
        let reader = Arc::clone(&map);
        let reader = thread::spawn(move || {
            let _ = reader.find(1);
            promise!(reader.find(0), "the owner of a live block is not found");
        });
        map.grow();
        promise!(map.find(0) && map.find(1), "the thread that has set an owner does not find it");
        reader.join().unwrap();
    });
}

/// The first page comes into being while a thread asks for addresses in it.
#[test]
fn beginning_beside_a_look_up() {
    explore(|| {
        let map = Map::new();
        let reader = Arc::clone(&map);
        let reader = thread::spawn(move || {
            let _ = reader.find(0);
        });
        map.begin();
        reader.join().unwrap();
    });
}

/// A thread that has seen the new page, as who got a block there has, finds it: also when a third thread told it.
#[test]
fn a_block_in_the_new_page_is_found() {
    explore(|| {
        let map = Map::with_few();
        let reader = Arc::clone(&map);
        let reader = thread::spawn(move || {
            if reader.find(1) {
                promise!(reader.find(1) && reader.find(0), "what was found is not found again");
            }
        });
        map.grow();
        reader.join().unwrap();
    });
}
