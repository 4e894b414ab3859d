//! A lease: how one thread uses what is its own without an atomic read-modify-write, and how others make it stop.
//!
//! ```text
//! the owner                                        a revoker, who holds the central lock
//!   is `busy` 0? (else: a signal handler)            holder = 0
//!   busy = 1                                         a barrier in all threads (membarrier)
//!   is `holder` my thread? (else: busy = 0, wait)    wait until `busy` is 0
//!   ... work ...                                     ... look, work, or give the tier to another thread ...
//!   busy = 0                                         holder = the owner, whoever that is now
//! ```
//!
//! The owner's two stores and two loads are plain: the barrier that the revoker makes all threads pass stands between
//! its own store and load, and between the owner's, wherever the owner is. Either the owner sees that it is not the holder,
//! or the revoker sees `busy`. So an owner can be stopped even if it has just found its tier in the table. But one that
//! finds it is not the holder takes back its mark, and so would take back another's: a lease gets another owner only when
//! nobody can be on the way to it (`threads/world/dead.rs`).
//!
//! | ordering | its partner | what breaks without it |
//! |---|---|---|
//! | leave: `busy`, Release | `is_at_rest`, Acquire | the revoker misses the owner's last writes |
//! | `restore`: `holder`, Release | enter: `holder`, Acquire | the owner misses the revoker's writes |

use super::atomic::{Acquire, AtomicU32, AtomicUsize, Relaxed, Release, SeqCst, compiler_fence};

/// The two words of a lease. All zeros: at rest, and without an owner.
pub(crate) struct Lease {
    /// 1 while an operation is under way.
    busy: AtomicU32,
    /// The thread pointer of the owner, or 0 while the lease is revoked.
    holder: AtomicUsize,
}

impl Lease {
    #[allow(dead_code, reason = "the heap makes it of zeros, models do not")]
    pub(crate) fn new() -> Self {
        Self { busy: AtomicU32::new(0), holder: AtomicUsize::new(0) }
    }

    /// Begins an operation of thread `holder`. Not if one is under way, which a signal handler has interrupted then, and not
    /// while the lease is revoked, or another's. For the owner.
    #[inline(always)]
    pub(crate) fn enter(&self, holder: usize) -> bool {
        if self.busy.load(Relaxed) != 0 {
            return false;
        }
        self.busy.store(1, Relaxed);
        compiler_fence(SeqCst);
        if self.holder.load(Acquire) != holder {
            self.busy.store(0, Release);
            return false;
        }
        true
    }

    /// Ends an operation.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        self.busy.store(0, Release);
    }

    /// Begins an operation in the central part, whose lock the caller holds: so nobody can revoke the lease meanwhile. For
    /// the owner.
    pub(crate) fn enter_center(&self) {
        self.busy.store(1, Relaxed);
        compiler_fence(SeqCst);
    }

    /// Whether an operation is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Acquire) != 0
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
        self.busy.load(Acquire) == 0
    }

    /// Lets the owner go on, or a new one begin.
    pub(crate) fn restore(&self, holder: usize) {
        self.holder.store(holder, Release);
    }

    /// Ends an operation whose thread is dead.
    pub(crate) fn reset(&self) {
        self.busy.store(0, Relaxed);
    }
}
