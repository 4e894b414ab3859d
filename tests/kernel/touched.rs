//! How much memory the kernel has to provide for a heap.

use super::ledger::layout;
use super::system::{anonymous, page, resident};
use hmalloc::brk::{Brk, Linux, OwnBreak};
use hmalloc::{Heap, MisuseKind, PAGE, SpanKind};
use std::ptr::NonNull;
use support::calls::{KIB, MIB};
use support::child::scenario;

/// The kernel's pages, from the heap's first address to its last, that are resident.
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

fn take<B: Brk>(heap: &mut Heap<B>, size: usize) -> NonNull<u8> {
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
                // SAFETY: the block is not used.
                assert_eq!(unsafe { heap.free(payload.as_ptr()) }, Ok(()));
            }
            assert!(kept.iter().all(|payload| heap.usable_size(payload.as_ptr()).is_ok()));
        }
        let few = resident_pages(&heap);
        assert!((5..=8).contains(&few), "{few} pages are resident");
        // A buffer that comes and goes needs one page, for one that fits into it.
        for _ in 0..200 {
            let payload = take(&mut heap, 1000);
            // SAFETY: the block is not used.
            assert_eq!(unsafe { heap.free(payload.as_ptr()) }, Ok(()));
        }
        assert_eq!(resident_pages(&heap), few + 1, "one page for buffers");
        // The control: pages that are used are counted.
        for _ in 0..64 {
            take(&mut heap, 4096);
        }
        let many = resident_pages(&heap);
        assert!(many >= few + 61, "{many} pages are resident after {few}");
        assert_eq!(heap.check(), Ok(()));
    });
}

/// Slabs of many pages, in whose slots nothing is written: what is resident is metadata. Each has one record, and of the
/// other pages' records no kernel page is touched.
fn slabs_that_nobody_touches<B: Brk>(mut heap: Heap<B>, size: usize, bytes: usize, most: usize) {
    take(&mut heap, 100);
    let before = resident();
    for _ in 0..bytes / size {
        heap.allocate(layout(size)).expect("memory");
    }
    let touched = resident() - before;
    let (slabs, pages) = heap
        .spans()
        .filter(|span| matches!(span.kind, SpanKind::Slab { .. }))
        .fold((0, 0), |(slabs, pages), span| (slabs + 1, pages + span.bytes / PAGE));
    assert!(pages >= bytes / PAGE && slabs < pages / 3, "{slabs} slabs of {pages} pages");
    assert!(touched > slabs * 192 && touched < most, "{} KiB are resident for {slabs} slabs", touched / KIB);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn slabs_touch_little_more_metadata_than_their_records() {
    scenario(&slabs_touch_little_more_metadata_than_their_records, || {
        assert_eq!(page(), 4096, "the figures here are for pages of 4 KiB");
        // 8192 pages: handles of 64 KiB, records of 1536 KiB, of which a quarter is used.
        slabs_that_nobody_touches(Heap::new(Linux), 1024, 128 * MIB, 700 * KIB);
        slabs_that_nobody_touches(Heap::new(OwnBreak::new()), 1024, 128 * MIB, 700 * KIB);
        // An eighth of as much.
        slabs_that_nobody_touches(Heap::new(OwnBreak::new()), 16 * KIB, 128 * MIB, 500 * KIB);
    });
}

/// A block of so many bytes that is not touched: the kernel provides little memory for it and for its metadata.
fn untouched<B: Brk>(mut heap: Heap<B>, bytes: usize) {
    take(&mut heap, 100);
    let before = anonymous();
    let payload = heap.allocate(layout(bytes)).expect("addresses");
    let touched = anonymous() - before;
    assert!(touched < 200 * KIB, "{} KiB are resident for {} MiB", touched / KIB, bytes / MIB);
    // To explain wrong pointers into it, little of the metadata is read.
    for address in (0..64).map(|part| payload.addr().get() + bytes / 64 * part + PAGE) {
        let misuse = heap.usable_size(std::ptr::without_provenance(address)).expect_err("no block starts there");
        let found = misuse.found.expect("a block");
        assert_eq!((misuse.kind, found.address), (MisuseKind::NotABlock, payload.addr().get()));
    }
    let touched = anonymous() - before;
    assert!(touched < 800 * KIB, "{} KiB are resident after 64 questions", touched / KIB);
    // It grows where it is, by half.
    // SAFETY: the old address is the new one.
    let doubled = unsafe { heap.resize(payload.as_ptr(), layout(bytes + bytes / 2)) }.expect("addresses");
    assert_eq!(doubled, payload);
    // SAFETY: the block is not used.
    assert_eq!(unsafe { heap.free(doubled.as_ptr()) }, Ok(()));
    heap.trim(0);
    let left = anonymous().saturating_sub(before);
    assert!(left < 100 * KIB && heap.stats().aside_bytes == 0, "{} KiB are left", left / KIB);
}

#[test]
fn a_block_that_nobody_touches_costs_little() {
    scenario(&a_block_that_nobody_touches_costs_little, || {
        untouched(Heap::new(Linux), 512 * MIB);
        untouched(Heap::new(OwnBreak::new()), 1024 * MIB);
        untouched(Heap::new(OwnBreak::new()), 16 * 1024 * MIB);
    });
}
