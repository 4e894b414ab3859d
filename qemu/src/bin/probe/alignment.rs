//! Access to the words of payloads, aligned and misaligned.

use crate::access::{Access, BYTES};
use crate::steps::{Failure, ensure};
use core::alloc::Layout;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ptr;
use hmalloc::brk::{Brk, Linux};
use hmalloc::stages::s1_minimal::Minimal;
use hmalloc::stages::s2_aligned::Aligned;
use hmalloc::stages::s3_linked::Linked;
use hmalloc::stages::s4_splitting::Splitting;
use hmalloc::stages::s5_coalescing::Coalescing;
use hmalloc::{Heap, OutOfMemory};
use hmalloc_runtime::Output;

const WORD: usize = size_of::<usize>();

/// Writes a line first, so that it is there if the process dies, and accesses one misaligned word.
fn access_misaligned(access: Access, place: *mut usize, output: &mut Output) -> Result<(), Failure> {
    let off = place.addr() % WORD;
    ensure(off != 0, "the word is aligned: there is nothing to see", place.addr())?;
    let _ = writeln!(output, "a word {off} bytes behind a multiple of {WORD}");
    let _ = output.flush();
    // SAFETY: the callers own that many bytes there.
    ensure(unsafe { access.perform(place) }, "the access did not do what it should", place.addr())
}

/// The positive control: a misaligned word on the stack.
pub(crate) fn control(access: Access, output: &mut Output) -> Result<(), Failure> {
    let mut words = [MaybeUninit::<u64>::uninit(); 2];
    access_misaligned(access, words.as_mut_ptr().wrapping_byte_add(1).cast(), output)
}

/// Stage 1 puts each payload where the one before it ends, plus a header.
pub(crate) fn minimal(access: Access, output: &mut Output) -> Result<(), Failure> {
    align_break()?;
    let mut heap = Minimal::new(Linux);
    // SAFETY: nothing else moves the break in this process.
    let (first, second) = unsafe { (heap.hmalloc(1), heap.hmalloc(BYTES)) };
    ensure(!first.is_null() && !second.is_null(), "stage 1 has no memory", 0)?;
    access_misaligned(access, second.cast(), output)
}

/// Raises the break to a multiple of 16, which the kernel does not guarantee: then only stage 1 misaligns its payloads.
fn align_break() -> Result<(), Failure> {
    let mut brk = Linux;
    let now = brk.query().unwrap_or(0);
    // SAFETY: raising takes nothing away.
    let moved = unsafe { brk.move_break(now, now.next_multiple_of(16)) };
    ensure(moved.is_ok(), "the break does not move", now)
}

/// Allocates blocks of many sizes from `allocate`, and accesses their first word in every way.
fn payloads(
    name: &str,
    output: &mut Output,
    mut allocate: impl FnMut(usize) -> *mut u8,
    mut free: impl FnMut(*mut u8),
) -> Result<(), Failure> {
    const KEPT: usize = 16;
    let mut kept = [ptr::null_mut(); KEPT];
    let mut count = 0;
    for size in (BYTES..80).chain((100..5000).step_by(257)) {
        let payload = allocate(size);
        ensure(!payload.is_null(), "there is no memory for a block", size)?;
        ensure(payload.addr().is_multiple_of(align_of::<u64>()), "a payload is misaligned", payload.addr())?;
        for access in Access::ALL {
            // SAFETY: the block is at least that long.
            ensure(unsafe { access.perform(payload.cast()) }, "an access did not do what it should", payload.addr())?;
        }
        // Some are freed in between, so that blocks are also reused and split.
        let old = core::mem::replace(&mut kept[size % KEPT], payload);
        if !old.is_null() {
            free(old);
        }
        count += 1;
    }
    kept.into_iter().filter(|payload| !payload.is_null()).for_each(free);
    let _ = writeln!(output, "{name}: {count} payloads took loads, stores and atomic additions");
    let _ = output.flush();
    Ok(())
}

/// Stages 2 to 5 and the production heap, one after the other on the one break of this process.
pub(crate) fn aligned(output: &mut Output) -> Result<(), Failure> {
    macro_rules! stage {
        ($name:literal, $heap:ident) => {{
            let heap = core::cell::RefCell::new($heap::new(Linux));
            payloads(
                $name,
                output,
                // SAFETY: nothing else moves the break while this stage lives.
                |size| unsafe { heap.borrow_mut().hmalloc(size) },
                // SAFETY: the payload came from this heap, and is not used any more.
                |payload| unsafe { heap.borrow_mut().hfree(payload) },
            )?;
        }};
    }
    align_break()?;
    stage!("stage 2", Aligned);
    stage!("stage 3", Linked);
    stage!("stage 4", Splitting);
    stage!("stage 5", Coalescing);
    let heap = core::cell::RefCell::new(Heap::new(Linux));
    payloads(
        "the production heap",
        output,
        |size| {
            let block = Layout::from_size_align(size, 1).map_err(|_| OutOfMemory);
            block.and_then(|layout| heap.borrow_mut().allocate(layout)).map_or(ptr::null_mut(), |block| block.as_ptr())
        },
        // SAFETY: the payload came from this heap, and is not used any more.
        |payload| assert_eq!(unsafe { heap.borrow_mut().free(payload) }, Ok(())),
    )?;
    ensure(heap.borrow().check().is_ok(), "the production heap is corrupt", 0)
}
