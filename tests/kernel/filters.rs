//! Filters that lie, refuse and kill. Zeroed memory is zero all the same, what a trim says is true, and no process dies
//! of a call that could be left out.

use super::ledger::layout;
use super::system::{allow_only, kill, refuse, resident};
use hmalloc::brk::{Brk, Linux};
use hmalloc::{Heap, Hmalloc};
use std::ptr::NonNull;
use std::time::Duration;
use support::calls::MIB;
use support::child::{Ended, observe, scenario};

const BLOCKS: usize = 48;

fn take<B: Brk>(heap: &mut Heap<B>, size: usize) -> Option<NonNull<u8>> {
    let block = heap.allocate(layout(size)).ok()?;
    // SAFETY: the block is this long.
    unsafe { block.write_bytes(0xEE, size) };
    Some(block)
}

/// Dirty blocks of a MiB with small ones between them, so that all of them are freed in place and not at the top.
fn take_many<B: Brk>(heap: &mut Heap<B>) -> Vec<(NonNull<u8>, NonNull<u8>)> {
    (0..BLOCKS).map_while(|_| Some((take(heap, MIB)?, take(heap, 60_000)?))).collect()
}

fn free<B: Brk>(heap: &mut Heap<B>, block: NonNull<u8>) {
    // SAFETY: nothing uses the block.
    assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
}

/// What is returned, used again and zeroed on a heap that has been used before `filter` was put in place.
fn use_behind<B: Brk>(heap: &mut Heap<B>, may_run_out: bool, filter: impl FnOnce()) {
    let blocks = take_many(heap);
    assert_eq!(blocks.len(), BLOCKS);
    filter();
    for round in 0..3 {
        let before = resident();
        if round == 0 {
            blocks.iter().for_each(|(large, _)| free(heap, *large));
        }
        let given = heap.trim(0);
        let fallen = before.saturating_sub(resident());
        // What the last step raised and was not touched was not resident.
        assert!(given <= fallen + 4 * MIB, "{given} bytes are said to be returned, {fallen} are");
        assert_eq!(heap.check(), Ok(()));
        let zeroed: Vec<_> = (0..BLOCKS).map_while(|_| heap.allocate_zeroed(layout(MIB)).ok()).collect();
        assert!(may_run_out || zeroed.len() == BLOCKS);
        for block in zeroed {
            // SAFETY: the heap knows these to be zero.
            let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), MIB) };
            assert!(bytes.iter().all(|&byte| byte == 0), "in round {round}");
            bytes.fill(0xEE);
            free(heap, block);
        }
        assert_eq!(heap.check(), Ok(()));
    }
    blocks.iter().for_each(|(_, small)| free(heap, *small));
    heap.trim(0);
    assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
}

/// Both sources, one after the other in processes of their own.
fn both<T>(test: &T, may_run_out: bool, filter: fn()) {
    for source in ["the program's break", "a break of its own"] {
        let ended = observe(test, source, &[], move |source| match source {
            "the program's break" => use_behind(&mut Heap::new(Linux), may_run_out, filter),
            _ => {
                // The source of a program with a libc, without the lock: `resident` allocates nothing.
                let heap = Hmalloc::new();
                heap.with(|heap| use_behind(heap, may_run_out, filter));
            }
        });
        assert!(ended.finished, "{source}: {ended:#?}");
    }
}

/// One test for each call and answer. 0 is a lie: nothing was done.
macro_rules! answers {
    ($($name:ident: $may_run_out:literal, $($calls:expr => $errno:expr),+;)*) => {
        $(#[test]
        fn $name() {
            both(&$name, $may_run_out, || {
                $(refuse($calls, $errno);)+
            });
        })*
    };
}

answers! {
    madvise_lies: false, [libc::SYS_madvise] => 0;
    madvise_is_not_permitted: false, [libc::SYS_madvise] => libc::EPERM;
    madvise_is_invalid: false, [libc::SYS_madvise] => libc::EINVAL;
    madvise_does_not_exist: false, [libc::SYS_madvise] => libc::ENOSYS;
    madvise_lies_where_no_filter_is_seen: false, [libc::SYS_madvise] => 0, [libc::SYS_prctl] => libc::EINVAL;
    prctl_lies: false, [libc::SYS_prctl] => 0;
    prctl_is_not_permitted: false, [libc::SYS_prctl] => libc::EPERM;
    prctl_does_not_exist: false, [libc::SYS_prctl] => libc::ENOSYS;
    mprotect_lies: false, [libc::SYS_mprotect] => 0;
    mprotect_is_not_permitted: false, [libc::SYS_mprotect] => libc::EPERM;
    mmap_lies: true, [libc::SYS_mmap] => 0;
    mmap_is_not_permitted: true, [libc::SYS_mmap] => libc::EPERM;
    mmap_finds_no_memory: true, [libc::SYS_mmap] => libc::ENOMEM;
    mmap_and_mprotect_are_not_permitted: true, [libc::SYS_mmap, libc::SYS_mprotect] => libc::EPERM;
    mmap_does_not_exist_and_mprotect_finds_no_memory: true,
        [libc::SYS_mmap] => libc::ENOSYS, [libc::SYS_mprotect] => libc::ENOMEM;
    munmap_lies: true, [libc::SYS_munmap] => 0;
    munmap_is_not_permitted: true, [libc::SYS_munmap] => libc::EPERM;
    the_break_lies: true, [libc::SYS_brk] => 0;
}

/// Pages that are locked in memory are not returned, and the trim says so.
#[test]
fn locked_memory() {
    // SAFETY: locks pages, and changes nothing in them.
    both(&locked_memory, false, || assert_eq!(unsafe { libc::mlockall(libc::MCL_CURRENT) }, 0));
}

/// What a heap in use needs of the kernel, without threads and without misuse.
const NEEDED: [libc::c_long; 5] =
    [libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_prctl];
/// What the scenario itself needs.
const ENDING: [libc::c_long; 5] =
    [libc::SYS_write, libc::SYS_exit_group, libc::SYS_openat, libc::SYS_read, libc::SYS_close];

#[test]
fn whatever_is_not_listed_kills() {
    both(&whatever_is_not_listed_kills, false, || allow_only(&[&NEEDED[..], &ENDING].concat()));
}

#[test]
fn madvise_kills() {
    both(&madvise_kills, false, || kill([libc::SYS_madvise]));
}

/// The control: the filter does kill.
#[test]
fn what_is_not_listed_does_kill() {
    let ended = observe(&what_is_not_listed_does_kill, "", &[], |_| {
        allow_only(&[&NEEDED[..], &ENDING].concat());
        // SAFETY: no effects.
        unsafe { libc::getppid() };
    });
    assert!(!ended.finished && ended.signal == Some(libc::SIGSYS), "{ended:#?}");
}

fn hold_behind<T>(test: &T, filter: fn()) -> Ended {
    observe(test, "", &[], move |_| {
        static HEAP: Hmalloc = Hmalloc::new();
        let take = || assert!(HEAP.allocate(layout(100)).is_ok());
        take();
        std::thread::scope(|scope| {
            HEAP.with(|_| {
                scope.spawn(|| {
                    filter();
                    take();
                });
                std::thread::sleep(Duration::from_millis(500));
            });
        });
        assert_eq!(HEAP.check(), Ok(()));
    })
}

/// A thread that waits long asks who else is there, but not where that could kill it.
#[test]
fn a_thread_that_waits_is_not_killed() {
    let ended = hold_behind(&a_thread_that_waits_is_not_killed, || kill([libc::SYS_unshare]));
    assert!(ended.finished, "{ended:#?}");
}

/// Many small blocks, freed in stripes: slabs, and whole pages in them.
#[test]
fn small_blocks_where_madvise_kills() {
    scenario(&small_blocks_where_madvise_kills, || {
        let mut heap = Heap::new(Linux);
        let mut blocks: Vec<_> = (0..400_000).map(|_| take(&mut heap, 256).expect("memory")).collect();
        kill([libc::SYS_madvise]);
        let full = resident();
        for stripe in (0..blocks.len()).step_by(8_000).rev().step_by(2) {
            blocks.drain(stripe..stripe + 8_000).for_each(|block| free(&mut heap, block));
        }
        // Most of it has been returned unasked.
        let given = heap.trim(0);
        assert!(given > 0 && full - resident() > 20 * MIB, "{given}");
        let shrunk = take(&mut heap, 8 * MIB).expect("memory");
        // SAFETY: the block is used here only.
        let shrunk = unsafe { heap.resize(shrunk.as_ptr(), layout(5000)) }.expect("a smaller one");
        free(&mut heap, shrunk);
        blocks.into_iter().for_each(|block| free(&mut heap, block));
        heap.trim(0);
        assert_eq!((heap.check(), heap.stats().live_blocks), (Ok(()), 0));
    });
}
