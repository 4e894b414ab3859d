//! A thread that does a step of the probe in the place of the main thread, which has no thread pointer.

use crate::clone::{self, Place};
use crate::pointer::Block;
use crate::steps::{Failure, ensure, wait_until};
use crate::threads::Stack;
use core::cell::Cell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};

/// A walk over the heap may take more stack than the other threads have.
const STACKS: usize = 4;

static BLOCK: Block = Block::new();
static mut STACK: [Stack; STACKS] = [const { Stack(MaybeUninit::uninit()) }; STACKS];

/// A step, and the number that it has found.
type Step = fn(usize) -> Result<usize, Failure>;

/// What the director is to do, and its answer.
struct Errand {
    step: Step,
    argument: usize,
    answer: Cell<Result<usize, Failure>>,
    is_done: AtomicBool,
}

extern "C" fn run_errand(errand: usize) -> ! {
    // SAFETY: `direct` waits for the end of the errand.
    let errand = unsafe { &*ptr::with_exposed_provenance::<Errand>(errand) };
    let entered = ensure(BLOCK.enter(), "the director has not its thread pointer", 0);
    errand.answer.set(entered.and_then(|()| (errand.step)(errand.argument)));
    errand.is_done.store(true, Release);
    clone::exit()
}

/// Has a thread with a pointer of its own do `step`, once in a process, and waits for it.
pub(crate) fn direct(step: Step, argument: usize) -> Result<usize, Failure> {
    let answer = Cell::new(Err(Failure::new("no answer", 0)));
    let errand = Errand { step, argument, answer, is_done: AtomicBool::new(false) };
    let top = (&raw mut STACK).cast::<Stack>().wrapping_add(STACKS).cast::<u8>();
    // SAFETY: the block and the stack are the director's, of which there is one.
    let started = unsafe {
        let place = Place { top, pointer: BLOCK.prepare() };
        clone::start(place, run_errand, (&raw const errand).expose_provenance())
    };
    ensure(started, "the director was not started", 0)?;
    wait_until(|| errand.is_done.load(Acquire));
    errand.answer.get()
}
