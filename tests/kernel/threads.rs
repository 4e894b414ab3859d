//! Threads that share one `Hmalloc` and hand blocks on.

use hmalloc::Hmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::mpsc::{Receiver, Sender, channel};
use support::child::scenario;
use support::pattern;
use support::random::Random;

static HEAP: Hmalloc = Hmalloc::new();

const THREADS: usize = 4;
const OPERATIONS: usize = 150_000;
const LIVE_MAX: usize = 300;

/// A block on its way between threads.
struct Parcel {
    payload: *mut u8,
    layout: Layout,
    seed: usize,
}

// SAFETY: a parcel is the only one to use its block.
unsafe impl Send for Parcel {}

impl Parcel {
    fn new(layout: Layout, seed: usize, zeroed: bool) -> Self {
        // SAFETY: the layout's size is not 0.
        let payload = unsafe { if zeroed { HEAP.alloc_zeroed(layout) } else { HEAP.alloc(layout) } };
        assert!(!payload.is_null() && payload.addr().is_multiple_of(layout.align()));
        if !zeroed {
            // SAFETY: the block is this long; a slice needs its bytes written.
            unsafe { payload.write_bytes(0, layout.size()) };
        }
        let mut parcel = Self { payload, layout, seed };
        assert_eq!(pattern::first_other_than(parcel.bytes(), 0), None);
        pattern::fill(parcel.bytes(), seed);
        parcel
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is live, this long, written, and this parcel's alone.
        unsafe { std::slice::from_raw_parts_mut(self.payload, self.layout.size()) }
    }

    fn resize(mut self, size: usize) -> Self {
        let kept = self.layout.size().min(size);
        // SAFETY: the block was asked for with this layout, and `size` is not 0.
        self.payload = unsafe { HEAP.realloc(self.payload, self.layout, size) };
        assert!(!self.payload.is_null());
        self.layout = Layout::from_size_align(kept, self.layout.align()).expect("a layout");
        let seed = self.seed;
        assert_eq!(pattern::first_difference(self.bytes(), seed), None, "kept by resizing to {size}");
        // SAFETY: the block is `size` bytes long; a slice needs its bytes written.
        unsafe { self.payload.add(kept).write_bytes(0, size - kept) };
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        pattern::fill(self.bytes(), seed);
        self
    }

    fn free(mut self) {
        let seed = self.seed;
        assert_eq!(pattern::first_difference(self.bytes(), seed), None, "{:?}", self.layout);
        // SAFETY: the block was asked for with this layout and is used no more.
        unsafe { HEAP.dealloc(self.payload, self.layout) }
    }
}

/// Mostly small blocks, some of several pages.
fn some_layout(random: &mut Random) -> Layout {
    let bits = if random.below(64) == 0 { 18 } else { 1 + random.below(11) };
    let align = 1 << random.below(7);
    Layout::from_size_align(1 + random.below(1 << bits), align).expect("a layout")
}

/// Takes, resizes and frees its own blocks, sends some to the next thread, and frees what the one before sent.
fn hammer(number: usize, out: &Sender<Parcel>, into: &Receiver<Parcel>) {
    let mut random = Random::new(number as u64 + 1);
    let mut live = Vec::with_capacity(LIVE_MAX);
    for operation in 0..OPERATIONS {
        match random.below(8) {
            0..=3 if live.len() < LIVE_MAX => {
                live.push(Parcel::new(some_layout(&mut random), operation, random.below(4) == 0));
            }
            _ if live.is_empty() => {}
            4 => {
                let parcel: Parcel = live.swap_remove(random.below(live.len()));
                live.push(parcel.resize(some_layout(&mut random).size()));
            }
            5 => out.send(live.swap_remove(random.below(live.len()))).expect("the next thread receives"),
            _ => live.swap_remove(random.below(live.len())).free(),
        }
        into.try_iter().for_each(Parcel::free);
        match random.below(10_000) {
            0 => drop(HEAP.trim(random.below(1 << 20))),
            1 => assert_eq!(HEAP.check(), Ok(())),
            _ => {}
        }
    }
    live.into_iter().for_each(Parcel::free);
}

#[test]
fn four_threads_and_blocks_that_change_hands() {
    scenario(&four_threads_and_blocks_that_change_hands, || {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
        std::thread::scope(|scope| {
            for (number, into) in receivers.into_iter().enumerate() {
                let out = senders[(number + 1) % THREADS].clone();
                scope.spawn(move || {
                    hammer(number, &out, &into);
                    drop(out);
                    into.into_iter().for_each(Parcel::free);
                });
            }
            drop(senders);
        });
        assert_eq!(HEAP.check(), Ok(()));
        let stats = HEAP.stats();
        assert_eq!((stats.live_blocks, stats.live_bytes), (0, 0));
        assert!(stats.peak_heap_bytes > 1 << 20, "{stats:?}");
        HEAP.trim(0);
        assert_eq!(HEAP.check(), Ok(()));
    });
}
