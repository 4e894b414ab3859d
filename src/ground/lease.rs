//! A lease: how one thread uses what is its own without an atomic read-modify-write, and how others make it stop.
//!
//! ```text
//! the owner                                        a revoker, who holds the central lock
//!   is `state` my thread? (else: not mine,           holder = 0
//!      or I am a signal handler of an operation)     a barrier in all threads (membarrier)
//!   state = my thread, busy                          wait until `state` is not busy
//!   is `holder` my thread? (else: not busy, wait)    ... look, work, or give the tier to another thread ...
//!   ... work ...                                     holder = the owner, whoever that is now
//!   state = my thread
//! ```
//!
//! The owner's two stores and two loads are plain: the barrier that the revoker makes all threads pass stands between
//! its own store and load, and between the owner's, wherever the owner is. Either the owner sees that it is not the holder,
//! or the revoker sees that it is busy. So an owner can be stopped even if it has just found its tier in the table. But one
//! that finds it is not the holder takes back its mark, and so would take back another's: a lease gets another owner only when
//! nobody can be on the way to it (`threads/world/dead.rs`).
//!
//! One comparison says that the tier is the caller's and at rest, so whoever looks for its own need not be right: a wrong guess
//! writes nothing.
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | leave: `state`, Release | `is_at_rest`, Acquire | the revoker misses the owner's last writes |
//! | `restore`: `holder`, Release | enter: `holder`, Acquire | the owner misses the revoker's writes |

use super::atomic::{Acquire, AtomicUsize, Relaxed, Release, SeqCst, compiler_fence};

/// In a lease's state: an operation is under way. Thread pointers are even.
const BUSY: usize = 1;
/// The state of a lease that was given to nobody: not 0, which is what a thread without a thread pointer reads.
const NOBODY: usize = 4;

/// The two words of a lease. All zeros: at rest, and [given](Lease::give) to nobody yet.
pub(crate) struct Lease {
    /// The thread pointer of the owner, or [`NOBODY`]; and [`BUSY`].
    state: AtomicUsize,
    /// The thread pointer of the owner, or 0 while the lease is revoked.
    holder: AtomicUsize,
}

impl Lease {
    #[allow(dead_code, reason = "the heap makes it of zeros, models do not")]
    pub(crate) fn new() -> Self {
        Self { state: AtomicUsize::new(0), holder: AtomicUsize::new(0) }
    }

    /// Begins an operation of thread `holder`, the caller. Not if another one owns the lease, or an operation is under way,
    /// which a signal handler has interrupted then, and not while the lease is revoked.
    #[inline(always)]
    pub(crate) fn enter(&self, holder: usize) -> bool {
        if self.state.load(Relaxed) != holder {
            return false;
        }
        self.state.store(holder + BUSY, Relaxed);
        compiler_fence(SeqCst);
        if self.holder.load(Acquire) != holder {
            self.state.store(holder, Release);
            return false;
        }
        true
    }

    /// Ends an operation.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        self.state.store(self.state.load(Relaxed) & !BUSY, Release);
    }

    /// Begins an operation in the central part, whose lock the caller holds: so nobody can revoke the lease meanwhile. For
    /// the owner.
    pub(crate) fn enter_center(&self) {
        self.state.store(self.state.load(Relaxed) | BUSY, Relaxed);
        compiler_fence(SeqCst);
    }

    /// Whether an operation is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.load(Acquire) & BUSY != 0
    }

    /// Makes the owner stop before its next operation. The caller holds the central lock, and has all threads pass a
    /// barrier before it looks whether the owner [is at rest](Self::is_at_rest).
    pub(crate) fn revoke(&self) {
        self.holder.store(0, Relaxed);
    }

    /// Whether the lease is revoked, or has no owner.
    pub(crate) fn is_revoked(&self) -> bool {
        self.holder.load(Relaxed) == 0
    }

    /// Whether the owner of a revoked lease has ended its last operation.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.state.load(Acquire) & BUSY == 0
    }

    /// Gives the lease, which is revoked and at rest, to another owner, or with 0 to nobody. The new owner may begin when it is
    /// [restored](Self::restore). The old one has ended, or will not look for it again: else it could be about to write to
    /// `state`.
    pub(crate) fn give(&self, owner: usize) {
        self.state.store(if owner == 0 { NOBODY } else { owner }, Relaxed);
    }

    /// Lets the owner go on.
    pub(crate) fn restore(&self, holder: usize) {
        self.holder.store(holder, Release);
    }

    /// Ends an operation whose thread is dead.
    pub(crate) fn reset(&self) {
        self.state.store(self.state.load(Relaxed) & !BUSY, Relaxed);
    }
}
