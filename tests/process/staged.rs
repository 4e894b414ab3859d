//! A heap that lets a scenario act at one exact moment: while a thread is inside it, growing it. Its threads take turns.

use hmalloc::{Futex, Hmalloc};
use support::staged::{self, Act, Staged};

pub(crate) static STAGED: Hmalloc<Futex, Staged> = Hmalloc::with_source(Staged::new(&ACT, false));
static ACT: Act = Act::new();

/// Has `act` called inside the heap, when it grows the next time.
pub(crate) fn when_it_grows(act: fn()) {
    ACT.set(act);
}

/// Takes a block that is larger than whatever is free, so that the heap grows.
pub(crate) fn grow() {
    staged::grow(&STAGED, &ACT);
}
