//! An owner's inbox: the slabs in which other threads have freed slots since the owner last looked.
//!
//! A stack of page numbers. Each page has a link, beside its slab's freed bits, which says whether it is in an inbox, and
//! which page is next. So putting one in allocates nothing, the stack is never full, and no page is in it twice: whoever
//! claims the link puts the page in. The owner empties the whole inbox at once, so no page is taken out while another is put
//! in beside it.
//!
//! A page that was put in late may belong to no slab by then, or to another owner's, who is notified instead, or to the heap's own tier, of whose
//! slots others free none that way.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | put: swap, Release | `take_all`, Acquire | the owner reads a next page that was not written yet |

use super::atomic::{Acquire, AtomicU32, Relaxed, Release};

/// The stack. Zero is empty.
pub(crate) struct Inbox(AtomicU32);

/// A page's link: 0 while it is in no inbox, 1 if none is next, else the next page and 2.
#[repr(transparent)]
pub(crate) struct Link(AtomicU32);

impl Link {
    /// Claims the link of a page that is in no inbox, to put it in one.
    pub(crate) fn claim(&self) -> bool {
        self.0.load(Relaxed) == 0 && self.0.compare_exchange(0, 1, Relaxed, Relaxed).is_ok()
    }

    /// The page after this one, in an inbox that was [emptied](Inbox::take_all) and to which this one is put back.
    pub(crate) fn next(&self) -> Option<u32> {
        self.0.load(Relaxed).checked_sub(2)
    }

    /// Takes the page out of an inbox that was [emptied](Inbox::take_all), and returns the next one. From now on it may be
    /// put in again; what was freed before that is to be looked for afterwards, see
    /// [`fence_after_update`](super::atomic::fence_after_update).
    pub(crate) fn take(&self) -> Option<u32> {
        self.0.swap(0, Relaxed).checked_sub(2)
    }
}

impl Inbox {
    #[allow(dead_code, reason = "the heap makes it of zeros, models do not")]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Whether nothing is in it. Another thread may put something in at any time.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    /// Puts a page in, whose link the caller has claimed.
    pub(crate) fn put(&self, page: u32, link: &Link) {
        let mut first = self.0.load(Relaxed);
        loop {
            link.0.store(first + 1, Relaxed);
            match self.0.compare_exchange_weak(first, page + 1, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Takes all pages out, and returns the first. Each one's link leads to the next.
    pub(crate) fn take_all(&self) -> Option<u32> {
        self.0.swap(0, Acquire).checked_sub(1)
    }
}
