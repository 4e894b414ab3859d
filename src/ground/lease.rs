//! A lease: how one thread uses what is its own without an atomic read-modify-write, and how others make it stop.
//!
//! ```text
//! the owner                                        a revoker, who holds the central lock
//!   is `state` my thread? (else: not mine,           holder = 0
//!      or I am a signal handler of an operation)     a barrier in all threads (membarrier)
//!   state = busy                                     wait until `state` is not busy
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
//! | `leave`, `leave_as`: `state`, Release | `is_at_rest`, Acquire | the revoker misses the owner's last writes |
//! | `restore`: `holder`, Release | enter: `holder`, Acquire | the owner misses the revoker's writes |

use super::atomic::{Acquire, AtomicUsize, Relaxed, Release, SeqCst, compiler_fence};

/// A lease's state while an operation is under way. No thread pointer: they are even. And not made of one, so that it need not be
/// computed in each call.
const BUSY: usize = 1;
/// The state of a lease that was given to nobody: not 0, which is what a thread without a thread pointer reads.
const NOBODY: usize = 4;

/// The words of a lease. All zeros: at rest, and [given](Lease::give) to nobody yet.
pub(crate) struct Lease {
    /// `owner`, or [`BUSY`].
    state: AtomicUsize,
    /// The thread pointer of the owner, or 0 while the lease is revoked.
    holder: AtomicUsize,
    /// The thread pointer of the owner, or [`NOBODY`].
    owner: AtomicUsize,
}

impl Lease {
    #[allow(dead_code, reason = "the heap makes it of zeros, models do not")]
    pub(crate) fn new() -> Self {
        Self { state: AtomicUsize::new(0), holder: AtomicUsize::new(0), owner: AtomicUsize::new(0) }
    }

    /// Begins an operation of thread `holder`, the caller. Not if another one owns the lease, or an operation is under way,
    /// which a signal handler has interrupted then, and not while the lease is revoked.
    #[inline(always)]
    pub(crate) fn enter(&self, holder: usize) -> bool {
        if self.state.load(Relaxed) != holder {
            return false;
        }
        self.state.store(BUSY, Relaxed);
        compiler_fence(SeqCst);
        if self.holder.load(Acquire) != holder {
            self.state.store(holder, Release);
            return false;
        }
        true
    }

    /// Ends an operation of thread `holder`, which has [entered](Self::enter) as that. Only the owner writes to `state` while
    /// that is busy, so what it was at rest need not be read again: one plain store.
    #[inline(always)]
    pub(crate) fn leave_as(&self, holder: usize) {
        self.state.store(holder, Release);
    }

    /// [`leave_as`](Self::leave_as) where that costs more: a caller that has done much else in between would have kept `holder`
    /// in a register.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        self.state.store(self.owner.load(Relaxed), Release);
    }

    /// Begins an operation in the central part, whose lock the caller holds: so nobody can revoke the lease meanwhile. For
    /// the owner.
    pub(crate) fn enter_center(&self) {
        self.state.store(BUSY, Relaxed);
        compiler_fence(SeqCst);
    }

    /// Whether an operation is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.load(Acquire) == BUSY
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
        self.state.load(Acquire) != BUSY
    }

    /// Gives the lease, which is revoked and at rest, to another owner, or with 0 to nobody. The new owner may begin when it is
    /// [restored](Self::restore). The old one has ended, or will not look for it again: else it could be about to write to
    /// `state`.
    pub(crate) fn give(&self, owner: usize) {
        let owner = if owner == 0 { NOBODY } else { owner };
        self.owner.store(owner, Relaxed);
        self.state.store(owner, Relaxed);
    }

    /// Lets the owner go on.
    pub(crate) fn restore(&self, holder: usize) {
        self.holder.store(holder, Release);
    }

    /// Ends an operation whose thread is dead.
    pub(crate) fn reset(&self) {
        self.state.store(self.owner.load(Relaxed), Relaxed);
    }
}
