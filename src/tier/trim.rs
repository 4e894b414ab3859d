//! Returning the kernel pages inside slabs in which nothing is live.
//!
//! The bits of slots are out of line, so a free slot holds nothing of the heap's: a slab with one live slot can do without
//! all of its memory but for one or two kernel pages. Its addresses, its slots and its place stay what they are.

use super::Tier;
use crate::central::spans::Spans;
use crate::ground::header::Slab;
use crate::ground::size_class::CLASSES;
use crate::ground::units::{MAX_UNITS, UNIT, units_of_bytes};
use crate::kernel::brk::Brk;

impl Tier {
    /// Returns the kernel pages in which no slot is live and which are not known to be zero. Returns how many bytes that
    /// were.
    pub(crate) fn return_inside<B: Brk>(&mut self, spans: &mut Spans<B>) -> usize {
        (0..CLASSES).for_each(|class| self.classes[class].unclaim());
        let (mut returned, mut patience) = (0, Patience::new());
        spans.visit_slabs(None, usize::MAX, |spans, slab| {
            returned += return_inside(slab, &mut spans.brk, &mut patience);
        });
        returned
    }
}

/// One call for each run of kernel pages: 1.5 us, and half as many in all as there are runs of live ones.
fn return_inside<B: Brk>(slab: Slab, brk: &mut B, patience: &mut Patience) -> usize {
    let (mut returned, mut units) = (0, units_to_discard(slab, brk.page_size()));
    while units != 0 {
        let first = units.trailing_zeros() as usize;
        let run = (units >> first).trailing_ones() as usize;
        let of_run = units_of_bytes(first * UNIT, (first + run) * UNIT);
        units &= !of_run;
        let start = slab.start() + first * UNIT;
        // SAFETY: whole kernel pages of a slab, which is the heap's; no slot in them is live, and no class has one at hand.
        let granted = patience.may_ask() && unsafe { brk.discard(start, run * UNIT) }.is_ok();
        if granted {
            patience.reset();
            slab.add_zero_units(of_run);
            returned += run * UNIT;
        }
    }
    returned
}

/// The units of the kernel pages that lie in the slab as a whole, in which no slot is live, and of which not all is known
/// to be zero.
fn units_to_discard(slab: Slab, kernel_page: usize) -> u32 {
    let free = slab.units() & !slab.live_units();
    let dirty = free & !slab.zero_units();
    if kernel_page <= UNIT || dirty == 0 {
        return dirty;
    }
    let start = slab.start();
    let first = start.next_multiple_of(kernel_page) - start;
    let pages =
        (first..slab.span().bytes()).step_by(kernel_page).filter(|page| page + kernel_page <= slab.span().bytes());
    pages
        .map(|page| units_of_bytes(page, page + kernel_page))
        .filter(|&units| units & !free == 0 && units & dirty != 0)
        .fold(0, |all, units| all | units)
}

/// How often a kernel that refuses is asked again within one trim: after each refusal in a row twice as many runs are left
/// out as after the one before.
struct Patience {
    refusals: u32,
    left_out: u64,
}

impl Patience {
    fn new() -> Self {
        Self { refusals: 0, left_out: 0 }
    }

    /// Whether to ask for the next run. It counts as refused until [`reset`](Self::reset) says that it was not.
    fn may_ask(&mut self) -> bool {
        if self.left_out > 0 {
            self.left_out -= 1;
            return false;
        }
        self.left_out = (1 << self.refusals.min(63)) - 1;
        self.refusals += 1;
        true
    }

    /// The kernel has granted what it was asked.
    fn reset(&mut self) {
        *self = Self::new();
    }
}

const _: () = assert!(MAX_UNITS == 32, "a shift by a unit's number, or by the length of a run that ends there, is one");
