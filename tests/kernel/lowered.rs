//! Something else lowers the kernel's break below where it found it.

use super::ledger::layout;
use super::system::{current_break, move_break};
use hmalloc::brk::Linux;
use hmalloc::{Heap, Policy};
use std::ptr::NonNull;
use support::calls::{KIB, MIB};
use support::child::{Ended, observe, scenario};

/// A full heap: its last block ends where the break stands, but for what is free in the last step.
fn full(heap: &mut Heap<Linux>) -> Vec<NonNull<u8>> {
    let mut blocks = Vec::with_capacity(64);
    let before = current_break();
    while blocks.len() < 8 || current_break() - before < 2 * MIB {
        blocks.push(heap.allocate(layout(200 * KIB)).expect("memory"));
    }
    // What is left of the last step.
    let top = heap.blocks().last().expect("blocks").size;
    if top >= 32 * KIB {
        blocks.push(heap.allocate(layout(top - 16 * KIB)).expect("memory"));
    }
    blocks
}

/// Ways in which a heap notices.
const FOUND: [&str; 3] = ["growth", "zeroed growth", "trim"];

fn find(heap: &mut Heap<Linux>, way: &str) {
    match way {
        "growth" => drop(heap.allocate(layout(4 * MIB)).expect("memory").as_ptr()),
        "zeroed growth" => {
            let block = heap.allocate_zeroed(layout(4 * MIB)).expect("memory");
            // SAFETY: the heap knows these to be zero.
            let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 4 * MIB) };
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
        _ => _ = heap.trim(0),
    }
}

/// Lowers the break into blocks and has the heap notice in this way, with this policy.
fn lowered_below_blocks<T>(test: &T, policy: Policy, way: &'static str) -> Ended {
    observe(test, way, &[], move |way| {
        let mut heap = Heap::with_policy(Linux, policy);
        let blocks = full(&mut heap);
        move_break(-(500 * KIB as isize));
        println!("{:#x}", current_break());
        if way == "trim" {
            // Something at the end has to be free for a trim to be about the break.
            // SAFETY: the block is not used.
            assert_eq!(unsafe { heap.free(blocks[blocks.len() - 1].as_ptr()) }, Ok(()));
        }
        // A check finds it, and changes nothing.
        assert_eq!(heap.check().map_err(|corruption| corruption.invariant), Err(16));
        find(&mut heap, way);
        assert_eq!(heap.check(), Ok(()));
        // All addresses are the heap's again, and writable.
        for block in &blocks[..blocks.len() - 1] {
            // SAFETY: the block is this long.
            unsafe { block.write_bytes(1, 200 * KIB) };
            // SAFETY: and not used any more.
            assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
        }
        assert_eq!(heap.check(), Ok(()));
    })
}

/// A line, so many times, that names the break and where the blocks end.
#[track_caller]
fn assert_line(ended: &Ended, times: usize) {
    let line = ended.stderr.lines().next().expect("a line");
    assert_eq!(ended.stderr, format!("{line}\n").repeat(times));
    let words = line.strip_prefix("hmalloc: the break was lowered to ").expect("the line");
    let (lowered, end) = words.split_once(", below blocks in use that end at ").expect("both addresses");
    let number =
        |text: &str| usize::from_str_radix(text.strip_prefix("0x").expect("an address"), 16).expect("a number");
    assert!(ended.stdout.contains(lowered), "{ended:#?}");
    assert!(number(lowered) < number(end) && number(end) - number(lowered) <= 600 * KIB, "{line}");
}

#[test]
fn below_blocks_ends_the_process_with_a_line() {
    for way in FOUND {
        let ended = lowered_below_blocks(&below_blocks_ends_the_process_with_a_line, Policy::Abort, way);
        assert!(!ended.finished && ended.signal == Some(libc::SIGABRT), "{way}: {ended:#?}");
        assert_line(&ended, 1);
    }
}

#[test]
fn below_blocks_is_reported_and_the_heap_goes_on() {
    for way in FOUND {
        let ended = lowered_below_blocks(&below_blocks_is_reported_and_the_heap_goes_on, Policy::Report, way);
        assert!(ended.finished, "{way}: {ended:#?}");
        assert_line(&ended, 1);
    }
}

#[test]
fn below_blocks_is_ignored_and_the_heap_goes_on() {
    for way in FOUND {
        let ended = lowered_below_blocks(&below_blocks_is_ignored_and_the_heap_goes_on, Policy::Ignore, way);
        assert!(ended.finished && ended.stderr.is_empty(), "{way}: {ended:#?}");
    }
}

/// Without its headers a heap knows nothing of what it holds, whatever the policy.
#[test]
fn below_headers_ends_the_process_with_a_line() {
    const LINE: &str = ": the heap ends above the break\n";
    for policy in [Policy::Abort, Policy::Report, Policy::Ignore] {
        let ended = observe(&below_headers_ends_the_process_with_a_line, &format!("{policy:?}"), &[], |argument| {
            let policies = [Policy::Abort, Policy::Report, Policy::Ignore];
            let policy = policies.into_iter().find(|policy| format!("{policy:?}") == argument).expect("a policy");
            let mut heap = Heap::with_policy(Linux, policy);
            // The second leaf is the last that lies among the blocks.
            (0..9).for_each(|_| _ = heap.allocate(layout(200 * KIB)).expect("memory"));
            move_break(-(MIB as isize) - 512 * KIB as isize);
            heap.trim(0);
        });
        assert!(!ended.finished && ended.signal == Some(libc::SIGABRT), "{policy:?}: {ended:#?}");
        let lines = ended.stderr.lines().count();
        match policy {
            Policy::Abort => assert!(ended.stderr.contains("below blocks in use") && lines == 1, "{ended:#?}"),
            Policy::Report => assert!(ended.stderr.ends_with(LINE) && lines == 2, "{ended:#?}"),
            Policy::Ignore => assert!(ended.stderr.ends_with(LINE) && lines == 1, "{ended:#?}"),
        }
    }
}

#[test]
fn into_the_free_top_is_conceded() {
    scenario(&into_the_free_top_is_conceded, || {
        for way in FOUND {
            let mut heap = Heap::new(Linux);
            let blocks = full(&mut heap);
            for block in &blocks[4..] {
                // SAFETY: the block is not used.
                assert_eq!(unsafe { heap.free(block.as_ptr()) }, Ok(()));
            }
            // The heap may have returned some by itself.
            heap.allocate(layout(600 * KIB))
                .map(|block| {
                    // SAFETY: as above.
                    unsafe { heap.free(block.as_ptr()) }
                })
                .expect("memory")
                .expect("a block");
            let lowered = current_break() - 96 * KIB;
            move_break(-(96 * KIB as isize));
            match way {
                "trim" => assert!(heap.trim(0) > 0 && current_break() < lowered),
                _ => find(&mut heap, way),
            }
            for block in &blocks[..4] {
                // SAFETY: the block is this long.
                unsafe { block.write_bytes(1, 200 * KIB) };
            }
            assert_eq!(heap.check(), Ok(()));
        }
    });
}
