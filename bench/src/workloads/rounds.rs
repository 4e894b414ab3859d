//! What is done in a round of each workload.

use super::run::{ALIGNED, PAIRS, PLAIN, Run, ZEROED};
use super::workload::Round;
use crate::allocators::block::Block;
use crate::base::probe::Probe;
use crate::base::random::{below, next};

impl<P: Probe> Run<P> {
    /// One round. Returns the number of operations.
    pub(crate) fn round(&mut self) -> usize {
        match self.round {
            Round::Pair => self.pairs(PAIRS),
            Round::Stack => self.stack(),
            Round::Churn(replacements) => self.churn::<PLAIN>(replacements),
            Round::Fifo | Round::Random => self.all(),
            Round::Double => self.vector(32, 512 << 10, |size| size * 2),
            Round::Words => self.vector(8, 16 << 10, |size| size + 8),
            Round::Zeroed(replacements) => self.churn::<ZEROED>(replacements),
            Round::Aligned(replacements) => self.churn::<ALIGNED>(replacements),
            Round::Strings(steps) => self.strings(steps),
            Round::Queue(steps) => self.queue(steps),
            Round::Exchange => self.exchange(),
            Round::Batches { leave } => self.batches(leave),
            Round::Trace(_) => self.replay(),
        }
    }

    /// One function, so that each count of its instructions is of the same loop.
    #[inline(never)]
    pub(crate) fn pairs(&mut self, count: usize) -> usize {
        for index in 0..count {
            let block = self.allocate(self.size(index));
            self.free(block);
        }
        count * 2
    }

    fn stack(&mut self) -> usize {
        const STACKS: usize = 2_000;
        let depth = self.live.len();
        for stack in 0..STACKS {
            for index in 0..depth {
                self.live[index] = self.allocate(self.size(stack * depth + index));
            }
            for index in (0..depth).rev() {
                self.free(self.live[index]);
            }
        }
        STACKS * depth * 2
    }

    /// In the first round, allocates what is live from then on. Returns the number of operations.
    #[inline(always)]
    fn fill(&mut self, mut block: impl FnMut(&mut Self, usize) -> Block) -> usize {
        if !self.live[0].is_none() {
            return 0;
        }
        for index in 0..self.live.len() {
            self.live[index] = block(self, index);
        }
        self.live.len()
    }

    fn churn<const KIND: u8>(&mut self, replacements: usize) -> usize {
        let operations = replacements * 2
            + self.fill(|run, _| {
                let random = next(&mut run.random);
                run.request::<KIND>(run.size(random as usize))
            });
        for _ in 0..replacements {
            let random = next(&mut self.random);
            let index = below(random, self.live.len());
            self.release::<KIND>(self.live[index]);
            self.live[index] = self.request::<KIND>(self.size(random as usize));
        }
        operations
    }

    /// Frees what a round left. Those that free all of their own leave their table as it is.
    pub(crate) fn drain(&mut self) {
        if !matches!(self.round, Round::Stack | Round::Fifo | Round::Random) {
            (0..self.live.len()).for_each(|index| _ = self.free_at(index));
        }
    }

    /// Frees the block in a place, if there is one. Returns the number of operations.
    fn free_at(&mut self, index: usize) -> usize {
        let block = std::mem::replace(&mut self.live[index], Block::NONE);
        if block.is_none() {
            return 0;
        }
        self.free(block);
        1
    }

    /// Every block is replaced, in random order.
    fn exchange(&mut self) -> usize {
        let filled = self.fill(|run, index| run.allocate(run.size(index)));
        for index in 0..self.order.len() {
            let (random, place) = (next(&mut self.random), self.order[index] as usize);
            self.free(self.live[place]);
            self.live[place] = self.allocate(self.size(random as usize));
        }
        filled + self.order.len() * 2
    }

    /// A batch is allocated; of every two blocks the first is freed, first to last, and then the second, last to first.
    /// If those are left, they are freed when the next round begins.
    fn batches(&mut self, leave: bool) -> usize {
        let mut operations = if leave { self.free_seconds() } else { 0 };
        for index in 0..self.live.len() {
            self.live[index] = self.allocate(self.size(index));
        }
        operations += self.live.len();
        operations += (0..self.live.len()).step_by(2).map(|index| self.free_at(index)).sum::<usize>();
        if leave { operations } else { operations + self.free_seconds() }
    }

    fn free_seconds(&mut self) -> usize {
        (0..self.live.len()).skip(1).step_by(2).rev().map(|index| self.free_at(index)).sum()
    }

    fn all(&mut self) -> usize {
        for index in 0..self.live.len() {
            self.live[index] = self.allocate(self.size(index));
        }
        for index in 0..self.order.len() {
            self.free(self.live[self.order[index] as usize]);
        }
        self.live.len() * 2
    }

    fn vector(&mut self, first: usize, last: usize, grown: impl Fn(usize) -> usize) -> usize {
        let mut operations = 2;
        let mut block = self.allocate(first);
        while block.size < last {
            block = self.grow(block, grown(block.size));
            operations += 1;
        }
        self.free(block);
        operations
    }

    /// Strings that grow as `String` and `std::string` do, among others that do the same.
    fn strings(&mut self, steps: usize) -> usize {
        const FIRST: usize = 16;
        const LAST: usize = 4096;
        let mut operations = steps + self.fill(|run, _| run.allocate(FIRST));
        for _ in 0..steps {
            let index = below(next(&mut self.random), self.live.len());
            let block = self.live[index];
            self.live[index] = if block.size < LAST {
                self.grow(block, block.size + block.size / 2)
            } else {
                operations += 1;
                self.free(block);
                self.allocate(FIRST)
            };
        }
        operations
    }

    /// What passes between a producer and a consumer: the oldest goes, a new one comes.
    fn queue(&mut self, steps: usize) -> usize {
        let filled = self.fill(|run, index| run.allocate(run.size(index)));
        for _ in 0..steps {
            let random = next(&mut self.random);
            let size = self.size(random as usize);
            self.free(self.live[self.oldest]);
            self.live[self.oldest] = self.allocate(size);
            self.oldest = if self.oldest + 1 == self.live.len() { 0 } else { self.oldest + 1 };
        }
        filled + steps * 2
    }
}
