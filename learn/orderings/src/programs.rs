//! The small programs, and how they are run.

use crate::exercise::{free, take};
use crate::history;
use crate::word::{Live, NotLive, Word};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::thread::{self, JoinHandle};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A program and what it promises.
pub(crate) struct Program {
    pub(crate) title: &'static str,
    run: fn(),
}

pub(crate) const ALL: &[Program] = &[
    Program { title: "Two threads free one slot", run: two_frees },
    Program { title: "A second free comes late", run: late_free },
    Program { title: "Two threads write their blocks and free them", run: right_program },
    Program { title: "A block is handed on twice", run: in_turns },
];

/// An interleaving that breaks a promise.
pub(crate) struct Lost {
    pub(crate) what: String,
    pub(crate) drawn: String,
}

/// Runs a program in all interleavings within two preemptions.
pub(crate) fn run(program: &Program) -> Result<(), Lost> {
    let mut explorer = loom::model::Builder::new();
    explorer.preemption_bound = Some(2);
    let run = program.run;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        explorer.check(move || {
            history::begin();
            run();
        });
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        let race = "a block is used by two threads at once: one does not see what the other did before";
        let what = match text {
            text if text.contains("Causality") || text.contains("Concurrent") => race.to_owned(),
            text if text.contains("maximum number of branches") => {
                "a call does not come back: it looks at the word again and again".to_owned()
            }
            text => text,
        };
        Lost { what, drawn: history::drawn() }
    })
}

const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// A slab of two slots.
struct Slab {
    word: AtomicU64,
    live: Live,
    payload: [UnsafeCell<u32>; 2],
}

// SAFETY: its cells are the checker's, which finds out if two threads use one at once.
unsafe impl Sync for Slab {}
// SAFETY: as above.
unsafe impl Send for Slab {}

impl Slab {
    fn new(live: u32) -> Arc<Self> {
        let payload = [UnsafeCell::new(0), UnsafeCell::new(0)];
        Arc::new(Self { word: AtomicU64::new(0), live: Live(AtomicU32::new(live)), payload })
    }

    fn word(&self, thread: usize) -> Word<'_> {
        Word { word: &self.word, thread }
    }

    /// The owner takes what others have freed.
    fn take(&self) -> u32 {
        take(&self.word(0), |bits| self.live.clear(bits))
    }

    fn free(&self, thread: usize, bit: u32) -> Result<(), NotLive> {
        let freed = free(&self.word(thread), bit, || self.live.has(thread, bit));
        history::note(thread, if freed.is_ok() { format!("has freed {bit:02b}") } else { "is accused".into() });
        freed
    }

    fn write(&self, thread: usize, bit: u32) {
        history::note(thread, format!("writes to slot {bit:02b}"));
        // SAFETY: the checker finds out if it is not the only use.
        self.payload[bit.trailing_zeros() as usize].with_mut(|payload| unsafe { *payload = bit });
    }
}

/// A thread that frees a slot; it writes to it first if it is to.
fn other(slab: &Arc<Slab>, number: usize, bit: u32, writes: bool) -> JoinHandle<Result<(), NotLive>> {
    let slab = Arc::clone(slab);
    thread::spawn(move || {
        if writes {
            slab.write(number, bit);
        }
        slab.free(number, bit)
    })
}

fn accused(thread: JoinHandle<Result<(), NotLive>>) -> u32 {
    thread.join().map_or(1, |freed| freed.is_err().into())
}

fn two_frees() {
    let slab = Slab::new(FIRST);
    let both = [other(&slab, 1, FIRST, false), other(&slab, 2, FIRST, false)];
    let during = slab.take();
    let count: u32 = both.into_iter().map(accused).sum();
    assert!(count == 1, "of two frees {count} were accused");
    assert!(during | slab.take() == FIRST, "the slot is lost");
}

fn late_free() {
    let slab = Slab::new(FIRST);
    let both = [other(&slab, 1, FIRST, false), other(&slab, 2, FIRST, false)];
    let mut handed_out = 1;
    if slab.take() & FIRST != 0 {
        slab.live.hand_out(FIRST);
        handed_out += 1;
    }
    let count: u32 = both.into_iter().map(accused).sum();
    slab.take();
    let held = u32::from(slab.live.has(0, FIRST));
    assert!(
        handed_out == held + (2 - count),
        "{handed_out} blocks were handed out, {held} are held, and {count} of two frees accused"
    );
}

fn right_program() {
    let slab = Slab::new(FIRST | SECOND);
    let both = [other(&slab, 1, FIRST, true), other(&slab, 2, SECOND, true)];
    let during = use_all(&slab);
    let count: u32 = both.into_iter().map(accused).sum();
    assert!(count == 0, "a right program is accused");
    assert!(during ^ use_all(&slab) == FIRST | SECOND, "a slot is lost, or taken twice");
}

/// Takes, and writes to each block that was taken.
fn use_all(slab: &Arc<Slab>) -> u32 {
    let taken = slab.take();
    for bit in [FIRST, SECOND].into_iter().filter(|bit| taken & bit != 0) {
        slab.live.hand_out(bit);
        slab.write(0, bit);
    }
    taken
}

fn in_turns() {
    let slab = Slab::new(FIRST);
    let first = other(&slab, 1, FIRST, true);
    let mut count = 0;
    if slab.take() & FIRST != 0 {
        slab.live.hand_out(FIRST);
        slab.write(0, FIRST);
        count += accused(other(&slab, 2, FIRST, false));
    }
    count += accused(first);
    slab.take();
    assert!(count == 0, "a right program is accused");
}
