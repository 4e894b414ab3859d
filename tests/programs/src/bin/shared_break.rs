//! Heaps over the process's one program break. The program's own data is elsewhere.
//!
//!     shared_break storm THREADS ROUNDS | moves THREADS ROUNDS | interleaved | elsewhere

use company::{Holding, KIB, MIB, Random, finish, number, word};
use hmalloc::Heap;
use hmalloc::brk::{Brk, Linux, Refused};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Barrier};
use std::thread;

fn main() {
    match word(1).as_str() {
        "storm" => storm(number(2), number(3)),
        "moves" => moves(number(2), number(3)),
        "interleaved" => interleaved(),
        "elsewhere" => elsewhere(),
        other => panic!("no such program: {other}"),
    }
    finish();
}

/// Each thread has a heap of its own that grows and shrinks.
fn storm(threads: usize, rounds: usize) {
    let start = Arc::new(Barrier::new(threads));
    let threads: Vec<_> = (1..=threads)
        .map(|id| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                one_of_many(id as u8, rounds)
            })
        })
        .collect();
    let fenced: usize = threads.into_iter().map(|thread| thread.join().expect("a heap's thread")).sum();
    println!("{fenced} bytes were fenced");
    assert!(fenced > 0, "the heaps never met");
}

/// Returns how much of others' the heap has seen between its own.
fn one_of_many(id: u8, rounds: usize) -> usize {
    let (mut heap, mut random, mut holding, mut fenced) =
        (Heap::new(Linux), Random::new(id.into()), Holding::default(), 0);
    for _ in 0..rounds {
        for _ in 0..20 {
            holding.take(&mut heap, 1 + random.below(600 * KIB), id).expect("memory");
        }
        fenced += heap.stats().foreign_bytes;
        holding.free(&mut heap, id);
        heap.trim(0);
        assert_eq!(heap.check(), Ok(()));
    }
    fenced
}

/// The bare moves, as fast as can be: no two threads may have raised the break over the same bytes.
fn moves(threads: usize, rounds: usize) {
    let start = Arc::new(Barrier::new(threads));
    let threads: Vec<_> = (0..threads)
        .map(|seed| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                raise_and_lower(seed, rounds)
            })
        })
        .collect();
    let ended = threads.into_iter().map(|thread| thread.join().expect("a thread ends"));
    let (mut taken, mut outrun) = (Vec::new(), 0);
    for (ranges, refused) in ended {
        taken.extend(ranges);
        outrun += refused;
    }
    taken.sort_unstable();
    println!("{} raises that stand, {outrun} refused", taken.len());
    assert!(outrun > 0, "the threads never met");
    let twice = taken.windows(2).find(|pair| pair[0].1 > pair[1].0);
    assert!(twice.is_none(), "two have got {twice:#x?}");
    assert!(taken.last().is_none_or(|&(_, end)| Linux.query().is_ok_and(|now| now >= end)), "somebody lowered too far");
}

/// What this thread has raised the break over and could not return, and how often another one was faster.
fn raise_and_lower(seed: usize, rounds: usize) -> (Vec<(usize, usize)>, usize) {
    let (mut linux, mut random, mut taken, mut refused) = (Linux, Random::new(seed), Vec::new(), 0);
    for _ in 0..rounds {
        let from = linux.query().expect("a break");
        let to = from + 1 + random.below(10_000);
        // SAFETY: raising takes nothing away.
        if unsafe { linux.move_break(from, to) }.is_err() {
            refused += 1;
        // SAFETY: these bytes are this thread's, which uses them no more.
        } else if random.below(2) == 0 || unsafe { linux.move_break(to, from) }.is_err() {
            taken.push((from, to));
        }
    }
    (taken, refused)
}

/// The program break, where another heap takes a block between a look at it and its move.
struct Interrupted<'a> {
    other: &'a RefCell<(Heap<Linux>, Holding)>,
    /// How many looks are still followed by the other heap's move.
    armed: &'a Cell<usize>,
}

// SAFETY: it is the program break. What the other heap does there is what others may do at any time.
unsafe impl Brk for Interrupted<'_> {
    fn query(&self) -> Result<usize, Refused> {
        let answer = Linux.query();
        if let Some(left) = self.armed.get().checked_sub(1) {
            self.armed.set(left);
            let (heap, holding) = &mut *self.other.borrow_mut();
            holding.take(heap, 4 * MIB, 7).expect("memory");
        }
        answer
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { Linux.move_break(from, to) }
    }

    fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
        Linux.map(bytes)
    }

    unsafe fn unmap(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { Linux.unmap(start, bytes) }
    }

    unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        unsafe { Linux.discard(start, bytes) }
    }

    fn page_size(&self) -> usize {
        Linux.page_size()
    }
}

/// The worst moment, many times: while one heap raises, and while it lowers.
fn interleaved() {
    let (other, armed) = (RefCell::new((Heap::new(Linux), Holding::default())), Cell::new(0));
    let mut heap = Heap::new(Interrupted { other: &other, armed: &armed });
    let mut holding = Holding::default();
    for round in 0..64 {
        armed.set(1 + round % 3);
        holding.take(&mut heap, 300 * KIB + round * KIB, 9).expect("memory");
        if round % 8 == 7 {
            holding.free(&mut heap, 9);
            armed.set(1);
            heap.trim(0);
        }
        armed.set(0);
        assert_eq!((heap.check(), other.borrow().0.check()), (Ok(()), Ok(())));
    }
    let met = other.borrow().1.len();
    assert!(met >= 32, "the other heap came between {met} times");
    holding.free(&mut heap, 9);
    let (theirs, blocks) = &mut *other.borrow_mut();
    blocks.free(theirs, 7);
    assert_eq!((heap.check(), theirs.check()), (Ok(()), Ok(())));
}

/// A move from where the break is not is refused, up and down, and changes nothing.
fn elsewhere() {
    let mut linux = Linux;
    let now = linux.query().expect("a break");
    // SAFETY: raising takes nothing away.
    unsafe { linux.move_break(now, now + MIB) }.expect("the break is where it is said to be");
    for from in [now, now + MIB - 1, now + MIB + 1, 0, usize::MAX] {
        for to in [now, now + 2 * MIB, now + MIB + 4096] {
            // SAFETY: what is above `now` is not used.
            assert_eq!(unsafe { linux.move_break(from, to) }, Err(Refused), "from {from:#x} to {to:#x}");
            assert_eq!(linux.query(), Ok(now + MIB));
        }
    }
    // SAFETY: as above.
    assert_eq!(unsafe { linux.move_break(now + MIB, now) }, Ok(()));
    assert_eq!(linux.query(), Ok(now));
}
