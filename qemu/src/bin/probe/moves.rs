//! The self-check's steps about the break: moved by foreign code, refused, limited, and lowered again.

use crate::blocks::{allocate, fill, free, holds, layout, sound};
use crate::steps::{Failure, ensure};
use core::ptr;
use hmalloc::brk::{Brk, Linux};
use hmalloc::{Heap, PAGE};
use hmalloc_runtime::Errno;
use syscalls::{Sysno, syscall};

/// Raises the break as foreign code would.
fn raise(heap: &mut Heap<Linux>, from: usize, to: usize) -> bool {
    // SAFETY: raising takes nothing away.
    unsafe { heap.brk_mut().move_break(from, to) }.is_ok()
}

/// Foreign code raises the break between two of the heap's calls, and keeps its bytes.
pub(crate) fn foreign_moves(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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
pub(crate) fn refused(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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
pub(crate) fn trim(heap: &mut Heap<Linux>) -> Result<(), Failure> {
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
pub(crate) fn limit_honoured() -> Result<bool, Failure> {
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
