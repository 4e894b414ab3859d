//! Small blocks that one thread allocates and others write to, free and allocate again. Two threads that write to blocks
//! in one cache line wait for each other at every write: it is the allocator that decides whether they do.

use super::meet::{Apart, Meet};
use super::team::Work;
use crate::allocators::block::Block;
use crate::allocators::candidate::Entry;
use std::sync::Mutex;

/// Bytes of a block, eight of which fit a cache line.
const SIZE: usize = 8;
/// Blocks that each thread is given.
pub(super) const GIVEN: usize = 8;
/// How often a thread replaces its blocks.
pub(super) const TURNS: usize = 100;
/// How often it writes to each of them before that.
const WRITES: usize = 20;

pub(super) struct Sharing {
    entry: &'static Entry,
    meet: Meet,
    /// By thread: its blocks.
    hands: Vec<Apart<Mutex<[Block; GIVEN]>>>,
}

impl Sharing {
    pub(super) fn new(entry: &'static Entry, threads: usize) -> Self {
        let hand = |_| Apart(Mutex::new([Block::NONE; GIVEN]));
        Self { entry, meet: Meet::new(threads), hands: (0..threads).map(hand).collect() }
    }

    fn block(&self) -> Block {
        let block = self.entry.block(SIZE);
        block.touch();
        block
    }

    /// Blocks that were allocated one after the other are given to different threads.
    fn give(&self) -> usize {
        for place in 0..GIVEN {
            for hand in &self.hands {
                hand.0.lock().expect("no thread panics")[place] = self.block();
            }
        }
        GIVEN * self.hands.len()
    }
}

impl Work for Sharing {
    /// Each time another thread gives.
    fn pass(&self, thread: usize, pass: usize) -> usize {
        let given = if thread == pass % self.hands.len() { self.give() } else { 0 };
        self.meet.wait();
        let mut hand = self.hands[thread].0.lock().expect("no thread panics");
        for _ in 0..TURNS {
            for _ in 0..WRITES {
                hand.iter().for_each(|block| block.rewrite());
            }
            for block in hand.iter_mut() {
                self.entry.free_block(*block);
                *block = self.block();
            }
        }
        hand.iter().for_each(|block| self.entry.free_block(*block));
        given + TURNS * GIVEN * 2 + GIVEN
    }

    /// A pass ends with nothing live.
    fn drain(&self, _: usize) {}
}
