//! Signal handlers that fork, each in the middle of a call of its own thread, while another thread's handler waits for that
//! call, or forks, too: every wait ends, and each child has a heap.
//!
//! The calls that are interrupted: one that grows a heap, at one exact moment; and pairs of small blocks, in a loop that hardly
//! does anything else.

use super::signals::set_handler;
use crate::HEAP;
use crate::crowd::scenario;
use hmalloc::{Futex, Hmalloc};
use std::alloc::Layout;
use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use support::staged::{Act, Staged, grow};

static ACTS: [Act; 2] = [const { Act::new() }; 2];
static HEAPS: [Hmalloc<Futex, Staged>; 2] =
    [Hmalloc::with_source(Staged::new(&ACTS[0], true)), Hmalloc::with_source(Staged::new(&ACTS[1], true))];

/// How often each scenario meets.
const ROUNDS: usize = 20;
/// A child that hangs dies after so many seconds.
const PATIENCE: u32 = 60;

/// The thread that the signal is for, 0 while there is none.
static OTHER: AtomicUsize = AtomicUsize::new(0);
/// Handlers of the round that have begun, and that have ended.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);
static CHILDREN: AtomicUsize = AtomicUsize::new(0);
static IN_CHILD: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What this thread's handler does.
    static ACTION: Cell<fn()> = const { Cell::new(|| ()) };
    static NUMBER: Cell<usize> = const { Cell::new(0) };
    static GROWS: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn handle(_: i32) {
    BEGUN.fetch_add(1, SeqCst);
    ACTION.get()();
    ENDED.fetch_add(1, SeqCst);
}

fn fail_unless(right: bool) {
    FAILED.fetch_add(usize::from(!right), SeqCst);
}

/// Forks. The child goes on with what was interrupted; the parent waits for it.
pub(super) fn fork_here() -> bool {
    // SAFETY: nothing but calls that a handler may make; a status is written to a place of ours.
    unsafe {
        let process = libc::fork();
        if process == 0 {
            libc::alarm(PATIENCE);
            IN_CHILD.store(true, SeqCst);
            return true;
        }
        let mut status = -1;
        fail_unless(process > 0 && libc::waitpid(process, &raw mut status, 0) == process && status == 0);
    }
    CHILDREN.fetch_add(1, SeqCst);
    false
}

/// Whether this is a child of a handler's fork.
pub(super) fn is_child() -> bool {
    IN_CHILD.load(SeqCst)
}

/// Children of handlers' forks, and what went wrong.
pub(super) fn children() -> (usize, usize) {
    (CHILDREN.load(SeqCst), FAILED.load(SeqCst))
}

fn fork_in_handler() {
    fork_here();
}

/// Small and large blocks, freed and resized: all that may take the lock.
fn use_heap(heap: &Hmalloc<Futex, Staged>) {
    for size in [24, 3000, 100_000] {
        let layout = |size| Layout::from_size_align(size, 16).expect("a layout");
        let (Ok(block), Ok(zeroed)) = (heap.allocate(layout(size)), heap.allocate_zeroed(layout(size))) else {
            return fail_unless(false);
        };
        // SAFETY: the blocks are as long, and not used after they are freed.
        unsafe {
            fail_unless((0..size).all(|at| zeroed.add(at).read() == 0));
            block.write_bytes(size as u8, size);
            match heap.resize(block.as_ptr(), layout(size * 3)) {
                Ok(moved) => {
                    fail_unless((0..size).all(|at| moved.add(at).read() == size as u8));
                    fail_unless(heap.usable_size(moved.as_ptr()).is_ok_and(|bytes| bytes >= size * 3));
                    heap.free(moved.as_ptr(), |_| fail_unless(false));
                }
                Err(_) => fail_unless(false),
            }
            fail_unless(heap.free_sized(zeroed.as_ptr(), layout(size)).is_ok());
        }
    }
}

fn use_first_in_handler() {
    use_heap(&HEAPS[0]);
}

/// What a child does where its handler has returned to: `heap` is sound.
fn end_child(heap: &Hmalloc<Futex, Staged>) -> ! {
    use_heap(heap);
    assert_eq!((heap.check(), HEAP.check(), FAILED.load(SeqCst)), (Ok(()), Ok(()), 0));
    use_heap(heap);
    // SAFETY: ends the child.
    unsafe { libc::_exit(0) }
}

/// Allocates and frees a small block, in its own tier.
fn pair(heap: &Hmalloc<Futex, Staged>) {
    let block = heap.allocate(Layout::new::<[usize; 4]>()).expect("memory");
    // SAFETY: the block is this thread's.
    unsafe { heap.free(block.as_ptr(), |_| fail_unless(false)) };
}

/// The same again and again.
fn pairs(heap: &Hmalloc<Futex, Staged>, over: &AtomicBool) {
    while !over.load(SeqCst) {
        (0..100).for_each(|_| pair(heap));
        if is_child() {
            end_child(heap);
        }
    }
}

fn wait_for(count: &AtomicUsize, value: usize) {
    while count.load(SeqCst) < value {
        // SAFETY: no preconditions.
        unsafe { libc::sched_yield() };
    }
}

/// Sends the signal to the other thread, and waits until its handler runs; then a little, so that it comes to what it does.
fn interrupt_other() {
    let begun = BEGUN.load(SeqCst);
    // SAFETY: the thread lives until it is joined.
    fail_unless(unsafe { libc::pthread_kill(OTHER.load(SeqCst) as libc::pthread_t, libc::SIGUSR1) } == 0);
    wait_for(&BEGUN, begun + 1);
    // SAFETY: no preconditions.
    unsafe { libc::usleep(2000) };
}

/// Runs `round` a few times beside a thread that makes pairs of small blocks, and whose handler does `action`.
fn beside_pairs(action: fn(), round: impl Fn()) {
    set_handler(libc::SIGUSR1, handle, false);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            ACTION.set(action);
            // During a heap's first use signals wait, and here a handler waits for another thread's.
            pair(&HEAPS[0]);
            // SAFETY: no preconditions.
            OTHER.store(unsafe { libc::pthread_self() } as usize, SeqCst);
            pairs(&HEAPS[0], over);
        });
        wait_for(&OTHER, 1);
        for _ in 0..ROUNDS {
            BEGUN.store(0, SeqCst);
            ENDED.store(0, SeqCst);
            round();
            wait_for(&ENDED, BEGUN.load(SeqCst));
        }
        over.store(true, SeqCst);
    });
    assert_eq!((HEAPS[0].check(), HEAP.check()), (Ok(()), Ok(())));
    assert_eq!((HEAPS[0].stats().live_blocks, FAILED.load(SeqCst)), (0, 0));
}

/// Grows the heap, and interrupts this thread while it does.
fn interrupt_inside() {
    let block = grow_interrupted(0);
    if is_child() {
        end_child(&HEAPS[0]);
    }
    // SAFETY: not used.
    unsafe { HEAPS[0].free(block, |_| fail_unless(false)) };
    HEAPS[0].trim(0);
}

/// Grows a heap, and sends this thread the signal while it does.
fn grow_interrupted(heap: usize) -> *mut u8 {
    fn interrupt() {
        if GROWS.get() {
            // SAFETY: sends a signal to this thread.
            fail_unless(unsafe { libc::raise(libc::SIGUSR1) } == 0);
        } else {
            // The other thread has taken a slab.
            ACTS[NUMBER.get()].set(interrupt);
        }
    }
    ACTS[heap].set(interrupt);
    GROWS.set(true);
    let block = grow(&HEAPS[heap], &ACTS[heap]);
    GROWS.set(false);
    block
}

#[test]
fn one_forks_inside_while_another_waits_for_the_lock() {
    scenario(&one_forks_inside_while_another_waits_for_the_lock, || {
        beside_pairs(use_first_in_handler, || {
            ACTION.set(|| {
                interrupt_other();
                fork_here();
            });
            interrupt_inside();
        });
        assert_eq!(CHILDREN.load(SeqCst), ROUNDS);
    });
}

#[test]
fn one_forks_inside_while_another_forks_in_its_tier() {
    scenario(&one_forks_inside_while_another_forks_in_its_tier, || {
        beside_pairs(fork_in_handler, || {
            ACTION.set(|| {
                interrupt_other();
                fork_here();
            });
            interrupt_inside();
        });
        assert_eq!(CHILDREN.load(SeqCst), 2 * ROUNDS);
    });
}

/// Waits until the other's handler has begun as well, and forks.
fn fork_together() {
    wait_for(&BEGUN, 2);
    fork_here();
}

#[test]
fn two_fork_in_their_tiers() {
    scenario(&two_fork_in_their_tiers, || {
        let over = AtomicBool::new(false);
        let this = AtomicUsize::new(0);
        beside_pairs(fork_together, || {
            over.store(false, SeqCst);
            ACTION.set(fork_together);
            // SAFETY: no preconditions.
            this.store(unsafe { libc::pthread_self() } as usize, SeqCst);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for thread in [OTHER.load(SeqCst), this.load(SeqCst)] {
                        // SAFETY: both threads live.
                        fail_unless(unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) } == 0);
                    }
                    wait_for(&ENDED, 2);
                    over.store(true, SeqCst);
                });
                pairs(&HEAPS[0], &over);
            });
        });
        assert_eq!(CHILDREN.load(SeqCst), 2 * ROUNDS);
    });
}

/// The heap that this thread has not interrupted.
fn others_heap() -> &'static Hmalloc<Futex, Staged> {
    &HEAPS[1 - NUMBER.get()]
}

/// In a handler inside of one heap: uses the other one, in which another thread's handler is; then both fork.
fn use_others_and_fork() {
    wait_for(&BEGUN, 2);
    use_heap(others_heap());
    use_heap(&HEAPS[NUMBER.get()]);
    fork_here();
    use_heap(others_heap());
}

/// Each in a growing heap of its own. A child may have lost the lock of the other's heap, which serves it nevertheless.
#[test]
fn two_fork_inside_of_two_heaps() {
    scenario(&two_fork_inside_of_two_heaps, || {
        set_handler(libc::SIGUSR1, handle, false);
        for _ in 0..ROUNDS / 4 {
            BEGUN.store(0, SeqCst);
            std::thread::scope(|scope| {
                for (number, heap) in HEAPS.iter().enumerate() {
                    scope.spawn(move || {
                        NUMBER.set(number);
                        ACTION.set(use_others_and_fork);
                        let block = grow_interrupted(number);
                        if is_child() {
                            use_heap(others_heap());
                            end_child(heap);
                        }
                        // SAFETY: not used.
                        unsafe { heap.free(block, |_| fail_unless(false)) };
                        heap.trim(0);
                    });
                }
            });
        }
        assert_eq!((CHILDREN.load(SeqCst), FAILED.load(SeqCst)), (2 * (ROUNDS / 4), 0));
        HEAPS.iter().for_each(|heap| assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0)));
    });
}

/// More blocks at once, and more frees put off, than there is room for without a further mapping.
#[test]
fn a_handler_inside_takes_and_frees_many_blocks() {
    const MANY: usize = 5000;
    static BLOCKS: [AtomicUsize; MANY] = [const { AtomicUsize::new(0) }; MANY];
    fn in_handler() {
        let layout = Layout::from_size_align(100, 16).expect("a layout");
        // What the thread has allocated is put off: it is its own, in a heap that it has interrupted; large, so no slot.
        for place in &BLOCKS {
            let block = std::ptr::with_exposed_provenance_mut(place.load(SeqCst));
            // SAFETY: nobody else uses it.
            unsafe { HEAPS[0].free(block, |_| fail_unless(false)) };
            let block = HEAPS[0].allocate(layout);
            fail_unless(block.is_ok());
            place.store(block.map_or(0, |block| block.as_ptr().expose_provenance()), SeqCst);
        }
    }
    scenario(&a_handler_inside_takes_and_frees_many_blocks, || {
        set_handler(libc::SIGUSR1, handle, false);
        ACTION.set(in_handler);
        let layout = Layout::from_size_align(60_000, 16).expect("a layout");
        for place in &BLOCKS {
            let block = HEAPS[0].allocate(layout).expect("memory");
            place.store(block.as_ptr().expose_provenance(), SeqCst);
        }
        interrupt_inside();
        assert_eq!((HEAPS[0].check(), HEAPS[0].stats().live_blocks), (Ok(()), MANY));
        for place in &BLOCKS {
            let block = std::ptr::with_exposed_provenance_mut(place.load(SeqCst));
            // SAFETY: nobody else uses it.
            unsafe { HEAPS[0].free(block, |_| fail_unless(false)) };
        }
        assert_eq!((HEAPS[0].check(), HEAPS[0].stats().live_blocks), (Ok(()), 0));
        assert_eq!((BEGUN.load(SeqCst), FAILED.load(SeqCst)), (1, 0));
    });
}
