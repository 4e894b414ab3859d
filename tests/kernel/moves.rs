//! Large blocks that have to move: their memory goes with them, and what was never written stays untouched.

use super::ledger::layout;
use super::system::{address_space, limit_address_space, peak_resident, refuse, resident};
use hmalloc::brk::{Brk, Linux, OwnBreak};
use hmalloc::{Heap, PAGE};
use std::ptr::NonNull;
use support::calls::MIB;
use support::child::observe;

/// What is in the way of moving memory.
fn hinder(how: &str) {
    match how {
        "mremap" => refuse([libc::SYS_mremap], libc::ENOSYS),
        "everything" => refuse([libc::SYS_mremap, libc::SYS_madvise, libc::SYS_prctl], libc::EPERM),
        _ => {}
    }
}

/// Where a word stands in each of some pages of a sparse block.
const STRIDE: usize = 8 * MIB + 40;

fn words(payload: NonNull<u8>, length: usize) -> impl Iterator<Item = (usize, *mut usize)> {
    // SAFETY: the places are in the block.
    (0..length - 8).step_by(STRIDE).map(move |at| (at, unsafe { payload.as_ptr().add(at).cast() }))
}

/// A buffer that doubles to 512 MiB, of which a word in 8 MiB is written, each time with a neighbour behind it.
fn doubles<B: Brk>(mut heap: Heap<B>, how: &str) {
    heap.allocate(layout(100)).expect("memory");
    hinder(how);
    let before = resident();
    let (mut length, mut moves) = (MIB, 0);
    let mut buffer = heap.allocate(layout(length)).expect("memory");
    while length < 512 * MIB {
        for (at, word) in words(buffer, length) {
            // SAFETY: the word is the block's.
            unsafe { word.write(at + 1) };
        }
        // Longer than what the buffer has left behind, so it comes last.
        heap.allocate(layout(length + PAGE)).expect("memory");
        // SAFETY: the block is used only where the answer says it is.
        let grown = unsafe { heap.resize(buffer.as_ptr(), layout(2 * length)) }.expect("memory");
        moves += usize::from(grown != buffer);
        for (at, word) in words(grown, length) {
            // SAFETY: as above.
            assert_eq!(unsafe { word.read() }, at + 1);
        }
        (buffer, length) = (grown, 2 * length);
    }
    assert!(moves >= 5, "{moves} moves are no test");
    let taken = resident().saturating_sub(before);
    assert!(taken < 8 * MIB, "{} MiB are resident for 64 words, hindered by {how}", taken / MIB);
    // What is left behind is zero where zeros are asked for, and memory like any other.
    let zeroed = heap.allocate_zeroed(layout(200 * MIB)).expect("memory");
    for (_, word) in words(zeroed, 200 * MIB) {
        // SAFETY: as above.
        assert_eq!(unsafe { word.replace(9) }, 0);
    }
    assert_eq!(heap.check(), Ok(()));
    // SAFETY: neither of the two is used any more.
    assert_eq!(unsafe { (heap.free(zeroed.as_ptr()), heap.free(buffer.as_ptr())) }, (Ok(()), Ok(())));
    heap.trim(0);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_sparse_buffer_stays_sparse_wherever_it_moves() {
    for how in ["program break", "own break", "mremap", "everything"] {
        let ended = observe(&a_sparse_buffer_stays_sparse_wherever_it_moves, how, &[], |how| match how {
            "program break" => doubles(Heap::new(Linux), how),
            _ => doubles(Heap::new(OwnBreak::new()), how),
        });
        assert!(ended.finished, "{how}: {ended:#?}");
    }
}

/// A full buffer that moves is in memory once at any time, not twice.
#[test]
fn a_full_buffer_is_not_resident_twice() {
    let ended = observe(&a_full_buffer_is_not_resident_twice, "", &[], |_| {
        let mut heap = Heap::new(OwnBreak::new());
        let buffer = heap.allocate(layout(200 * MIB)).expect("memory");
        // SAFETY: the block is this long.
        unsafe { buffer.write_bytes(5, 200 * MIB) };
        heap.allocate(layout(3 * PAGE)).expect("memory");
        let before = resident();
        assert!(peak_resident() < before + 8 * MIB);
        // SAFETY: the block is used only where the answer says it is.
        let grown = unsafe { heap.resize(buffer.as_ptr(), layout(300 * MIB)) }.expect("memory");
        // SAFETY: so much of it was written.
        let content = unsafe { std::slice::from_raw_parts(grown.as_ptr(), 200 * MIB) };
        assert!(grown != buffer && content.iter().all(|&byte| byte == 5));
        let more = peak_resident().saturating_sub(before);
        assert!(more < 8 * MIB, "{} MiB more were resident", more / MIB);
        assert_eq!(heap.check(), Ok(()));
    });
    assert!(ended.finished, "{ended:#?}");
}

/// Without addresses for a second time as much, the block is where it was and as it was.
#[test]
fn a_move_beyond_the_limit_changes_nothing() {
    let ended = observe(&a_move_beyond_the_limit_changes_nothing, "", &[], |_| {
        let mut heap = Heap::new(OwnBreak::new());
        let buffer = heap.allocate(layout(64 * MIB)).expect("memory");
        // SAFETY: the block is this long.
        unsafe { buffer.write_bytes(5, 64 * MIB) };
        heap.allocate(layout(3 * PAGE)).expect("memory");
        limit_address_space(Some(address_space() + 80 * MIB));
        for (size, fits) in [(100 * MIB, false), (70 * MIB, true)] {
            // SAFETY: the block is used only where the answer says it is.
            let answer = unsafe { heap.resize(buffer.as_ptr(), layout(size)) };
            assert_eq!(answer.is_ok(), fits, "{size}");
            // SAFETY: so much of it was written.
            let content = unsafe { std::slice::from_raw_parts(answer.unwrap_or(buffer).as_ptr(), 64 * MIB) };
            assert!(content.iter().all(|&byte| byte == 5));
        }
        assert_eq!(heap.check(), Ok(()));
    });
    assert!(ended.finished, "{ended:#?}");
}
