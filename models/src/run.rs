//! How a model runs: all interleavings of its threads within a bound on preemptions.

use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicU32, fence};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// How often a thread may be interrupted where it does not wait. Three, if it is not set.
pub(crate) const PREEMPTIONS: &str = "HMALLOC_MODELS_PREEMPTIONS";
/// How a violation's message begins. The checker's own begins with "Causality violation".
pub(crate) const VIOLATED: &str = "violated: ";

/// Asserts what the protocol promises.
macro_rules! promise {
    ($holds:expr, $($text:tt)+) => {
        assert!($holds, "{}{}", $crate::run::VIOLATED, format_args!($($text)+))
    };
}
pub(crate) use promise;

/// Runs a model in all interleavings.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut explorer = loom::model::Builder::new();
    explorer.preemption_bound = Some(std::env::var(PREEMPTIONS).map_or(3, |text| text.parse().expect("a number")));
    let explored = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&explored);
    explorer.check(move || {
        count.fetch_add(1, SeqCst);
        EVENTS.set(Some(Arc::new(AtomicU32::new(0))));
        model();
        EVENTS.set(None);
    });
    println!("{} interleavings", explored.load(SeqCst));
}

thread_local! {
    /// The threads of a model run on one thread of the system, so this is one for all of them.
    static EVENTS: RefCell<Option<Arc<AtomicU32>>> = const { RefCell::new(None) };
}

/// Makes what the caller does next an event whose order among all others matters.
///
/// The checker tries both orders of two events only if one of them writes what the other uses, and it compares each with the
/// last use alone; for a fence it tries none. So it leaves out interleavings that matter. All threads update this number
/// before each event: then it tries all that the bound admits. It orders nothing, being relaxed.
pub(crate) fn event() {
    let events = EVENTS.with_borrow(Clone::clone);
    events.expect("a model runs").fetch_add(1, Relaxed);
}

/// A sequentially consistent fence.
pub(crate) fn full_fence() {
    event();
    fence(SeqCst);
}
