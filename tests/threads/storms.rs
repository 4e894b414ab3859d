//! Storms: threads allocate, resize, hand over and free blocks of all sizes, while another one looks at the heap all the
//! time.

use crate::HEAP;
use crate::blocks::{Block, plain, some_layout, some_size};
use crate::crowd::{resident, scenario, times};
use hmalloc::{BlockState, Hmalloc};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicPtr};
use std::sync::mpsc::{Receiver, Sender, channel};
use support::calls::{KIB, MIB};
use support::random::Random;

static STORM: Hmalloc = Hmalloc::new();

const THREADS: usize = 4;
const OPERATIONS: usize = 250_000;
/// Blocks that a thread has at most, when it has many.
const MANY: usize = 1500;
const FEW: usize = 50;
/// Operations after which a thread goes from many blocks to few, or back.
const PHASE: usize = 8000;
const BATCH: usize = 100;

/// Places where any thread leaves a block and takes away what another has left.
static PLACES: [AtomicPtr<Block>; 64] = [const { AtomicPtr::new(null_mut()) }; 64];

fn exchange(place: usize, block: Option<Block>) -> Option<Block> {
    let new = block.map_or(null_mut(), |block| Box::into_raw(Box::new(block)));
    let old = PLACES[place % PLACES.len()].swap(new, AcqRel);
    // SAFETY: it was put there as a box, and only one thread takes it away.
    (!old.is_null()).then(|| *unsafe { Box::from_raw(old) })
}

struct Thread {
    heap: &'static Hmalloc,
    random: Random,
    live: Vec<Block>,
    out: Vec<Sender<Vec<Block>>>,
}

impl Thread {
    fn some_block(&mut self) -> Option<Block> {
        (!self.live.is_empty()).then(|| self.live.swap_remove(self.random.below(self.live.len())))
    }

    fn send(&mut self, blocks: Vec<Block>) {
        let to = self.random.below(self.out.len());
        self.out[to].send(blocks).expect("threads receive to the end");
    }

    fn act(&mut self, operation: usize) {
        let most = if (operation / PHASE).is_multiple_of(2) { MANY } else { FEW };
        match self.random.below(16) {
            0..=7 if self.live.len() < most => {
                let layout = some_layout(&mut self.random);
                self.live.push(Block::new(self.heap, layout, operation));
            }
            8 | 9 => {
                let size = some_size(&mut self.random);
                let resized = self.some_block().map(|block| block.resize(size));
                self.live.extend(resized);
            }
            10 => {
                let sent: Vec<Block> = self.some_block().into_iter().collect();
                self.send(sent);
            }
            11 => {
                let (place, block) = (self.random.below(64), self.some_block());
                exchange(place, block).into_iter().for_each(Block::free);
            }
            12 if operation.is_multiple_of(32) && self.live.len() > BATCH => {
                let batch = self.live.split_off(self.live.len() - BATCH);
                self.send(batch);
            }
            13 => self.live.last_mut().into_iter().for_each(Block::verify),
            _ => self.some_block().into_iter().for_each(Block::free),
        }
    }

    /// Frees what another thread has sent, or resizes it, or keeps it.
    fn receive(&mut self, blocks: Vec<Block>) {
        match self.random.below(4) {
            0 => self.live.extend(blocks),
            1 => {
                let size = some_size(&mut self.random);
                self.live.extend(blocks.into_iter().map(|block| block.resize(size)));
            }
            _ => blocks.into_iter().for_each(Block::free),
        }
    }

    fn run(mut self, into: &Receiver<Vec<Block>>) {
        for operation in 0..times(OPERATIONS) {
            self.act(operation);
            if let Ok(blocks) = into.try_recv() {
                self.receive(blocks);
            }
            // Short of memory, not of time: what is not freed by its receivers is freed here.
            while self.live.len() > 2 * MANY {
                self.some_block().into_iter().for_each(Block::free);
            }
        }
        drop(self.out);
        self.live.into_iter().for_each(Block::free);
        into.iter().flatten().for_each(Block::free);
    }
}

/// Four threads on `heap` until all that they have allocated is freed.
fn storm(heap: &'static Hmalloc) {
    let (out, into): (Vec<Sender<_>>, Vec<Receiver<_>>) = (0..THREADS).map(|_| channel()).unzip();
    let threads = into.into_iter().enumerate().map(|(number, into)| {
        let thread = Thread { heap, random: Random::new(number as u64 + 1), live: Vec::new(), out: out.clone() };
        std::thread::spawn(move || thread.run(&into))
    });
    let threads: Vec<_> = threads.collect();
    drop(out);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    (0..PLACES.len()).filter_map(|place| exchange(place, None)).for_each(Block::free);
}

/// What a looker has seen.
#[derive(Debug, Default)]
struct Seen {
    rounds: usize,
    most_blocks: usize,
}

/// Blocks that stay where they are while others come and go. They are known in address order.
fn landmarks(heap: &Hmalloc) -> Vec<(usize, usize)> {
    let sizes = [16, 100, 3000, 20 * KIB, 100 * KIB];
    let mut known: Vec<_> = (0..100)
        .map(|number| plain(heap, sizes[number % sizes.len()]))
        .map(|block| (block.addr().get(), heap.usable_size(block.as_ptr()).expect("live")))
        .collect();
    known.sort_unstable();
    known
}

/// Checks, counts, copies and trims the heap until `done`, in turn.
fn look(heap: &Hmalloc, known: &[(usize, usize)], done: &AtomicBool) -> Seen {
    let (mut seen, mut random) = (Seen::default(), Random::new(99));
    let mut copied = vec![hmalloc::Block { address: 0, size: 0, state: BlockState::Free }; 200_000];
    while !done.load(Relaxed) {
        assert_eq!(heap.check(), Ok(()));
        let stats = heap.stats();
        assert_eq!(stats.heap_bytes, stats.live_bytes + stats.free_bytes + stats.metadata_bytes, "{stats:?}");
        assert!(stats.peak_heap_bytes >= stats.heap_bytes && stats.live_blocks >= known.len(), "{stats:?}");
        let count = heap.snapshot(&mut copied);
        assert!(count <= copied.len(), "room for {count}");
        assert_snapshot(&copied[..count], known);
        if seen.rounds.is_multiple_of(4) {
            heap.trim(random.below(MIB));
        }
        seen = Seen { rounds: seen.rounds + 1, most_blocks: seen.most_blocks.max(stats.live_blocks) };
    }
    seen
}

/// Blocks in address order that do not overlap, all those that are `known` among them.
fn assert_snapshot(blocks: &[hmalloc::Block], known: &[(usize, usize)]) {
    let mut known = known.iter().peekable();
    let mut end = 0;
    for block in blocks {
        assert!(block.address >= end && block.size > 0, "{block:?} after {end:#x}");
        end = block.address + block.size;
        if block.state == BlockState::Used {
            known.next_if(|&&(address, size)| (address, size) == (block.address, block.size));
        }
    }
    assert_eq!(known.next(), None, "it is not in the snapshot");
}

/// A storm that is looked at. Ends with what was live before.
fn looked_at(heap: &'static Hmalloc) {
    let known = landmarks(heap);
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let looker = scope.spawn(|| look(heap, &known, &done));
        storm(heap);
        done.store(true, Relaxed);
        looker.join().expect("no panic")
    });
    println!("{seen:?}, {:?}", heap.stats());
    assert!(seen.rounds > 10 && seen.most_blocks > FEW * THREADS, "{seen:?}");
    for (address, _) in known {
        crate::blocks::free(heap, std::ptr::with_exposed_provenance_mut(address));
    }
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn threads_on_a_heap_of_their_own() {
    scenario(&threads_on_a_heap_of_their_own, || {
        let before = resident();
        looked_at(&STORM);
        let stats = STORM.stats();
        assert_eq!((stats.live_blocks, stats.live_bytes), (0, 0), "{stats:?}");
        assert!(stats.peak_heap_bytes > 16 * MIB, "{stats:?}");
        STORM.trim(0);
        assert_eq!(STORM.check(), Ok(()));
        let left = resident().saturating_sub(before);
        assert!(left <= 4 * MIB + stats.peak_heap_bytes / 64, "{} KiB stay, {stats:?}", left / KIB);
    });
}

/// Beside everything that the standard library allocates in these threads.
#[test]
fn threads_on_the_programs_heap() {
    scenario(&threads_on_the_programs_heap, || {
        // What the first threads leave for good: names, hooks, the pattern.
        storm(&HEAP);
        let before = HEAP.stats().live_blocks;
        looked_at(&HEAP);
        let stats = HEAP.stats();
        assert_eq!(stats.live_blocks, before, "{stats:?}");
        HEAP.trim(0);
        assert_eq!(HEAP.check(), Ok(()));
    });
}

/// The looker misses a block that is not there.
#[test]
#[should_panic(expected = "it is not in the snapshot")]
fn a_block_that_is_not_in_the_snapshot_is_missed() {
    static SMALL: Hmalloc = Hmalloc::new();
    let block = plain(&SMALL, 64).addr().get();
    look(&SMALL, &[(block + 16, 64)], &AtomicBool::new(false));
}
