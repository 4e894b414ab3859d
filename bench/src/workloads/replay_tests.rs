//! A round of a trace on an allocator that keeps a list of what is live and holds the caller to it.

use super::Replay;
use crate::allocators::ALL;
use crate::allocators::candidate::{Entry, WORD};
use crate::base::probe::FirstWord;
use crate::trace::event::Event;
use crate::trace::steps::{self, Kind, Step};
use crate::trace::tests::long_trace;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// By address: the size, and the alignment that was asked for.
    static LIVE: RefCell<HashMap<usize, (usize, usize)>> = RefCell::default();
    /// How often each kind of call was made.
    static CALLS: RefCell<HashMap<&'static str, usize>> = RefCell::default();
}

fn insert(call: &'static str, payload: *mut libc::c_void, size: usize, align: usize) -> *mut u8 {
    CALLS.with_borrow_mut(|calls| *calls.entry(call).or_default() += 1);
    assert!(payload.addr().is_multiple_of(align));
    assert!(size != 0 && LIVE.with_borrow_mut(|live| live.insert(payload.addr(), (size, align))).is_none());
    payload.cast()
}

fn remove(payload: *mut u8, size: usize, align: usize) -> *mut libc::c_void {
    assert_eq!(LIVE.with_borrow_mut(|live| live.remove(&payload.addr())), Some((size, align)));
    payload.cast()
}

/// The C library's functions, each caller checked.
static STRICT: Entry = Entry {
    name: "strict",
    // SAFETY: any size may be asked for, here and below.
    allocate: |size| insert("allocate", unsafe { libc::malloc(size) }, size, WORD),
    // SAFETY: as above.
    allocate_zeroed: |size| insert("zeroed", unsafe { libc::calloc(1, size) }, size, WORD),
    allocate_aligned: |size, align| {
        assert!(align > WORD);
        // SAFETY: as above, at a power of two.
        insert("aligned", unsafe { libc::aligned_alloc(align, size) }, size, align)
    },
    free: |payload, size| {
        CALLS.with_borrow_mut(|calls| *calls.entry("free").or_default() += 1);
        // SAFETY: the block was live until now.
        unsafe { libc::free(remove(payload, size, WORD)) }
    },
    free_aligned: |payload, size, align| {
        CALLS.with_borrow_mut(|calls| *calls.entry("free aligned").or_default() += 1);
        // SAFETY: the block was live until now.
        unsafe { libc::free(remove(payload, size, align)) }
    },
    // SAFETY: the block was live until now.
    resize: |payload, old, new| insert("resize", unsafe { libc::realloc(remove(payload, old, WORD), new) }, new, WORD),
    ..ALL[0]
};

#[test]
fn a_round_makes_all_calls_and_leaves_nothing() {
    // Blocks of some KiB at most: the strict allocator takes them for good.
    let mut events = long_trace(30_000, 11);
    for event in &mut events {
        if let Event::Allocate { size }
        | Event::Zeroed { size }
        | Event::Aligned { size, .. }
        | Event::Resize { size, .. } = event
        {
            *size %= 5000;
        }
        if let Event::Aligned { align, .. } = event {
            *align %= 13;
        }
    }
    let mut laid_out: Vec<Step> = Vec::new();
    let summary = steps::walk(&events, |step| laid_out.push(step)).expect("a trace that can have happened");
    let mut replay = Replay::of(&laid_out, summary.peak_blocks as usize);
    let of_kind = |kind| laid_out.iter().filter(|step| step.kind == kind).count();
    let moved = of_kind(Kind::ResizeAligned);
    assert!(moved > 0 && of_kind(Kind::Zeroed) > 0);
    for round in 1..=3 {
        assert_eq!(replay.round(&STRICT, &mut FirstWord) as u64, summary.steps);
        let calls = [
            ("allocate", of_kind(Kind::Allocate) + moved),
            ("zeroed", of_kind(Kind::Zeroed)),
            ("aligned", of_kind(Kind::Aligned)),
            ("free", of_kind(Kind::Free)),
            ("free aligned", of_kind(Kind::FreeAligned) + moved),
            ("resize", of_kind(Kind::Resize)),
        ];
        let expected = HashMap::from(calls.map(|(name, count)| (name, round * count)));
        CALLS.with_borrow(|calls| assert_eq!(*calls, expected));
        assert!(LIVE.with_borrow(HashMap::is_empty));
    }
}
