//! Resizing a slot without the central part.

use super::Tier;
use crate::ground::header::{PAGE, Slab};
use crate::ground::page_map::Lookup;
use crate::ground::size_class::{SMALL_MAX, SizeClass};
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::NonNull;

/// The slot where a block is after a resize.
#[derive(Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) payload: NonNull<u8>,
    /// The slab of the old slot, if its place must be reviewed now.
    pub(crate) review: Option<Slab>,
}

/// Whether a block that is resized to `new` becomes, or stays, a large one. Beyond a page it does although there are
/// slots of this size: it is expected to be resized again, and a span can be resized in place. It fills more than half
/// of its pages, as it would of a slot.
pub(crate) fn becomes_large(new: Layout) -> bool {
    new.size() > PAGE || SizeClass::of(new).is_none()
}

/// Whether a slot stays where it is when it is resized to `new`: if that fills more than half of it, or would get a slot of
/// the same class.
pub(crate) fn stays(slot: Slot, new: Layout) -> bool {
    let class = slot.slab.size_class();
    let bytes = class.slot_size();
    new.size() <= bytes && (new.size() > bytes / 2 || SizeClass::of(new) == Some(class))
}

/// What to allocate for a block of `old` bytes that has to move to become `new`. A block that grows by little is
/// expected to grow again: it gets the next power of two, of which `new` fills more than half, so that it is copied
/// once per doubling and not once per size class.
pub(crate) fn with_room_to_grow(old: usize, new: Layout) -> Layout {
    let by_little = new.size() > old && new.size() - old <= old / 8 && new.size() <= SMALL_MAX;
    let roomy = Layout::from_size_align(new.size().next_power_of_two(), new.align());
    roomy.ok().filter(|_| by_little).unwrap_or(new)
}

impl Tier {
    /// Resizes a live slot of this tier: in place, or by moving it to another slot that the tier has. `None` if neither is
    /// possible, or if the block is to become a large one.
    ///
    /// # Safety
    ///
    /// If the block moves, nothing uses the old one any more.
    pub(crate) unsafe fn move_slot(&mut self, slot: Slot, new: Layout, lookup: &Lookup) -> Option<Moved> {
        let address = slot.address();
        if stays(slot, new) && address.is_multiple_of(new.align()) {
            let payload = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(address))?;
            return Some(Moved { payload, review: None });
        }
        let old = slot.slab.size_class().slot_size();
        if SizeClass::of(new).is_none() || (becomes_large(new) && old >= PAGE / 2) {
            return None;
        }
        let class = self.find_alone(SizeClass::of(with_room_to_grow(old, new))?, lookup)?;
        let payload = self.pop(class)?;
        let from = core::ptr::with_exposed_provenance::<u8>(address);
        // SAFETY: both slots are live and as long as what is copied, and they are not the same.
        unsafe { payload.as_ptr().copy_from_nonoverlapping(from, old.min(new.size())) };
        let review = if slot.is_live() {
            slot.free()
        } else {
            // Another thread has freed it meanwhile: one of the two is wrong, and this one is told of it.
            self.company().iter().for_each(|others| others.twice.note_block(address));
            false
        };
        Some(Moved { payload, review: review.then_some(slot.slab) })
    }
}
