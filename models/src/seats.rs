//! The lock: it has one holder at a time, the next holder sees what the last one did, and no thread sleeps for ever.
//!
//! What waits here does as `waiting.rs` in the product does, but for its timeouts: so a call that is lost is a deadlock, which
//! the checker finds. Threads are numbered from 1 on, and that is what stands in a held word.

use crate::kernel::word::{HELD, Word};
use crate::run::{explore, promise};
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

/// A futex: who sleeps does so only if the word is what it was, and a call wakes one that sleeps by then.
struct Futex {
    /// How many sleep, and how many of them are called.
    queue: Mutex<(u32, u32)>,
    called: Condvar,
}

impl Futex {
    fn wait(&self, holds: impl FnOnce() -> bool) {
        let mut queue = self.queue.lock().unwrap();
        if !holds() {
            return;
        }
        queue.0 += 1;
        while queue.1 == 0 {
            queue = self.called.wait(queue).unwrap();
        }
        queue.1 -= 1;
    }

    fn wake_one(&self) {
        let mut queue = self.queue.lock().unwrap();
        if queue.0 > 0 {
            queue.0 -= 1;
            queue.1 += 1;
            self.called.notify_one();
        }
    }
}

/// A lock, and memory without atomics that it is for.
pub(crate) struct Seat {
    pub(crate) word: Word,
    futex: Futex,
    work: UnsafeCell<u32>,
}

// SAFETY: the cell is the checker's, which finds out if two threads use it at once.
unsafe impl Sync for Seat {}
// SAFETY: as above.
unsafe impl Send for Seat {}

pub(crate) fn held_by(thread: u32) -> u32 {
    HELD | thread << 2
}

impl Seat {
    /// A vacant one.
    fn vacant() -> Arc<Self> {
        let word = Word::new();
        assert!(word.is_vacant());
        let futex = Futex { queue: Mutex::new((0, 0)), called: Condvar::new() };
        Arc::new(Self { word, futex, work: UnsafeCell::new(0) })
    }

    pub(crate) fn open() -> Arc<Self> {
        let seat = Self::vacant();
        seat.word.open();
        seat
    }

    fn work(&self) {
        // SAFETY: the checker finds out if it is not the only use.
        self.work.with_mut(|work| unsafe { *work += 1 });
    }

    fn take(&self, thread: u32) {
        if self.word.try_take(held_by(thread)) {
            return;
        }
        while let Some(seen) = self.word.take_or_mark(held_by(thread)) {
            self.futex.wait(|| self.word.is_still(seen));
        }
    }

    fn turn(&self, thread: u32, leave: fn(&Word) -> bool) {
        self.take(thread);
        promise!(self.word.is_held_as(held_by(thread)), "the word does not say who holds the lock");
        self.work();
        if leave(&self.word) {
            self.futex.wake_one();
        }
    }
}

/// Several threads take the lock so many times each, and leave it in this way.
pub(crate) fn take_turns(turns: &'static [u32], leave: fn(&Word) -> bool) {
    explore(move || {
        let seat = Seat::open();
        let run = |(number, &turns): (usize, &u32)| {
            let seat = Arc::clone(&seat);
            thread::spawn(move || (0..turns).for_each(|_| seat.turn(number as u32 + 2, leave)))
        };
        let others: Vec<_> = turns[1..].iter().enumerate().map(run).collect();
        (0..turns[0]).for_each(|_| seat.turn(1, leave));
        others.into_iter().for_each(|thread| thread.join().unwrap());
        promise!(seat.word.is_free(), "the lock is not free");
        // SAFETY: as in `work`.
        let work = seat.work.with(|work| unsafe { *work });
        promise!(work == turns.iter().sum(), "work was lost: {work}");
    });
}

#[test]
fn two_threads_twice() {
    take_turns(&[2, 2], Word::leave);
}

#[test]
fn three_threads() {
    take_turns(&[1, 1, 1], Word::leave);
}

/// A thread opens a lock, or releases one that it does not hold, while another tries to take it.
fn made_free(free: fn(&Word), seat: fn() -> Arc<Seat>) {
    explore(move || {
        let seat = seat();
        let other = Arc::clone(&seat);
        let other = thread::spawn(move || {
            if other.word.try_take(held_by(2)) {
                other.work();
            }
        });
        seat.work();
        free(&seat.word);
        other.join().unwrap();
    });
}

#[test]
fn opened() {
    made_free(Word::open, Seat::vacant);
}

/// The last heap that has a lock goes before an `after_fork`: the next heap finds it free.
#[test]
fn released() {
    made_free(Word::release, || {
        let seat = Seat::open();
        assert!(seat.word.try_take(held_by(1)));
        seat
    });
}
