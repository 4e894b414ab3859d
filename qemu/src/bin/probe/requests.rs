//! The self-check's steps about requests: sizes, alignments, content, and wrong pointers.

use crate::blocks::{allocate, fill, free, holds, layout, sound};
use crate::steps::{Failure, Random, ensure};
use core::ptr::{self, NonNull};
use hmalloc::brk::Linux;
use hmalloc::{Heap, MisuseKind, PAGE, ResizeError};

pub(crate) fn sizes(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    for size in (0..600).chain((600..40_000).step_by(611)).chain([PAGE * 64 - 1, PAGE * 64, PAGE * 64 + 1, 5 << 20]) {
        let block = allocate(heap, size, 1)?;
        ensure(block.addr().get().is_multiple_of(16), "a payload is misaligned", size)?;
        let usable = heap.usable_size(block.as_ptr()).unwrap_or(0);
        ensure(usable >= size && usable > 0, "a block is too small", size)?;
        fill(block, size as u8, usable);
        let neighbour = allocate(heap, size, 1)?;
        fill(neighbour, !(size as u8), size);
        ensure(holds(block, size as u8, usable), "a block was damaged", size)?;
        free(heap, block)?;
        ensure(holds(neighbour, !(size as u8), size), "a neighbour was damaged", size)?;
        free(heap, neighbour)?;
    }
    Ok(())
}

pub(crate) fn alignments(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    for shift in 0..=20 {
        let align = 1 << shift;
        for size in [0, 1, 17, align / 2, align, align + 1, 3 * align] {
            let block = allocate(heap, size, align)?;
            ensure(block.addr().get().is_multiple_of(align), "a payload is misaligned", align)?;
            fill(block, 7, size);
            free(heap, block)?;
        }
        sound(heap)?;
    }
    Ok(())
}

pub(crate) fn zeroed(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    for size in [1, 16, 100, 1000, PAGE, PAGE + 1, 20 * PAGE, 100 * PAGE] {
        for _ in 0..3 {
            let block = heap.allocate_zeroed(layout(size, 8)).map_err(|_| Failure::new("there is no memory", size))?;
            ensure(holds(block, 0, size), "zeroed memory is not zero", size)?;
            fill(block, 0xa5, size);
            free(heap, block)?;
            // After this, some of the memory of the next block is fresh, and some is not.
            heap.trim(PAGE);
        }
    }
    Ok(())
}

pub(crate) fn resizing(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    let mut block = allocate(heap, 1, 16)?;
    let mut size = 1;
    fill(block, 0x3c, 1);
    for new in [2, 15, 16, 17, 100, 1000, 300, PAGE - 1, 3 * PAGE, 2 * PAGE, 90 * PAGE, 91 * PAGE, 5 * PAGE, 40, 3] {
        // SAFETY: the old address is not used any more.
        block = unsafe { heap.resize(block.as_ptr(), layout(new, 16)) }.map_err(|_| Failure::new("no resize", new))?;
        ensure(holds(block, 0x3c, size.min(new)), "a resize lost the content", new)?;
        fill(block, 0x3c, new);
        size = new;
        sound(heap)?;
    }
    free(heap, block)
}

/// Every kind of wrong pointer is recognized, and changes nothing.
pub(crate) fn misuse(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    let (small, large) = (allocate(heap, 48, 16)?, allocate(heap, 3 * PAGE, 16)?);
    let gone = allocate(heap, 48, 16)?;
    let here = 0u32;
    free(heap, gone)?;
    let metadata =
        heap.blocks().find(|block| block.state == hmalloc::BlockState::Metadata).map_or(0, |block| block.address);
    let wrong = [
        (ptr::null_mut(), MisuseKind::OutsideHeap),
        (ptr::without_provenance_mut(16), MisuseKind::OutsideHeap),
        (ptr::without_provenance_mut(usize::MAX & !15), MisuseKind::OutsideHeap),
        ((&raw const here).cast_mut().cast(), MisuseKind::OutsideHeap),
        (small.as_ptr().wrapping_add(1), MisuseKind::Misaligned),
        (small.as_ptr().wrapping_add(16), MisuseKind::NotABlock),
        (large.as_ptr().wrapping_add(PAGE), MisuseKind::NotABlock),
        (ptr::with_exposed_provenance_mut(metadata), MisuseKind::NotABlock),
        (gone.as_ptr(), MisuseKind::AlreadyFree),
    ];
    for (pointer, kind) in wrong {
        let before = heap.stats();
        // SAFETY: a free that is refused takes nothing away.
        let answer = unsafe { heap.free(pointer) }.map_err(|misuse| misuse.kind);
        ensure(answer == Err(kind), "a wrong pointer was not named as it should be", pointer.addr())?;
        ensure(heap.usable_size(pointer).is_err(), "a wrong pointer has a usable size", pointer.addr())?;
        ensure(heap.stats() == before, "a wrong pointer changed the heap", pointer.addr())?;
    }
    free(heap, small)?;
    free(heap, large)
}

pub(crate) fn random_work(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    const KEPT: usize = 200;
    let mut random = Random(0x2545_f491);
    let mut kept: [Option<(NonNull<u8>, usize)>; KEPT] = [None; KEPT];
    for round in 0..6000 {
        let place = random.below(KEPT);
        if let Some((block, size)) = kept[place].take() {
            ensure(holds(block, place as u8, size), "a block was damaged", size)?;
            free(heap, block)?;
        } else {
            let limit = [64, 1000, 5000, 200_000][random.below(4)];
            let size = random.below(limit);
            let block = allocate(heap, size, 1 << random.below(8))?;
            fill(block, place as u8, size);
            kept[place] = Some((block, size));
        }
        if round % 64 == 0 {
            sound(heap)?;
        }
    }
    for (place, (block, size)) in kept.into_iter().enumerate().filter_map(|(place, kept)| Some((place, kept?))) {
        ensure(holds(block, place as u8, size), "a block was damaged", size)?;
        free(heap, block)?;
    }
    Ok(())
}

/// The largest request.
const HUGE: usize = isize::MAX as usize - 15;

/// Requests beyond all memory are refused. Two of them may fit into 32 bits of addresses, so as many as fit come first.
pub(crate) fn impossible(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    let mut taken = [None; 4];
    for block in &mut taken {
        *block = heap.allocate(layout(HUGE, 16)).ok();
    }
    ensure(taken.iter().any(Option::is_none), "more than all memory was handed out", 0)?;
    let block = allocate(heap, 100, 16)?;
    fill(block, 0x3c, 100);
    let before = heap.stats();
    for align in [1, 16, 1 << 20] {
        let layout = layout(HUGE - align, align);
        ensure(heap.allocate(layout).is_err(), "more than all memory was handed out", align)?;
        ensure(heap.allocate_zeroed(layout).is_err(), "more than all memory was handed out", align)?;
        // SAFETY: a failed resize leaves the block as it is.
        let answer = unsafe { heap.resize(block.as_ptr(), layout) };
        ensure(answer == Err(ResizeError::OutOfMemory), "a resize beyond all memory was not refused", align)?;
        sound(heap)?;
    }
    let after = heap.stats();
    let same = (before.live_blocks, before.heap_bytes) == (after.live_blocks, after.heap_bytes);
    ensure(same, "a refused request changed the heap", after.heap_bytes)?;
    ensure(holds(block, 0x3c, 100), "a refused request changed a block", 0)?;
    for block in taken.into_iter().flatten().chain([block]) {
        free(heap, block)?;
    }
    heap.trim(0);
    Ok(())
}
