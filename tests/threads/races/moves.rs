//! One thread frees a block while another one resizes it. Either the free comes first, and the resize is the mistake; or it
//! comes after a resize in place, and is right; or the block has moved away, and the free is the mistake.

use super::field::{Field, rounds};
use super::harness::{Act, Race, Round};
use super::owner::one_each;
use hmalloc::{Hmalloc, Policy, ResizeError};
use std::alloc::Layout;
use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use support::pattern::first_other_than;

static HEAP: Hmalloc = Hmalloc::with_policy(Policy::Report);

/// Sizes before, and for each some to become: in place, in other slots, in pages, and back.
const SIZES: [usize; 6] = [48, 200, 5000, 60_000, 100_000, 300_000];
const TO: [usize; 7] = [40, 190, 1000, 12_000, 58_000, 120_000, 310_000];

static NEW_SIZE: AtomicUsize = AtomicUsize::new(0);

fn free(round: &Round) {
    let block = round.block();
    // SAFETY: the mistake is what the heap has to notice; the block is not written to.
    unsafe { HEAP.free(block, |misuse| round.accuse(misuse, block)) };
}

const ANSWER: usize = 0;

fn resize(round: &Round) {
    let new = Layout::from_size_align(NEW_SIZE.load(Relaxed), 16).expect("a layout");
    // SAFETY: as above.
    match unsafe { HEAP.resize(round.block(), new) } {
        Ok(moved) => round.note(ANSWER, moved.as_ptr().expose_provenance()),
        Err(ResizeError::Misuse(misuse)) => round.accuse(&misuse, round.block()),
        Err(ResizeError::OutOfMemory) => panic!("no memory"),
    }
}

/// How the rounds of a race have ended.
#[derive(Debug, Default)]
struct Ends {
    freed_before: Cell<usize>,
    freed_in_place: Cell<usize>,
    moved_away: Cell<usize>,
    accused: Cell<usize>,
}

impl Ends {
    /// Judges round `number` of `rounds`. Returns the block that is left.
    fn judge(&self, number: usize, rounds: &[Round], kept: usize) -> Option<*mut u8> {
        let round = &rounds[number];
        let add = |counter: &Cell<usize>, count: usize| counter.set(counter.get() + count);
        let answer: *mut u8 = std::ptr::with_exposed_provenance_mut(round.noted(ANSWER));
        assert!(round.accused() <= 1, "round {number}: {round:?}");
        add(&self.accused, round.accused());
        if answer.is_null() {
            assert!(round.accused() == 1, "round {number}: {round:?}");
            add(&self.freed_before, 1);
            None
        } else if answer == round.block() {
            // The block of another round may have moved there since.
            let is_anothers = |other: &Round| other.block() != answer && other.noted(ANSWER) == answer.addr();
            let gone = HEAP.usable_size(answer).is_err() || rounds.iter().any(is_anothers);
            assert!(
                gone && round.accused() == 0,
                "the free of a block that was resized in place: round {number}: {round:?}"
            );
            add(&self.freed_in_place, 1);
            None
        } else {
            // SAFETY: the block is live, at least this long, and was written before it moved.
            let bytes = unsafe { std::slice::from_raw_parts(answer, kept) };
            assert_eq!(first_other_than(bytes, number as u8), None, "round {number}: {round:?}");
            add(&self.moved_away, 1);
            Some(answer)
        }
    }
}

fn race(others: &[Act<'_>], owner: Option<Act<'_>>, usual: usize) {
    let field = Field::new(&HEAP, &SIZES);
    let ends = Ends::default();
    let blocks = |batch: usize| {
        NEW_SIZE.store(TO[batch % TO.len()], Relaxed);
        field.blocks(batch)
    };
    let settle = |batch: usize, rounds: &[Round]| {
        let kept = field.size(batch).min(NEW_SIZE.load(Relaxed));
        let left = (0..rounds.len()).filter_map(|number| ends.judge(number, rounds, kept));
        let left: Vec<_> = left.collect();
        field.settle(left.len());
        left.into_iter().for_each(|block| crate::blocks::free(&HEAP, block));
        field.settle(0);
    };
    Race { others, owner }.run(rounds(usual), &blocks, &settle);
    field.end();
    HEAP.trim(0);
    assert_eq!(HEAP.check(), Ok(()));
    println!("{ends:?}");
    let [before, in_place, away] = [&ends.freed_before, &ends.freed_in_place, &ends.moved_away].map(Cell::get);
    assert!(before > 0 && in_place > 0 && away > 0, "each of them happens: {ends:?}");
    super::owner::say(ends.accused.get(), before + away);
}

#[test]
fn one_thread_frees_what_another_one_resizes() {
    one_each(&one_thread_frees_what_another_one_resizes, || race(&[&free, &resize], None, 50_000));
}

#[test]
fn a_thread_frees_its_own_block_which_another_one_resizes() {
    one_each(&a_thread_frees_its_own_block_which_another_one_resizes, || race(&[&resize], Some(&free), 50_000));
}

#[test]
fn a_thread_resizes_its_own_block_which_another_one_frees() {
    one_each(&a_thread_resizes_its_own_block_which_another_one_frees, || race(&[&free], Some(&resize), 50_000));
}
