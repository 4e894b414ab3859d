//! Threads that do a piece of work together, in passes. A pass is timed from when all are there until all are done.

use super::meet::Meet;
use crate::allocators::candidate::{Entry, Threads};
use crate::base::kernel;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// What the threads of a team do.
pub(super) trait Work: Sync {
    /// What the thread of this number does in a pass. Returns how many calls it made.
    fn pass(&self, thread: usize, pass: usize) -> usize;

    /// After the last pass, which all threads have ended: frees its share of what is still live.
    fn drain(&self, thread: usize);
}

/// A pass of all threads.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) took: Duration,
    /// Of all threads together.
    pub(super) calls: usize,
    /// How often a thread lost its processor.
    pub(super) interruptions: usize,
}

/// What the threads of a pass add to.
#[derive(Default)]
struct Sum {
    calls: AtomicUsize,
    interruptions: AtomicUsize,
}

impl Sum {
    fn add(&self, part: impl FnOnce() -> usize) {
        let before = kernel::interruptions();
        self.calls.fetch_add(part(), Relaxed);
        self.interruptions.fetch_add(kernel::interruptions() - before, Relaxed);
    }

    /// The pass that began then, and zero for the next one.
    fn take(&self, begin: Instant) -> Pass {
        let took = begin.elapsed();
        Pass { took, calls: self.calls.swap(0, Relaxed), interruptions: self.interruptions.swap(0, Relaxed) }
    }
}

/// How long a thread lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lives {
    /// Through all passes.
    Throughout,
    /// For one pass: its begin and its end are part of that.
    OnePass,
}

pub(super) struct Team {
    pub(super) count: usize,
    pub(super) lives: Lives,
    pub(super) work: Box<dyn Work>,
    threads: Threads,
}

impl Team {
    pub(super) fn new(entry: &Entry, count: usize, lives: Lives, work: Box<dyn Work>) -> Self {
        Self { count, lives, work, threads: entry.threads.expect("an entry that several threads may call") }
    }

    /// Does passes until `go_on`, which is told of each, answers false. Then everything is freed, and no thread is left.
    pub(super) fn run(&self, go_on: impl FnMut(Pass) -> bool + Send) {
        match self.lives {
            Lives::Throughout => self.run_throughout(go_on),
            Lives::OnePass => self.run_in_passes(go_on),
        }
    }

    fn run_throughout(&self, go_on: impl FnMut(Pass) -> bool + Send) {
        let (meet, sum, is_over) = (Meet::new(self.count), Sum::default(), AtomicBool::new(false));
        // The first thread takes it.
        let leads = Mutex::new(Some(go_on));
        self.each(|index| {
            let mut leads = if index == 0 { leads.lock().expect("taken once").take() } else { None };
            for pass in 0.. {
                meet.wait();
                if is_over.load(Relaxed) {
                    break;
                }
                let begin = Instant::now();
                sum.add(|| self.work.pass(index, pass));
                meet.wait();
                if let Some(go_on) = &mut leads {
                    is_over.store(!go_on(sum.take(begin)), Relaxed);
                }
            }
            self.work.drain(index);
        });
    }

    fn run_in_passes(&self, mut go_on: impl FnMut(Pass) -> bool) {
        for pass in 0.. {
            let (begin, sum) = (Instant::now(), Sum::default());
            self.each(|index| sum.add(|| self.work.pass(index, pass)));
            if !go_on(sum.take(begin)) {
                break;
            }
        }
        self.each(|index| self.work.drain(index));
    }

    /// Does `part` in a thread for each number, and waits until the last of them has ended.
    fn each(&self, part: impl Fn(usize) + Sync) {
        let whole = |index| {
            (self.threads.begin)();
            part(index);
            (self.threads.end)();
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.count).map(|index| scope.spawn(move || whole(index))).collect();
            // The scope's own end does not wait for what a thread does last, in which allocators give up its heap.
            threads.into_iter().for_each(|thread| thread.join().expect("a thread that ends well"));
        });
    }
}
