//! Rust allocators without a lock of their own. All but dlmalloc work in one arena of fixed size.

use super::Candidate;
use crate::kernel;
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use talc::{DefaultBinning, base, source::Manual};

/// Reserved, not resident: an arena costs what its allocator touches.
const ARENA: usize = 1 << 30;

/// A global without a lock, for processes of one thread.
struct Lone<T>(UnsafeCell<T>);

// SAFETY: a child has one thread.
unsafe impl<T> Sync for Lone<T> {}

impl<T> Lone<T> {
    const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// No other reference from this function is in use.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that it is the only one")]
    unsafe fn get(&self) -> &mut T {
        // SAFETY: the caller's promise; there is one thread.
        unsafe { &mut *self.0.get() }
    }
}

fn layout(size: usize) -> Layout {
    // SAFETY: 8 is a power of two, and the workloads' sizes are far below the limit.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

fn raw(payload: Option<NonNull<u8>>) -> *mut u8 {
    payload.map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

/// Resizing for those who cannot: allocate, copy, free.
///
/// # Safety
///
/// As for [`Candidate::resize`].
unsafe fn move_block<C: Candidate>(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
    // SAFETY: `payload` has `old` bytes and the fresh block `new`; the old block is used no more after its free.
    unsafe {
        let fresh = C::allocate(new);
        if !fresh.is_null() {
            fresh.copy_from_nonoverlapping(payload, old.min(new));
            C::free(payload, old);
        }
        fresh
    }
}

pub(super) struct LinkedList;
static LINKED_LIST: Lone<linked_list_allocator::Heap> = Lone::new(linked_list_allocator::Heap::empty());

impl Candidate for LinkedList {
    const NAME: &'static str = "linked_list";
    const NOTE: &'static str = "linked_list_allocator, no lock, 1 GiB arena";

    fn prepare() {
        // SAFETY: called once, before any other use; the arena is never given back.
        unsafe { LINKED_LIST.get().init(kernel::reserve(ARENA), ARENA) }
    }

    unsafe fn allocate(size: usize) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { LINKED_LIST.get() }.allocate_first_fit(layout(size)).ok())
    }

    unsafe fn free(payload: *mut u8, size: usize) {
        // SAFETY: the caller's block is live, not null, and was asked for with this layout.
        unsafe { LINKED_LIST.get().deallocate(NonNull::new_unchecked(payload), layout(size)) }
    }

    unsafe fn resize(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { move_block::<Self>(payload, old, new) }
    }
}

pub(super) struct Talc;
static TALC: Lone<base::Talc<Manual, DefaultBinning>> = Lone::new(base::Talc::new(Manual));

impl Candidate for Talc {
    const NAME: &'static str = "talc";
    const NOTE: &'static str = "talc, no lock, 1 GiB arena";

    fn prepare() {
        // SAFETY: called once; the arena is fresh, writable and never given back.
        unsafe { TALC.get().claim(kernel::reserve(ARENA), ARENA) }.expect("talc takes the arena");
    }

    unsafe fn allocate(size: usize) -> *mut u8 {
        // SAFETY: the size is not 0.
        raw(unsafe { TALC.get().allocate(layout(size)) })
    }

    unsafe fn free(payload: *mut u8, size: usize) {
        // SAFETY: the caller's block is live and was asked for with this layout.
        unsafe { TALC.get().deallocate(payload, layout(size)) }
    }

    unsafe fn resize(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: the caller's block is live and was asked for with this layout; `new` is not 0.
        unsafe {
            if TALC.get().try_realloc_in_place(payload, layout(old), new) {
                return payload;
            }
            move_block::<Self>(payload, old, new)
        }
    }
}

pub(super) struct Rlsf;
type Tlsf = rlsf::Tlsf<'static, u32, u32, 28, 32>;
static RLSF: Lone<Tlsf> = Lone::new(Tlsf::new());

impl Candidate for Rlsf {
    const NAME: &'static str = "rlsf";
    const NOTE: &'static str = "rlsf::Tlsf, no lock, 1 GiB arena";

    fn prepare() {
        let arena = std::ptr::slice_from_raw_parts_mut(kernel::reserve(ARENA), ARENA);
        // SAFETY: called once; the arena is fresh, not null and never given back.
        let taken = unsafe { RLSF.get().insert_free_block_ptr(NonNull::new_unchecked(arena)) };
        taken.expect("rlsf takes the arena");
    }

    unsafe fn allocate(size: usize) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { RLSF.get() }.allocate(layout(size)))
    }

    unsafe fn free(payload: *mut u8, _: usize) {
        // SAFETY: the caller's block is live, not null, and was asked for with this alignment.
        unsafe { RLSF.get().deallocate(NonNull::new_unchecked(payload), 8) }
    }

    unsafe fn resize(payload: *mut u8, _: usize, new: usize) -> *mut u8 {
        // SAFETY: as for `free`.
        raw(unsafe { RLSF.get().reallocate(NonNull::new_unchecked(payload), layout(new)) })
    }
}

pub(super) struct Dlmalloc;
static DLMALLOC: Lone<dlmalloc::Dlmalloc> = Lone::new(dlmalloc::Dlmalloc::new());

impl Candidate for Dlmalloc {
    const NAME: &'static str = "dlmalloc";
    const NOTE: &'static str = "dlmalloc, no lock, mmap";

    unsafe fn allocate(size: usize) -> *mut u8 {
        // SAFETY: no other reference is held.
        unsafe { DLMALLOC.get().malloc(size, 8) }
    }

    unsafe fn free(payload: *mut u8, size: usize) {
        // SAFETY: the caller's block is live and was asked for with this layout.
        unsafe { DLMALLOC.get().free(payload, size, 8) }
    }

    unsafe fn resize(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
        // SAFETY: as for `free`.
        unsafe { DLMALLOC.get().realloc(payload, old, 8, new) }
    }
}
