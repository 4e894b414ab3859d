//! Rust allocators without a lock of their own, each in one arena of fixed size.

use super::candidate::{Candidate, Lone, candidate, layout};
use crate::base::kernel;
use std::alloc::Layout;
use std::ptr::{NonNull, slice_from_raw_parts_mut};
use talc::{DefaultBinning, base, source::Manual};

/// Reserved, not resident: an arena costs what its allocator touches.
pub(super) const ARENA: usize = 1 << 30;

#[inline(always)]
pub(super) fn raw(payload: Option<NonNull<u8>>) -> *mut u8 {
    payload.map_or(std::ptr::null_mut(), NonNull::as_ptr)
}

static LINKED_LIST: Lone<linked_list_allocator::Heap> = Lone::new(linked_list_allocator::Heap::empty());

candidate!(
    LinkedList,
    Some("linked_list_allocator"),
    "linked_list",
    "linked_list_allocator, the baseline: no lock, 1 GiB arena",
    prepare: LINKED_LIST.get().init(kernel::reserve(ARENA), ARENA),
    allocate(layout): raw(LINKED_LIST.get().allocate_first_fit(layout).ok()),
    free(payload, layout): LINKED_LIST.get().deallocate(NonNull::new_unchecked(payload), layout),
);

/// Orders up to blocks of half the arena's size: 2^29 bytes.
static BUDDY: Lone<buddy_system_allocator::Heap<31>> = Lone::new(buddy_system_allocator::Heap::empty());

candidate!(
    Buddy,
    Some("buddy_system_allocator"),
    "buddy_system",
    "buddy_system_allocator::Heap, no lock, 1 GiB arena",
    prepare: BUDDY.get().init(kernel::reserve(ARENA) as usize, ARENA),
    allocate(layout): raw(BUDDY.get().alloc(layout).ok()),
    free(payload, layout): BUDDY.get().dealloc(NonNull::new_unchecked(payload), layout),
);

static TALC: Lone<base::Talc<Manual, DefaultBinning>> = Lone::new(base::Talc::new(Manual));

candidate!(
    Talc,
    Some("talc"),
    "talc",
    "no lock, 1 GiB arena",
    prepare: TALC.get().claim(kernel::reserve(ARENA), ARENA).expect("talc takes the arena"),
    allocate(layout): raw(TALC.get().allocate(layout)),
    free(payload, layout): TALC.get().deallocate(payload, layout),
    // In place or not at all.
    resize(payload, old, new): match TALC.get().try_realloc_in_place(payload, old, new) {
        true => payload,
        false => Self::relocate(payload, old, new),
    },
);

pub(super) type Tlsf = rlsf::Tlsf<'static, u32, u32, 28, 32>;
static RLSF: Lone<Tlsf> = Lone::new(Tlsf::new());

candidate!(
    Rlsf,
    Some("rlsf"),
    "rlsf",
    "Tlsf, no lock, 1 GiB arena",
    prepare: {
        let arena = NonNull::new_unchecked(slice_from_raw_parts_mut(kernel::reserve(ARENA), ARENA));
        RLSF.get().insert_free_block_ptr(arena).expect("rlsf takes the arena")
    },
    allocate(layout): raw(RLSF.get().allocate(layout)),
    free(payload, layout): RLSF.get().deallocate(NonNull::new_unchecked(payload), layout.align()),
    resize(payload, old, new): raw(RLSF.get().reallocate(NonNull::new_unchecked(payload), layout(new, old.align()))),
);

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

candidate!(
    Picoalloc,
    Some("picoalloc"),
    "picoalloc",
    "Allocator, no lock, 1 GiB arena",
    allocate(layout): raw(PICOALLOC.get().alloc(pico(layout.align()), pico(layout.size()))),
    zeroed(layout): raw(PICOALLOC.get().alloc_zeroed(pico(layout.align()), pico(layout.size()))),
    free(payload, _): PICOALLOC.get().free(NonNull::new_unchecked(payload)),
    resize(payload, old, new):
        raw(PICOALLOC.get().realloc(NonNull::new_unchecked(payload), pico(old.align()), pico(new))),
);
