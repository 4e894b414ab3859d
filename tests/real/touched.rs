//! How much memory a small heap makes the kernel back.

use super::kernel::page;
use super::ledger::layout;
use crate::common::child::scenario;
use hmalloc::Heap;
use hmalloc::brk::Linux;
use std::ptr::NonNull;

/// Pages of the kernel's, from the heap's first address to its last, that physical memory stands behind.
fn resident_pages(heap: &Heap<Linux>) -> usize {
    let (first, last) = heap
        .spans()
        .fold((usize::MAX, 0), |(first, last), span| (first.min(span.address), last.max(span.address + span.bytes)));
    let first = first & !(page() - 1);
    let mut resident = [0_u8; 4096];
    let pages = (last - first).div_ceil(page());
    assert!(pages <= resident.len() && heap.stats().mapped_bytes == 0, "a small heap, and all below the break");
    // SAFETY: the kernel writes one byte for each page of the range, which is mapped.
    let answer = unsafe { libc::mincore(first as *mut libc::c_void, last - first, resident.as_mut_ptr()) };
    assert_eq!(answer, 0, "mincore answers for the heap");
    resident[..pages].iter().filter(|&&byte| byte & 1 == 1).count()
}

fn take(heap: &mut Heap<Linux>, size: usize) -> NonNull<u8> {
    let payload = heap.allocate(layout(size)).expect("memory");
    // SAFETY: the block is this long.
    unsafe { payload.write_bytes(7, size) };
    payload
}

/// Small blocks of four doublings, five of each alive, many more that came and went.
#[test]
fn a_small_heap_touches_few_pages() {
    scenario(&a_small_heap_touches_few_pages, || {
        assert_eq!(page(), 4096, "the figures here are for pages of 4 KiB");
        let mut heap = Heap::new(Linux);
        for size in [50, 64, 100, 128, 200, 256, 400, 512] {
            let kept = [take(&mut heap, size), take(&mut heap, size)];
            for _ in 0..20 {
                let payload = take(&mut heap, size);
                // SAFETY: nobody uses the block.
                assert_eq!(unsafe { heap.free(payload.as_ptr()) }, Ok(()));
            }
            assert!(kept.iter().all(|payload| heap.usable_size(payload.as_ptr()).is_ok()));
        }
        let few = resident_pages(&heap);
        assert!((5..=8).contains(&few), "{few} pages are resident");
        // What is used is seen.
        for _ in 0..64 {
            take(&mut heap, 4096);
        }
        let many = resident_pages(&heap);
        assert!(many >= few + 60, "{many} pages are resident after {few}");
        assert_eq!(heap.check(), Ok(()));
    });
}
