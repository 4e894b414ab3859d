//! What C asks of an allocator: sizes instead of layouts, null for a failure, `errno`, and a policy for misuse.
//!
//! `errno` changes only where a function fails, and only here: nothing below this module sets it.

use crate::libc::{EINVAL, ENOMEM, set_errno};
use crate::misuse;
use crate::shared::HEAP;
use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};
use hmalloc::{OutOfMemory, ResizeError};

/// The least alignment of a block: that of `max_align_t`, or more, on all architectures.
pub(crate) const ALIGN: usize = 16;

/// Larger than any block can be: no request of this layout succeeds, and no block has it.
const LARGEST: Layout = match Layout::from_size_align(isize::MAX as usize + 1 - ALIGN, ALIGN) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size, align).ok()
}

// Not inlined: so it is a call, the last thing that its callers do, and they save no register for it.
#[cold]
#[inline(never)]
fn refuse(errno: c_int) -> *mut c_void {
    set_errno(errno);
    null_mut()
}

fn or_enomem(answer: Option<Result<NonNull<u8>, OutOfMemory>>) -> *mut c_void {
    match answer {
        Some(Ok(payload)) => payload.as_ptr().cast(),
        _ => refuse(ENOMEM),
    }
}

/// The largest request that slots serve (without checked mode). Larger ones take a call more, so that all others need no test whether
/// a layout can have their size. Which of the two ways a request takes changes no answer.
const SMALL: usize = 56 << 10;

/// As `malloc`.
#[inline(always)]
pub(crate) fn allocate(size: usize) -> *mut c_void {
    if size > SMALL {
        return allocate_large(size);
    }
    let Some(layout) = layout(size, ALIGN) else { return refuse(ENOMEM) };
    // No closure around the call: compilers make a function of it, as it has several callers.
    HEAP.allocate_or(layout, || refuse(ENOMEM).cast()).cast()
}

/// The same, not inlined, for callers who seldom need it.
#[inline(never)]
pub(crate) fn allocate_apart(size: usize) -> *mut c_void {
    allocate(size)
}

#[inline(never)]
fn allocate_large(size: usize) -> *mut c_void {
    or_enomem(layout(size, ALIGN).map(|layout| HEAP.allocate(layout)))
}

/// As `malloc`, but null alone says that it failed: `errno` stays.
#[cfg(feature = "preload")]
#[inline(always)]
pub(crate) fn try_allocate(align: usize, size: usize) -> *mut c_void {
    match layout(size, align) {
        Some(layout) => HEAP.allocate_or(layout, null_mut).cast(),
        None => null_mut(),
    }
}

/// As `calloc`.
#[inline(always)]
pub(crate) fn allocate_zeroed(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return refuse(ENOMEM) };
    if bytes > SMALL {
        return allocate_zeroed_large(bytes);
    }
    let Some(layout) = layout(bytes, ALIGN) else { return refuse(ENOMEM) };
    HEAP.allocate_zeroed_or(layout, || refuse(ENOMEM).cast()).cast()
}

#[inline(never)]
fn allocate_zeroed_large(bytes: usize) -> *mut c_void {
    or_enomem(layout(bytes, ALIGN).map(|layout| HEAP.allocate_zeroed(layout)))
}

/// As `posix_memalign`, but returns the block. `align` is a power of two.
pub(crate) fn try_allocate_aligned(align: usize, size: usize) -> Result<NonNull<u8>, OutOfMemory> {
    let layout = layout(size, align.max(ALIGN)).ok_or(OutOfMemory)?;
    HEAP.allocate(layout)
}

/// As `aligned_alloc`. The alignment must be a power of two; the size need not be a multiple of it.
pub(crate) fn allocate_aligned(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { or_enomem(Some(try_allocate_aligned(align, size))) } else { refuse(EINVAL) }
}

/// As `free`, for the function called `call`.
///
/// # Safety
///
/// If a live block starts at `payload`, nothing uses it any more.
#[inline(always)]
pub(crate) unsafe fn free(call: &str, payload: *mut c_void) {
    if payload.is_null() {
        return;
    }
    // SAFETY: the caller is done with the block.
    unsafe { HEAP.free_reporting(payload.cast(), misuse::matters, |misuse| misuse::apply(call, misuse)) }
}

/// As [`free`], of a block that was asked for with this alignment and any size, which is at a multiple of it.
///
/// # Safety
///
/// As for [`free`].
#[cfg(feature = "preload")]
#[inline(always)]
pub(crate) unsafe fn free_of_align(call: &str, payload: *mut c_void, align: usize) {
    if payload.is_null() {
        return;
    }
    let align = align.max(ALIGN);
    // SAFETY: the caller is done with the block.
    unsafe {
        HEAP.free_of_align_reporting(payload.cast(), align, misuse::matters, |misuse| misuse::apply(call, misuse))
    }
}

/// As `free_aligned_sized`: the block was asked for with this size and alignment.
///
/// # Safety
///
/// As for [`free`].
#[cfg(feature = "preload")]
pub(crate) unsafe fn free_sized(call: &str, payload: *mut c_void, align: usize, size: usize) {
    if payload.is_null() {
        return;
    }
    let layout = layout(size, align.max(ALIGN)).unwrap_or(LARGEST);
    // SAFETY: the caller is done with the block.
    unsafe { HEAP.free_sized_reporting(payload.cast(), layout, |misuse| misuse::apply(call, misuse)) }
}

/// Frees a block that was asked for with this alignment, and any size.
///
/// # Safety
///
/// As for [`free`].
#[cfg(feature = "preload")]
pub(crate) unsafe fn free_aligned(call: &str, payload: *mut c_void, align: usize) {
    if align.is_power_of_two() && payload.addr() & (align - 1) == 0 {
        // SAFETY: the caller's promise.
        return unsafe { free_of_align(call, payload, align) };
    }
    // Not a block of that alignment. If it is one at all, its own size makes the alignment what is wrong.
    match HEAP.usable_size(payload.cast()) {
        // SAFETY: the caller's promise.
        Ok(size) => unsafe { free_sized(call, payload, align, size) },
        Err(misuse) => misuse::apply(call, &misuse),
    }
}

/// As `realloc`, but a size of 0 is a size like any other.
///
/// # Safety
///
/// As for [`free`], unless the answer is null.
pub(crate) unsafe fn resize(call: &str, payload: *mut c_void, size: usize) -> *mut c_void {
    if payload.is_null() {
        return allocate_apart(size);
    }
    // A size that no layout can have becomes the largest one, so that the pointer is still checked.
    let layout = layout(size, ALIGN).unwrap_or(LARGEST);
    let failed = |error| match error {
        ResizeError::OutOfMemory => refuse(ENOMEM),
        ResizeError::Misuse(misuse) => {
            misuse::apply(call, &misuse);
            refuse(EINVAL)
        }
    };
    // SAFETY: the caller uses the block only as the answer says.
    unsafe { HEAP.resize_or(payload.cast(), layout, |error| failed(error).cast()) }.cast()
}

/// As `malloc_usable_size`.
#[inline(always)]
pub(crate) fn usable_size(call: &str, payload: *const c_void) -> usize {
    if payload.is_null() {
        return 0;
    }
    HEAP.usable_size_or(payload.cast(), |misuse| {
        misuse::apply(call, misuse);
        0
    })
}

/// The size of `count` elements. `None`, with `errno` set, if it overflows.
pub(crate) fn product(count: usize, size: usize) -> Option<usize> {
    let product = count.checked_mul(size);
    if product.is_none() {
        set_errno(ENOMEM);
    }
    product
}
