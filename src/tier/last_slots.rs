//! The last free slots: how a heap finds them once its growth was refused.
//!
//! A full slab is not used until an eighth of its slots are free, so many slabs may have a few. While memory is short,
//! these slabs are listed, and those without a free slot wait for one and not for an eighth. To look at all slabs takes
//! time in proportion to their number, which a refused request should not take. So the look begins when the kernel
//! first refuses a wish (more than the heap needs at the time), and continues a little with each new slab: it is over
//! before a need is refused. If a need is refused without warning, that request looks at all the rest.
//!
//! ```text
//! wishes   granted   refused   half of it granted ...                      need refused
//! ---------+---------+---------+-----------+-----------+-----------+-------+----> slabs taken
//!                              look at some   some        some      some   nothing left to look at
//! ```

use super::Tier;
use crate::central::spans::Spans;
use crate::ground::header::{Place, Slab};
use crate::kernel::parts::LIMITS;
use crate::tier::shortage::Look;

impl Tier {
    /// If the kernel has refused a wish, looks at some more slabs: so many that all are seen before it can refuse a
    /// need. If not, ends the shortage.
    pub(super) fn look_ahead<B>(&mut self, spans: &mut Spans<B>) {
        match spans.spans_to_look_at() {
            Some(most) => self.look_at(spans, most),
            None => self.shortage.look = Look::NotBegun,
        }
    }

    /// Looks at all slabs that have not been seen since memory became short.
    pub(super) fn look_at_all<B>(&mut self, spans: &mut Spans<B>) {
        self.look_at(spans, usize::MAX);
    }

    fn look_at<B>(&mut self, spans: &mut Spans<B>, most: usize) {
        if !LIMITS {
            return;
        }
        let after = match self.shortage.look {
            Look::Over => return,
            Look::NotBegun => None,
            Look::UpTo(address) => Some(address),
        };
        let seen = spans.visit_slabs(after, most, |_, slab| {
            if slab.owner_number() == self.number && slab.place() == Place::Full {
                self.find_slots_of(slab, slab.relist_at() - slab.until_review());
            }
        });
        self.shortage.look = seen.map_or(Look::Over, Look::UpTo);
    }

    /// Makes a full slab's free slots available: lists it if it has some now, or as soon as it has one.
    pub(super) fn find_slots_of(&mut self, slab: Slab, free: usize) {
        if free > 0 {
            self.list_with(slab, free);
        } else {
            slab.set_place(Place::Spent, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Heap;
    use crate::kernel::brk::Emulated;
    use crate::tier::shortage::Look;
    use core::alloc::Layout;
    use core::mem::MaybeUninit;

    const MIB: usize = 1 << 20;

    fn is_filled(heap: &mut Heap<Emulated<'_>>) -> bool {
        heap.allocate(Layout::new::<[u64; 40]>()).is_err()
    }

    /// When a need is finally refused, all spans have been looked at, however many there are.
    #[test]
    #[cfg_attr(miri, ignore = "minutes for an interpreter")]
    fn the_look_is_over_before_a_need_is_refused() {
        for mib in [16, 48] {
            let mut arena = std::vec![MaybeUninit::uninit(); 2 * mib * MIB];
            let mut brk = Emulated::new(&mut arena);
            brk.set_cap(mib * MIB);
            let mut heap = Heap::new(brk);
            let mut before = heap.tier.shortage.look;
            assert!(!heap.tier.shortage.is_there());
            while !is_filled(&mut heap) {
                before = heap.tier.shortage.look;
            }
            let last = heap.spans.iter().last().map_or(0, |span| span.start());
            let all_but_few = matches!(before, Look::UpTo(address) if last - address < MIB / 4);
            assert!(before == Look::Over || all_but_few, "{mib} MiB: {before:x?} of {last:#x}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes for an interpreter")]
    fn growth_ends_the_shortage() {
        let mut arena = std::vec![MaybeUninit::uninit(); 8 * MIB];
        let mut heap = Heap::new(Emulated::new(&mut arena));
        heap.brk_mut().set_cap(MIB);
        while !is_filled(&mut heap) {}
        assert!(heap.tier.shortage.is_there());
        heap.brk_mut().set_cap(usize::MAX);
        for _ in 0..8 * MIB / 320 / 2 {
            assert!(!is_filled(&mut heap));
        }
        assert!(!heap.tier.shortage.is_there());
        assert_eq!(heap.check(), Ok(()));
    }
}
