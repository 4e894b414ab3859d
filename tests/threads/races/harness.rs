//! Threads that do something to the same block at the same instant: the harness of all races.

use crate::crowd::{Meeting, dawdle};
use hmalloc::Misuse;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Rounds between two looks at the heap. Not a multiple of what a word of slots holds.
pub(crate) const BATCH: usize = 90;

/// The block of one round, and what the threads that race for it have seen.
#[derive(Debug, Default)]
pub(crate) struct Round {
    block: AtomicUsize,
    accused: AtomicUsize,
    /// What a race notes besides: addresses, answers.
    pub(crate) noted: [AtomicUsize; 2],
}

impl Round {
    pub(crate) fn block(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.block.load(Relaxed))
    }

    /// Counts the accusation of a pointer.
    pub(crate) fn accuse(&self, misuse: &Misuse, pointer: *mut u8) {
        assert_eq!(misuse.address, pointer.addr(), "{misuse}");
        self.accused.fetch_add(1, Relaxed);
    }

    /// How many accusations there were.
    pub(crate) fn accused(&self) -> usize {
        self.accused.load(Relaxed)
    }

    pub(crate) fn note(&self, place: usize, value: usize) {
        self.noted[place].store(value, Release);
    }

    pub(crate) fn noted(&self, place: usize) -> usize {
        self.noted[place].load(Acquire)
    }
}

pub(crate) type Act<'a> = &'a (dyn Fn(&Round) + Sync);

/// A race: what its parties do at the same instant.
pub(crate) struct Race<'a> {
    /// Each in a thread of its own,
    pub(crate) others: &'a [Act<'a>],
    /// and this by the thread that has allocated the block, if it takes part.
    pub(crate) owner: Option<Act<'a>>,
}

struct Course {
    rounds: Vec<Round>,
    together: Meeting,
    batch_begins_or_ends: Barrier,
}

impl Race<'_> {
    /// Runs at least `rounds` rounds. For each batch, `blocks` says which blocks are raced for; then they are, and
    /// `settle` judges what became of each.
    pub(crate) fn run(&self, rounds: usize, blocks: &dyn Fn(usize) -> Vec<*mut u8>, settle: &dyn Fn(usize, &[Round])) {
        let parties = self.others.len() + usize::from(self.owner.is_some());
        let mut course = Course {
            rounds: Vec::new(),
            together: Meeting::of(parties),
            batch_begins_or_ends: Barrier::new(self.others.len() + 1),
        };
        course.rounds.resize_with(BATCH, Round::default);
        let batches = rounds.div_ceil(BATCH);
        std::thread::scope(|scope| {
            for (number, act) in self.others.iter().enumerate() {
                let course = &course;
                scope.spawn(move || (0..batches).for_each(|batch| course.take_part(batch, number + 1, Some(act))));
            }
            for batch in 0..batches {
                course.prepare(&blocks(batch));
                course.take_part(batch, 0, self.owner.as_ref());
                settle(batch, &course.rounds);
            }
        });
    }
}

impl Course {
    fn prepare(&self, blocks: &[*mut u8]) {
        assert_eq!(blocks.len(), BATCH);
        for (round, block) in self.rounds.iter().zip(blocks) {
            round.block.store(block.expose_provenance(), Relaxed);
            round.accused.store(0, Relaxed);
            round.noted.iter().for_each(|noted| noted.store(0, Relaxed));
        }
    }

    fn take_part(&self, batch: usize, number: usize, act: Option<&Act<'_>>) {
        self.batch_begins_or_ends.wait();
        for (index, round) in self.rounds.iter().enumerate().filter(|_| act.is_some()) {
            let count = batch * BATCH + index;
            self.together.meet(count);
            dawdle(count, number);
            act.into_iter().for_each(|act| act(round));
        }
        self.batch_begins_or_ends.wait();
    }
}
