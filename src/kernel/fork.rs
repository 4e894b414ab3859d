//! What happens to locks when the process forks.
//!
//! A thread that forks takes all locks first, so that the child gets heaps that no thread was in the middle of
//! changing. That is done by handlers that libc calls around its `fork`:
//!
//! ```text
//! before   take libc's list of streams, then every lock     (the order in which streams that allocate take them)
//! parent   leave every lock, then the list
//! child    leave every lock, then make the list anew
//! ```
//!
//! Where threads have tiers of their own, they are stopped between two operations while the locks are held.
//!
//! Between the first and the others, handlers of the program's own may allocate: the thread that forks is remembered,
//! and gets its turn without a lock. A lock that it holds already, because it forks in a signal handler that
//! interrupted a call, or inside of `with`, is left to it, in the child as well: that call goes on when the handler
//! returns.
//!
//! Two threads may want to fork while each is inside of a call that only its own handler's end will end. So whoever waits
//! here says so first:
//!
//! ```text
//! interrupted in its tier        parked: the call does not go on before its thread has had all locks. Another fork need
//!                                not wait for it. In that one's child the tier is put aside, as one of a killed thread
//! holds a lock                   stuck: another fork whose thread holds one, too, leaves this one out. In that one's child
//!                                the heap has lost its lock: blocks are mappings of their own there
//! ```
//!
//! `CLAIM` is the one lock that no fork leaves out, and is taken before any is left out. So whoever leaves one out knows
//! that its holder is still here and waits. It is waited for as the others are: while none is held.

use crate::kernel::around::{self, Side};
use crate::kernel::parts::LIBC;
use crate::kernel::seat::{self, Endless, FORK_PATIENCE, Seat};
use crate::kernel::seats::{self, SEATS};
use crate::kernel::{libc, tasks};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

static REGISTERED: AtomicBool = AtomicBool::new(false);
/// Held while a heap gets its seat, and by the thread that forks.
static CLAIM: Seat = Seat::new();

// Which thread forks. Written while `CLAIM` is held, `FORKER` last; another thread reads it only to find another one.
static FORKER: AtomicU32 = AtomicU32::new(0);
static FORKER_PROCESS: AtomicU32 = AtomicU32::new(0);
static FORKER_POINTER: AtomicUsize = AtomicUsize::new(0);
/// One bit for each seat: the forking thread has taken it for the fork. The vacant seat's bit stands for `CLAIM`. It is
/// not zero only while `FORKER` is not, so that a signal handler that interrupts these functions and forks finds either
/// the fork of another thread, or nothing that it could overwrite.
static TAKEN: AtomicU32 = AtomicU32::new(0);
/// How many signal handlers of the forking thread fork, too, between its own handlers here.
static NESTED: AtomicU32 = AtomicU32::new(0);
/// Rounds in which locks are only tried, before they are waited for while others are held.
const ROUNDS: u32 = 2;

const _: () = assert!(SEATS.len() <= 32, "a bit for each seat");

/// Registers the handlers, once. It happens with the first use of a heap, which is as early as possible: handlers run
/// before a fork in the opposite order, so what others do there is over when the locks are taken.
pub(crate) fn prepare() {
    CLAIM.open();
    if LIBC && !REGISTERED.swap(true, AcqRel) {
        seat::use_thread_pointers();
        libc::at_fork(before, parent, child);
    }
}

/// Does `claim` while no other heap gets a seat and no other thread forks.
pub(crate) fn while_none_forks<R>(claim: impl FnOnce() -> R) -> R {
    if is_forker() {
        return claim();
    }
    if let Err(endless) = CLAIM.take() {
        endless.die();
    }
    let result = claim();
    // SAFETY: taken above.
    unsafe { CLAIM.leave_and_wake() };
    result
}

/// Whether the caller is the thread that forks.
pub(crate) fn is_forker() -> bool {
    if !LIBC {
        return false;
    }
    let forker = FORKER.load(Acquire);
    // The child has another thread id, and one thread. Threads that share a thread pointer have different ids.
    forker != 0
        && FORKER_POINTER.load(Relaxed) == seat::this_thread()
        && (forker == tasks::thread_id() || FORKER_PROCESS.load(Relaxed) != tasks::process_id())
}

/// The thread id that the forking thread has, or had in the parent.
pub(crate) fn forker() -> u32 {
    FORKER.load(Relaxed)
}

/// Whether the caller is the thread that forks, and has taken this seat for that.
pub(crate) fn forks_with(seat: &Seat) -> bool {
    is_forker() && seats::number(seat).is_some_and(|at| TAKEN.load(Relaxed) & bit(at) != 0)
}

fn bit(index: usize) -> u32 {
    1 << index
}

/// Takes a lock that may be the caller's own already; then it stays that, and the answer is false.
pub(crate) fn take_for_fork(seat: &Seat) -> bool {
    wait_for(seat, false) == Wait::Taken
}

/// How the wait for a lock ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Taken,
    /// It is the caller's already.
    Own,
    /// It is left out.
    Stuck,
}

fn wait_for(seat: &Seat, may_leave_out: bool) -> Wait {
    match seat.take_within(FORK_PATIENCE, &|| may_leave_out && seat.is_stuck()) {
        Ok(()) => Wait::Taken,
        Err(Endless::Inside) => Wait::Stuck,
        Err(Endless::Alone | Endless::Lent | Endless::Interrupted) => Wait::Own,
    }
}

/// The lock of this number, of which the vacant seat's is `CLAIM`.
fn lock(at: usize) -> &'static Seat {
    if at == 0 { &CLAIM } else { &SEATS[at] }
}

/// Takes libc's list of streams, then `CLAIM` and every lock but those that the caller has already, and if it has any, those that
/// are stuck. Returns one bit for each.
///
/// `CLAIM` is the caller's if a signal handler forks that interrupted the first use of a heap. That goes on when it returns,
/// and keeps other threads from forking meanwhile.
///
/// A thread that holds one may wait for another (a heap used inside of another's `with`), so there is no long wait
/// while a lock is held: what was taken is left, the busy one is waited for, and the next round begins. Where many are busy
/// nearly all the time, they are never all free at once; then each is waited for, in every round a little longer.
fn take_all(has_any: bool) -> u32 {
    let (mut own, mut taken) = (0, 0);
    for round in 0_u32.. {
        libc::lock_streams();
        let open = |&at: &usize| !lock(at).is_vacant() && own & bit(at) == 0;
        let get = |at, taken: &mut u32| try_take(at, round.saturating_sub(ROUNDS), taken) || has_any && is_left_out(at);
        let Some(busy) = (0..SEATS.len()).filter(open).find(|&at| !get(at, &mut taken)) else { break };
        // SAFETY: taken in this round.
        unsafe { leave_all(core::mem::take(&mut taken)) };
        libc::unlock_streams();
        match wait_for(lock(busy), has_any) {
            // SAFETY: taken now. The list of streams is to be taken before it.
            Wait::Taken => unsafe { lock(busy).leave_and_wake() },
            Wait::Own => own |= bit(busy),
            Wait::Stuck => {}
        }
    }
    taken
}

/// Takes a lock that is free, or is left within so many sleeps.
fn try_take(at: usize, sleeps: u32, taken: &mut u32) -> bool {
    let got = lock(at).try_take_spinning() || sleeps > 0 && lock(at).take_briefly(sleeps);
    *taken |= if got { bit(at) } else { 0 };
    got
}

/// Whether a lock is left out, for a caller that has `CLAIM` and holds another lock in an interrupted call.
fn is_left_out(at: usize) -> bool {
    at != 0 && lock(at).is_stuck()
}

/// # Safety
///
/// The caller has taken the locks of these bits.
unsafe fn leave_all(taken: u32) {
    for at in (1..SEATS.len()).chain([0]).filter(|&at| taken & bit(at) != 0) {
        // SAFETY: the caller's promise.
        unsafe { lock(at).leave_and_wake() };
    }
}

extern "C" fn before() {
    if is_forker() {
        // A signal handler forks that interrupted the fork of its own thread, which holds everything.
        libc::lock_streams();
        NESTED.fetch_add(1, Relaxed);
        return;
    }
    around::park(true);
    let has_any = SEATS.iter().any(Seat::is_held_by_caller);
    let held = note_held();
    let taken = take_all_and_stop(has_any);
    held.for_each(|seat| seat.set_stuck(false));
    FORKER_POINTER.store(seat::this_thread(), Relaxed);
    FORKER_PROCESS.store(tasks::process_id(), Relaxed);
    FORKER.store(tasks::thread_id(), Release);
    TAKEN.store(taken, Release);
}

/// Notes that the locks which the caller's thread holds already are stuck until it has all others. Returns them, except for
/// those that a handler's fork of this thread has noted before.
fn note_held() -> impl Iterator<Item = &'static Seat> {
    let held = SEATS.iter().enumerate().filter(|(_, seat)| seat.is_held_by_caller() && !seat.is_stuck());
    let held = held.fold(0, |held, (at, seat)| {
        seat.set_stuck(true);
        held | bit(at)
    });
    SEATS.iter().enumerate().filter_map(move |(at, seat)| (held & bit(at) != 0).then_some(seat))
}

/// Takes all locks, with all threads at rest. What the caller has interrupted is parked until then.
fn take_all_and_stop(has_any: bool) -> u32 {
    loop {
        let taken = take_all(has_any);
        around::park(false);
        if around::stop_all() {
            return taken;
        }
        // A thread that does not stop may be waiting for any of these, in a signal handler that forks, too.
        around::park(true);
        // SAFETY: taken above.
        unsafe { leave_all(taken) };
        libc::unlock_streams();
        tasks::sleep(1);
    }
}

extern "C" fn parent() {
    after(Side::Parent);
    libc::unlock_streams();
}

extern "C" fn child() {
    // A thread that lent a heap out before the fork still does, under another id.
    SEATS.iter().for_each(Seat::renew_after_fork);
    after(Side::Child);
    libc::reset_streams();
}

fn after(side: Side) {
    if NESTED.load(Relaxed) > 0 {
        NESTED.fetch_sub(1, Relaxed);
        return;
    }
    around::go_on(side);
    let taken = TAKEN.swap(0, AcqRel);
    FORKER.store(0, Release);
    // SAFETY: `before` has taken them, in this thread or the one that it is a copy of.
    unsafe { leave_all(taken) };
}

// musl calls this around `fork`. It is weak there, as it is here: a program that calls `pthread_atfork` brings another
// one, which is used then. A static program has no other way to hear of a fork, for a weak reference to
// `pthread_atfork` brings nothing in. Elsewhere nothing calls it.
#[allow(unused_macros, reason = "not every target has a line for it below")]
macro_rules! fork_handler {
    ($jump:literal) => {
        core::arch::global_asm!(
            ".ifndef __fork_handler",
            ".pushsection .text.hmalloc_fork_handler,\"ax\",%progbits",
            ".weak __fork_handler",
            ".hidden __fork_handler",
            ".balign 16",
            "__fork_handler:",
            concat!($jump, " {handler}"),
            ".popsection",
            ".endif",
            handler = sym fork_handler,
        );
    };
}

// Not without the cargo feature `libc`: thread pointers do not tell threads apart then, so after a
// `Hmalloc::before_fork` this would wait for the caller's own lock, and in a program with threads for ever.
on_linux! {
    #[cfg(all(feature = "libc", any(target_arch = "x86_64", target_arch = "x86")))]
    fork_handler!("jmp");
    #[cfg(all(feature = "libc", any(target_arch = "aarch64", target_arch = "arm", target_arch = "loongarch64")))]
    fork_handler!("b");
    #[cfg(all(feature = "libc", any(target_arch = "riscv64", target_arch = "riscv32")))]
    fork_handler!("tail");
}

/// Before a fork with a negative number, after it with 0 in the parent and 1 in the child.
#[allow(dead_code, reason = "not every architecture has musl, and then nothing jumps here")]
extern "C" fn fork_handler(when: core::ffi::c_int) {
    match when {
        ..0 => {
            // A program may fork before any heap is used.
            prepare();
            before();
        }
        0 => parent(),
        _ => child(),
    }
}
