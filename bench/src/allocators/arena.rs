//! Rust allocators without a lock of their own, each in one arena of fixed size.

use super::candidate::{Candidate, Lone, layout};
use crate::base::kernel;
use std::alloc::Layout;
use std::ptr::NonNull;
use talc::{DefaultBinning, base, source::Manual};

/// Reserved, not resident: an arena costs what its allocator touches.
const ARENA: usize = 1 << 30;

#[inline(always)]
fn raw(payload: Option<NonNull<u8>>) -> *mut u8 {
    payload.map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

pub(super) struct LinkedList;
static LINKED_LIST: Lone<linked_list_allocator::Heap> = Lone::new(linked_list_allocator::Heap::empty());

impl Candidate for LinkedList {
    const NAME: &'static str = "linked_list";
    const NOTE: &'static str = "linked_list_allocator, the baseline: no lock, 1 GiB arena";
    const PACKAGE: Option<&'static str> = Some("linked_list_allocator");

    fn prepare() {
        // SAFETY: called once, before any other use; the arena is never unmapped.
        unsafe { LINKED_LIST.get().init(kernel::reserve(ARENA), ARENA) }
    }

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { LINKED_LIST.get() }.allocate_first_fit(layout).ok())
    }

    #[inline(always)]
    unsafe fn free(payload: *mut u8, layout: Layout) {
        // SAFETY: the caller's block is live, not null, and was asked for with this layout.
        unsafe { LINKED_LIST.get().deallocate(NonNull::new_unchecked(payload), layout) }
    }
}

pub(super) struct Buddy;
/// Orders up to blocks of half the arena's size: 2^29 bytes.
static BUDDY: Lone<buddy_system_allocator::Heap<31>> = Lone::new(buddy_system_allocator::Heap::empty());

impl Candidate for Buddy {
    const NAME: &'static str = "buddy_system";
    const NOTE: &'static str = "buddy_system_allocator::Heap, no lock, 1 GiB arena";
    const PACKAGE: Option<&'static str> = Some("buddy_system_allocator");

    fn prepare() {
        // SAFETY: called once, before any other use; the arena is never unmapped.
        unsafe { BUDDY.get().init(kernel::reserve(ARENA) as usize, ARENA) }
    }

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { BUDDY.get() }.alloc(layout).ok())
    }

    #[inline(always)]
    unsafe fn free(payload: *mut u8, layout: Layout) {
        // SAFETY: the caller's block is live, not null, and was asked for with this layout.
        unsafe { BUDDY.get().dealloc(NonNull::new_unchecked(payload), layout) }
    }
}

pub(super) struct Talc;
static TALC: Lone<base::Talc<Manual, DefaultBinning>> = Lone::new(base::Talc::new(Manual));

impl Candidate for Talc {
    const NAME: &'static str = "talc";
    const NOTE: &'static str = "no lock, 1 GiB arena";
    const PACKAGE: Option<&'static str> = Some("talc");

    fn prepare() {
        // SAFETY: called once; the arena is fresh, writable and never unmapped.
        unsafe { TALC.get().claim(kernel::reserve(ARENA), ARENA) }.expect("talc takes the arena");
    }

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: the size is not 0.
        raw(unsafe { TALC.get().allocate(layout) })
    }

    #[inline(always)]
    unsafe fn free(payload: *mut u8, layout: Layout) {
        // SAFETY: the caller's block is live and was asked for with this layout.
        unsafe { TALC.get().deallocate(payload, layout) }
    }

    #[inline(always)]
    unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
        // SAFETY: the caller's block is live and was asked for with this layout; `new` is not 0. Talc resizes in place
        // or not at all, and then the block moves.
        unsafe {
            if TALC.get().try_realloc_in_place(payload, old, new) {
                return payload;
            }
            Self::relocate(payload, old, new)
        }
    }
}

pub(super) struct Rlsf;
type Tlsf = rlsf::Tlsf<'static, u32, u32, 28, 32>;
static RLSF: Lone<Tlsf> = Lone::new(Tlsf::new());

impl Candidate for Rlsf {
    const NAME: &'static str = "rlsf";
    const NOTE: &'static str = "Tlsf, no lock, 1 GiB arena";
    const PACKAGE: Option<&'static str> = Some("rlsf");

    fn prepare() {
        let arena = std::ptr::slice_from_raw_parts_mut(kernel::reserve(ARENA), ARENA);
        // SAFETY: called once; the arena is fresh, not null and never unmapped.
        let taken = unsafe { RLSF.get().insert_free_block_ptr(NonNull::new_unchecked(arena)) };
        taken.expect("rlsf takes the arena");
    }

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { RLSF.get() }.allocate(layout))
    }

    #[inline(always)]
    unsafe fn free(payload: *mut u8, layout: Layout) {
        // SAFETY: the caller's block is live, not null, and was asked for with this alignment.
        unsafe { RLSF.get().deallocate(NonNull::new_unchecked(payload), layout.align()) }
    }

    #[inline(always)]
    unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
        // SAFETY: as for `free`.
        raw(unsafe { RLSF.get().reallocate(NonNull::new_unchecked(payload), layout(new, old.align())) })
    }
}

pub(super) struct Picoalloc;
static PICOALLOC: Lone<picoalloc::Allocator<Arena>> = Lone::new(picoalloc::Allocator::new(Arena));

/// The same arena as the others have: picoalloc's own mapping would be alike, but exists for one architecture only.
struct Arena;

impl picoalloc::Env for Arena {
    fn total_space(&self) -> picoalloc::Size {
        const { picoalloc::Size::from_bytes_usize(ARENA).unwrap() }
    }

    unsafe fn allocate_address_space(&mut self) -> *mut u8 {
        kernel::reserve(ARENA)
    }

    unsafe fn expand_memory_until(&mut self, _: *mut u8, _: picoalloc::Size) -> bool {
        true
    }

    unsafe fn free_address_space(&mut self, _: *mut u8) {}
}

/// No request here is near the largest size that picoalloc can count.
#[inline(always)]
fn pico(bytes: usize) -> picoalloc::Size {
    picoalloc::Size::from_bytes_usize(bytes).expect("a size below 4 GiB")
}

impl Candidate for Picoalloc {
    const NAME: &'static str = "picoalloc";
    const NOTE: &'static str = "Allocator, no lock, 1 GiB arena";
    const PACKAGE: Option<&'static str> = Some("picoalloc");

    #[inline(always)]
    unsafe fn allocate(layout: Layout) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { PICOALLOC.get() }.alloc(pico(layout.align()), pico(layout.size())))
    }

    #[inline(always)]
    unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: no other reference is held.
        raw(unsafe { PICOALLOC.get() }.alloc_zeroed(pico(layout.align()), pico(layout.size())))
    }

    #[inline(always)]
    unsafe fn free(payload: *mut u8, _: Layout) {
        // SAFETY: the caller's block is live and not null.
        unsafe { PICOALLOC.get().free(NonNull::new_unchecked(payload)) }
    }

    #[inline(always)]
    unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
        // SAFETY: as for `free`.
        raw(unsafe { PICOALLOC.get().realloc(NonNull::new_unchecked(payload), pico(old.align()), pico(new)) })
    }
}
