//! The shipped files, unchanged. What they take from `super::atomic` is the checker's.
#![allow(dead_code, reason = "a model uses what it needs of them")]

pub(crate) mod atomic;
#[path = "../../../src/ground/freed.rs"]
pub(crate) mod freed;
#[allow(unreachable_pub, reason = "it is public in the library")]
#[path = "../../../src/ground/header/page.rs"]
pub(crate) mod header;
#[path = "../../../src/ground/inbox.rs"]
pub(crate) mod inbox;
#[path = "../../../src/ground/lease.rs"]
pub(crate) mod lease;
#[path = "../../../src/ground/lookup.rs"]
pub(crate) mod lookup;
#[path = "../../../src/ground/pointer.rs"]
pub(crate) mod pointer;

use atomic::{AtomicFreed, AtomicU32};
use freed::Freed;
use inbox::{Inbox, Link};
use lease::Lease;

// The product has freed bits and links in zeroed memory, so there is no way to make one. And the checker is to know all
// atomics before there is a second thread, so each is used once.

/// Nothing is freed.
pub(crate) fn freed() -> Freed {
    // SAFETY: a transparent wrapper around this field.
    let freed: Freed = unsafe { core::mem::transmute(AtomicFreed::new(0)) };
    assert_eq!(freed.freed(), 0);
    freed
}

/// In no inbox.
pub(crate) fn link() -> Link {
    // SAFETY: a transparent wrapper around this field.
    let link: Link = unsafe { core::mem::transmute(AtomicU32::new(0)) };
    assert_eq!(link.take(), None);
    link
}

/// Empty.
pub(crate) fn inbox() -> Inbox {
    let inbox = Inbox::new();
    assert!(inbox.is_empty());
    inbox
}

/// At rest, and held by a thread.
pub(crate) fn lease(holder: usize) -> Lease {
    let lease = Lease::new();
    assert!(!lease.is_busy() && lease.is_revoked());
    lease.give(holder);
    lease.restore(holder);
    lease
}
