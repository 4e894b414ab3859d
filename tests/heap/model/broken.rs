//! Heaps with one fault each. The oracle has to find every one of them, or else its silence means nothing.

use super::generate::cases;
use super::{config, fewest, run};
use crate::operations::Op;
use hmalloc::{BlockState, Misuse, MisuseKind, OutOfMemory, ResizeError};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use std::alloc::Layout;
use std::ptr::NonNull;
use support::hooked::HookedHeap;
use support::setup::Setup;
use support::subject::Subject;

/// What is wrong with a [`Broken`] heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    HandsOutTwice,
    StaleZeroed,
    IgnoresAlignment,
    KeepsFreed,
    AcceptsInterior,
    AcceptsTwice,
    SaysMisaligned,
    AcceptsAnyLayout,
    LosesTheLastByte,
    WritesPastTheEnd,
    ClaimsTooMuch,
    LosesOnFailure,
    UnderstatesTrim,
}

/// The production heap with one fault.
struct Broken<'a> {
    heap: HookedHeap<'a>,
    fault: Fault,
    last: Option<(NonNull<u8>, Layout)>,
}

impl<'a> Broken<'a> {
    fn new(heap: HookedHeap<'a>, fault: Fault) -> Self {
        Self { heap, fault, last: None }
    }
}

fn unaligned(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size(), 1).expect("a smaller alignment fits")
}

impl<'a> Subject<'a> for Broken<'a> {
    fn heap(&self) -> &HookedHeap<'a> {
        &self.heap
    }

    fn heap_mut(&mut self) -> &mut HookedHeap<'a> {
        &mut self.heap
    }

    fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        match (self.fault, self.last) {
            (Fault::HandsOutTwice, Some((payload, same))) if same == layout => return Ok(payload),
            (Fault::IgnoresAlignment, _) => return self.heap.allocate(unaligned(layout)),
            _ => {}
        }
        let answer = self.heap.allocate(layout);
        if self.fault == Fault::LosesOnFailure
            && let (Err(_), Some((payload, _))) = (&answer, self.last)
        {
            // SAFETY: freeing what the model still uses is the fault.
            let _ = unsafe { self.heap.free(payload.as_ptr()) };
        }
        self.last = answer.as_ref().ok().map(|payload| (*payload, layout)).or(self.last);
        answer
    }

    fn allocate_zeroed(&mut self, layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
        if self.fault == Fault::StaleZeroed { self.heap.allocate(layout) } else { self.heap.allocate_zeroed(layout) }
    }

    fn free(&mut self, payload: *mut u8) -> Result<(), Misuse> {
        if self.fault == Fault::KeepsFreed && self.heap.usable_size(payload).is_ok() {
            return Ok(());
        }
        // SAFETY: the model does not use the payload again.
        match (self.fault, unsafe { self.heap.free(payload) }) {
            (Fault::AcceptsInterior, Err(Misuse { kind: MisuseKind::NotABlock, .. }))
            | (Fault::AcceptsTwice, Err(Misuse { kind: MisuseKind::AlreadyFree, .. })) => Ok(()),
            (Fault::SaysMisaligned, Err(misuse)) => Err(Misuse { kind: MisuseKind::Misaligned, ..misuse }),
            (_, answer) => answer,
        }
    }

    fn free_sized(&mut self, payload: *mut u8, layout: Layout) -> Result<(), Misuse> {
        if self.fault == Fault::AcceptsAnyLayout {
            return self.free(payload);
        }
        // SAFETY: as above.
        unsafe { self.heap.free_sized(payload, layout) }
    }

    fn resize(&mut self, payload: *mut u8, new: Layout) -> Result<NonNull<u8>, ResizeError> {
        let old = self.heap.usable_size(payload).unwrap_or(0);
        // SAFETY: the model goes on with what comes back.
        let moved = unsafe { self.heap.resize(payload, new) }?;
        let kept = old.min(new.size());
        if self.fault == Fault::LosesTheLastByte && kept > 0 {
            // SAFETY: the byte is within the block that was just handed out.
            unsafe { *moved.as_ptr().add(kept - 1) ^= 0x5A };
        }
        if self.fault == Fault::WritesPastTheEnd
            && let Ok(usable) = self.heap.usable_size(moved.as_ptr())
            && let Some(neighbour) = self.heap.blocks().find(|block| block.address == moved.addr().get() + usable)
            && neighbour.state == BlockState::Used
        {
            // SAFETY: the byte is in the arena, in the neighbouring payload; spoiling it is the fault.
            unsafe { *moved.as_ptr().add(usable) ^= 0x5A };
        }
        Ok(moved)
    }

    fn usable_size(&self, payload: *const u8) -> Result<usize, Misuse> {
        let more = if self.fault == Fault::ClaimsTooMuch { 16 } else { 0 };
        self.heap.usable_size(payload).map(|size| size + more)
    }

    fn trim(&mut self, keep: usize) -> usize {
        let given = self.heap.trim(keep);
        if self.fault == Fault::UnderstatesTrim { given / 2 } else { given }
    }
}

/// The model finds `fault`, and says what it is in one of these words.
fn is_found(fault: Fault, words: &[&str]) {
    // The same cases every time: whether a fault is found, and how far it is shrunk, does not depend on luck then.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let verdict = |setup: &Setup, ops: &[Op]| {
        let mut memory = setup.memory();
        run(setup.world_of(&mut memory, |heap| Broken::new(heap, fault)), ops)
    };
    let found = TestRunner::new_with_rng(config(3000), random)
        .run(&cases(), |(setup, ops)| verdict(&setup, &ops).map_err(TestCaseError::fail));
    let Err(TestError::Fail(why, (setup, ops))) = found else {
        panic!("{fault:?} went unnoticed");
    };
    let ops = fewest(ops, |ops| verdict(&setup, ops).is_err());
    assert!(words.iter().any(|word| why.message().contains(word)), "{fault:?} was taken for {why}");
    assert!(ops.len() <= 12, "{fault:?} was shrunk to {} steps only: {setup:?} {ops:?}", ops.len());
}

#[test]
fn broken_allocation_is_found() {
    is_found(Fault::HandsOutTwice, &["overlaps"]);
    is_found(Fault::StaleZeroed, &["is not zero"]);
    is_found(Fault::IgnoresAlignment, &["is not aligned"]);
    is_found(Fault::ClaimsTooMuch, &["is not memory", "overlaps", "instead of payload", "is foreign"]);
    is_found(Fault::LosesOnFailure, &["out of memory for", "but changed"]);
}

#[test]
fn broken_free_is_found() {
    is_found(Fault::KeepsFreed, &["used but not live"]);
    is_found(Fault::AcceptsInterior, &["free: accepted"]);
    is_found(Fault::AcceptsTwice, &["free: accepted"]);
    is_found(Fault::SaysMisaligned, &["free: wrong kind"]);
    is_found(Fault::AcceptsAnyLayout, &["was answered with Ok", "free_sized: accepted"]);
}

#[test]
fn broken_resize_and_trim_are_found() {
    is_found(Fault::LosesTheLastByte, &["contents changed"]);
    is_found(Fault::WritesPastTheEnd, &["contents changed"]);
    is_found(Fault::UnderstatesTrim, &["trim returned"]);
}
