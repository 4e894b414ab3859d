//! The size classes, as a caller can see them.

use crate::arena::Arena;
use crate::calls::{MIB, free, get};
use hmalloc::Heap;

/// The largest slot.
pub const LARGEST: usize = 56 << 10;
/// Requests of one class that are served as guests of a coarser one, until it has a slab of its own, and a few more.
pub const ENOUGH: usize = 20;

/// The slot sizes of all classes.
pub fn classes() -> Vec<usize> {
    let mut arena = Arena::new(16 * MIB);
    let mut heap = Heap::new(arena.brk());
    let (mut slots, mut size) = (Vec::new(), 0);
    while size <= LARGEST {
        let payloads: Vec<_> = (0..ENOUGH).map(|_| get(&mut heap, size).expect("room")).collect();
        let usable = |payload: &std::ptr::NonNull<u8>| heap.usable_size(payload.as_ptr()).expect("a live block");
        let slot = payloads.iter().map(usable).min().expect("some blocks");
        payloads.into_iter().for_each(|payload| free(&mut heap, payload));
        slots.push(slot);
        size = slot + 1;
    }
    slots
}
