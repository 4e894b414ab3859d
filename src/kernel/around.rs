//! What heaps whose threads work without the lock do around a fork: a hook for each lock in the table.

use crate::kernel::seat::Seat;
use crate::kernel::seats::{self, SEATS};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What a heap does. Each function gets the subject with which it was [registered](call_around).
pub(crate) struct Around {
    /// Stops the threads, while all locks are held. False if one cannot be stopped now: then the locks are left for a moment.
    pub(crate) stop: fn(*const ()) -> bool,
    /// Lets them go on, in the parent or in the child, where they are no more.
    pub(crate) go_on: fn(*const (), Side),
    /// Notes that what the caller has interrupted in its own thread does not go on before it has taken all locks; or with
    /// false, no longer does. That is noted while the locks are held.
    pub(crate) park: fn(*const (), bool),
    /// Whether the caller has interrupted its own thread in the middle of an operation.
    pub(crate) is_inside: fn(*const ()) -> bool,
}

/// On which side of a fork a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Parent,
    Child,
}

/// For each seat, what its heap does and with what.
static AROUND: [(AtomicPtr<Around>, AtomicPtr<()>); SEATS.len()] =
    [const { (AtomicPtr::new(core::ptr::null_mut()), AtomicPtr::new(core::ptr::null_mut())) }; SEATS.len()];

/// Has `around` called with `subject` around each fork, for the heap that has this seat. False if another heap that shares
/// the seat has that done already.
pub(crate) fn call_around(seat: &Seat, around: &'static Around, subject: *const ()) -> bool {
    let Some((hook, place)) = seats::number(seat).and_then(|at| AROUND.get(at)) else { return false };
    if !hook.load(Relaxed).is_null() {
        return false;
    }
    place.store(subject.cast_mut(), Relaxed);
    hook.store(core::ptr::from_ref(around).cast_mut(), Release);
    true
}

/// Ends what [`call_around`] began, for the heap of this subject.
pub(crate) fn end_around(seat: &Seat, subject: *const ()) {
    let hook = seats::number(seat).and_then(|at| AROUND.get(at));
    if let Some((hook, _)) = hook.filter(|(_, place)| core::ptr::eq(place.load(Relaxed), subject)) {
        hook.store(core::ptr::null_mut(), Relaxed);
    }
}

fn hooks() -> impl Iterator<Item = (&'static Around, *const ())> {
    // SAFETY: null, or a static.
    AROUND.iter().filter_map(|(hook, place)| unsafe {
        hook.load(Acquire).as_ref().map(|hook| (hook, place.load(Relaxed).cast_const()))
    })
}

/// Stops the threads of all heaps. False if one could not be stopped: then all go on.
pub(super) fn stop_all() -> bool {
    let stopped = hooks().take_while(|(hook, subject)| (hook.stop)(*subject)).count();
    let all = stopped == hooks().count();
    if !all {
        hooks().take(stopped).for_each(|(hook, subject)| (hook.go_on)(subject, Side::Parent));
    }
    all
}

/// Lets them go on.
pub(super) fn go_on(side: Side) {
    hooks().for_each(|(hook, subject)| (hook.go_on)(subject, side));
}

/// See [`Around::park`].
pub(super) fn park(parked: bool) {
    hooks().for_each(|(hook, subject)| (hook.park)(subject, parked));
}

/// Whether the caller's thread holds the lock of any heap, or the caller has interrupted it in the middle of another operation
/// of any: whoever wants all heaps at rest may have to wait until the caller is done. Not for a heap that the thread has lent
/// itself (`with`): what is done there is no signal handler's.
#[cold]
pub(crate) fn is_inside() -> bool {
    SEATS.iter().any(|seat| seat.is_held_by_caller() && !seat.is_lent())
        || hooks().any(|(hook, subject)| (hook.is_inside)(subject))
}
