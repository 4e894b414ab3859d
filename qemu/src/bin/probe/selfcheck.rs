//! The production heap on the real break: its promises, checked on the machine that the probe runs on.

use crate::steps::{Failure, Random, ensure};
use core::alloc::Layout;
use core::fmt::Write;
use core::ptr::{self, NonNull};
use hmalloc::brk::{Brk, Linux};
use hmalloc::{Heap, MisuseKind, PAGE, ResizeError};
use hmalloc_runtime::{Errno, Output};
use syscalls::{Sysno, syscall};

type Step = fn(&mut Heap<Linux>) -> Result<(), Failure>;

const STEPS: [(&str, Step); 9] = [
    ("sizes", sizes),
    ("alignments", alignments),
    ("zeroed memory", zeroed),
    ("resizing", resizing),
    ("misuse", misuse),
    ("random work", random_work),
    ("foreign moves", foreign_moves),
    ("a break that is refused", refused),
    ("requests that nobody can meet", impossible),
];

pub(crate) fn run(output: &mut Output) -> Result<(), Failure> {
    // First, while nothing else has moved the break.
    trim(&mut Heap::new(Linux))?;
    say(output, "trimming");
    let mut heap = Heap::new(Linux);
    for (name, step) in STEPS {
        step(&mut heap)?;
        sound(&heap)?;
        ensure(heap.stats().live_blocks == 0, "a step left blocks behind", heap.stats().live_blocks)?;
        say(output, name);
    }
    if limit_honoured()? {
        say(output, "a data limit");
    } else {
        let _ = writeln!(output, "the data limit has no effect here");
    }
    Ok(())
}

fn say(output: &mut Output, name: &str) {
    let _ = writeln!(output, "{name}: kept");
    let _ = output.flush();
}

fn sound(heap: &Heap<Linux>) -> Result<(), Failure> {
    heap.check().or_else(|corruption| ensure(false, "the heap is corrupt: invariant", corruption.invariant.into()))
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap_or(Layout::new::<u8>())
}

fn allocate(heap: &mut Heap<Linux>, size: usize, align: usize) -> Result<NonNull<u8>, Failure> {
    heap.allocate(layout(size, align)).map_err(|_| Failure::new("there is no memory", size))
}

fn free(heap: &mut Heap<Linux>, payload: NonNull<u8>) -> Result<(), Failure> {
    // SAFETY: the steps use no block after they freed it.
    unsafe { heap.free(payload.as_ptr()) }.map_err(|_| Failure::new("a free was refused", payload.as_ptr().addr()))
}

/// Whether all `size` bytes at `payload` are `byte`.
fn holds(payload: NonNull<u8>, byte: u8, size: usize) -> bool {
    // SAFETY: the steps pass only blocks that they own and filled, at least that long.
    unsafe { core::slice::from_raw_parts(payload.as_ptr(), size) }.iter().all(|&found| found == byte)
}

fn fill(payload: NonNull<u8>, byte: u8, size: usize) {
    // SAFETY: the steps fill only blocks that they own, at least that long.
    unsafe { payload.write_bytes(byte, size) }
}

fn sizes(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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

fn alignments(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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

fn zeroed(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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

fn resizing(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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
fn misuse(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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

fn random_work(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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

/// Raises the break as foreign code would.
fn raise(heap: &mut Heap<Linux>, from: usize, to: usize) -> bool {
    // SAFETY: raising takes nothing away.
    unsafe { heap.brk_mut().move_break(from, to) }.is_ok()
}

/// Foreign code raises the break between two of the heap's calls, and keeps its bytes.
fn foreign_moves(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    for bytes in [1, 4096, 12_345, 3 * PAGE] {
        let below = allocate(heap, 2 * PAGE, 16)?;
        let from = heap.brk().query().unwrap_or(0);
        ensure(raise(heap, from, from + bytes), "the break does not move", from)?;
        let theirs = ptr::with_exposed_provenance_mut::<u8>(from);
        // SAFETY: the break was just raised over these bytes.
        unsafe { theirs.write_bytes(0x77, bytes) };
        // More than is free: the heap has to raise the break above the foreign bytes.
        let above = allocate(heap, heap.stats().free_bytes + 64 * PAGE, 16)?;
        fill(above, 0x11, 64 * PAGE);
        sound(heap)?;
        ensure(heap.stats().foreign_bytes >= bytes, "foreign memory was not noticed", heap.stats().foreign_bytes)?;
        free(heap, below)?;
        free(heap, above)?;
        heap.trim(0);
        let now = heap.brk().query().unwrap_or(0);
        ensure(now >= from + bytes, "a break was lowered that is not the heap's", now)?;
        // SAFETY: the break was not lowered below these bytes.
        let intact = unsafe { core::slice::from_raw_parts(theirs, bytes) }.iter().all(|&byte| byte == 0x77);
        ensure(intact, "someone else's bytes were damaged", from)?;
    }
    Ok(())
}

/// The largest request.
const HUGE: usize = isize::MAX as usize - 15;

/// Requests beyond all memory are refused. Two of them may fit into 32 bits of addresses, so as many as fit come first.
fn impossible(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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

const PROT_NONE: usize = 0;
const MAP_PRIVATE_ANONYMOUS: usize =
    2 | if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0x800 } else { 0x20 };

/// A multiple of every page size that Linux knows.
const GAP: usize = 64 << 10;

/// Puts an inaccessible mapping of `GAP` bytes at `address`, if nothing is there. Returns where it is.
fn map_near(address: usize) -> Result<usize, Errno> {
    #[cfg(target_pointer_width = "64")]
    const MMAP: Sysno = Sysno::mmap;
    #[cfg(target_pointer_width = "32")]
    const MMAP: Sysno = Sysno::mmap2;
    let arguments = [address, GAP, PROT_NONE, MAP_PRIVATE_ANONYMOUS, usize::MAX, 0];
    let [a, b, c, d, e, f] = arguments;
    if cfg!(target_arch = "s390x") {
        // SAFETY: without MAP_FIXED a mapping replaces nothing. On s390x the call takes a pointer to its arguments.
        unsafe { syscall!(MMAP, arguments.as_ptr()) }
    } else {
        // SAFETY: without MAP_FIXED a mapping replaces nothing.
        unsafe { syscall!(MMAP, a, b, c, d, e, f) }
    }
}

/// With a mapping above the break, raising it further is refused, and the heap goes on in mappings of its own.
fn refused(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    const EDGE: usize = 64 * PAGE;
    let now = heap.brk().query().unwrap_or(0);
    // Above all that was ever the heap's: an emulator may keep what was above the break when it was lowered.
    let wall = (now + heap.stats().peak_heap_bytes).next_multiple_of(GAP) + (1 << 20);
    let mapped = map_near(wall).unwrap_or(0);
    ensure(mapped == wall, "no mapping could be put above the break", mapped)?;
    ensure(!raise(heap, now, wall + GAP), "the break was raised over a mapping", wall)?;
    let size = heap.stats().free_bytes + (wall - now) + EDGE;
    let (one, two) = (allocate(heap, size, 16)?, allocate(heap, 100, 16)?);
    ensure(heap.stats().mapped_bytes > 0, "the heap did not say that it maps memory", 0)?;
    // SAFETY: less than the block's size.
    let last = unsafe { one.add(size - EDGE) };
    fill(one, 0x42, EDGE);
    fill(last, 0x43, EDGE);
    sound(heap)?;
    ensure(holds(one, 0x42, EDGE) && holds(last, 0x43, EDGE), "a block was damaged", size)?;
    free(heap, one)?;
    free(heap, two)?;
    heap.trim(0);
    // SAFETY: the mapping was made above, and nothing is in it.
    ensure(unsafe { syscall!(Sysno::munmap, wall, GAP) }.is_ok(), "the wall could not be removed", wall)
}

/// A fresh heap that is empty again returns all but its first page, which holds its headers.
fn trim(heap: &mut Heap<Linux>) -> Result<(), Failure> {
    const BLOCKS: usize = 40;
    let start = heap.brk().query().unwrap_or(0);
    let mut blocks = [None; BLOCKS];
    for (number, block) in blocks.iter_mut().enumerate() {
        *block = Some(allocate(heap, 1 + number * 97, 16)?);
    }
    for block in blocks.into_iter().flatten() {
        free(heap, block)?;
    }
    heap.trim(0);
    sound(heap)?;
    let left = heap.brk().query().unwrap_or(usize::MAX).wrapping_sub(start);
    // The first page may begin up to a page above where the break was at first.
    ensure(left <= 2 * PAGE, "an empty heap keeps the break up", left)
}

const RLIMIT_DATA: usize = 2;

/// Whether `RLIMIT_DATA` stops the break here: an emulator may accept the limit and do nothing. If it does stop, the
/// heap must go on in mappings, or answer that there is no memory, and keep its blocks.
fn limit_honoured() -> Result<bool, Failure> {
    let mut heap = Heap::new(Linux);
    let first = allocate(&mut heap, 100, 16)?;
    fill(first, 0x66, 100);
    let now = heap.brk().query().unwrap_or(0);
    // SAFETY: nothing uses the memory that the break was just raised over.
    let movable =
        raise(&mut heap, now, now + (1 << 20)) && unsafe { heap.brk_mut().move_break(now + (1 << 20), now) }.is_ok();
    ensure(movable, "the break does not move even without a limit", now)?;
    let limit = [1u64 << 16; 2];
    // SAFETY: the kernel reads two 64-bit numbers, and writes none.
    let set = unsafe { syscall!(Sysno::prlimit64, 0, RLIMIT_DATA, limit.as_ptr(), 0) };
    if set.is_err() || raise(&mut heap, now, now + (1 << 20)) {
        return Ok(false);
    }
    let before = heap.stats();
    let answer = heap.allocate(layout(1 << 20, 16));
    ensure(answer.is_err() || heap.stats().mapped_bytes > 0, "memory came from nowhere", 0)?;
    ensure(answer.is_ok() || heap.stats().live_bytes == before.live_bytes, "a refusal changed the heap", 0)?;
    ensure(holds(first, 0x66, 100), "a block was damaged", 0)?;
    heap.trim(0);
    sound(&heap)?;
    free(&mut heap, first)?;
    Ok(true)
}
