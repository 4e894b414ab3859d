//! Returning the kernel pages inside slabs in which nothing is live.
//!
//! The bits of slots are out of line, so free slots hold no data of the heap: a slab with one live slot needs no more
//! memory than one or two kernel pages. Its addresses, its slots and its place stay as they are.

use super::Tier;
use crate::central::spans::Spans;
use crate::ground::company::if_checked;
use crate::ground::header::Slab;
use crate::ground::size_class::CLASSES;
use crate::ground::units::{MAX_UNITS, UNIT, units_of_bytes};
use crate::kernel::brk::Brk;

impl Tier {
    /// Returns the kernel pages in which no slot is live and which are not known to be zero, and says how many bytes
    /// that was.
    pub(crate) fn return_inside<B: Brk>(&mut self, spans: &mut Spans<B>) -> usize {
        if if_checked(spans.watch).is_some() {
            // What was freed must stay what it was filled with.
            return 0;
        }
        (0..CLASSES).for_each(|class| self.classes[class].unclaim());
        let (mut returned, mut patience, number) = (0, Patience::new(), self.number);
        spans.visit_slabs(None, usize::MAX, |spans, slab| {
            if slab.owner_number() == number {
                returned += return_inside(slab, spans, &mut patience);
            }
        });
        returned
    }
}

/// Returns the pages of one slab, with one system call of 1.5 us for each run of kernel pages.
fn return_inside<B: Brk>(slab: Slab, spans: &mut Spans<B>, patience: &mut Patience) -> usize {
    let (mut returned, mut units) = (0, units_to_discard(slab, spans.kernel_page()));
    while units != 0 {
        let first = units.trailing_zeros() as usize;
        let run = (units >> first).trailing_ones() as usize;
        let of_run = units_of_bytes(first * UNIT, (first + run) * UNIT);
        units &= !of_run;
        let start = slab.start() + first * UNIT;
        // SAFETY: no slot in these units is live, and no class has claimed any.
        let granted = patience.may_ask() && unsafe { spans.discard_in(slab, start, run * UNIT) }.is_ok();
        if granted {
            patience.reset();
            slab.add_zero_units(of_run);
            returned += run * UNIT;
        }
    }
    returned
}

/// The units of those kernel pages that lie wholly in the slab, hold no live slot, and are not wholly known to be zero.
pub(crate) fn units_to_discard(slab: Slab, kernel_page: usize) -> u32 {
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

/// How often a kernel that refuses is asked again within one trim: after each refusal in a row, twice as many runs are
/// skipped as after the previous one.
struct Patience {
    refusals: u32,
    skipped: u64,
}

impl Patience {
    fn new() -> Self {
        Self { refusals: 0, skipped: 0 }
    }

    /// Whether to ask for the next run. It counts as refused until [`reset`](Self::reset) says that it was not.
    fn may_ask(&mut self) -> bool {
        if self.skipped > 0 {
            self.skipped -= 1;
            return false;
        }
        self.skipped = (1 << self.refusals.min(63)) - 1;
        self.refusals += 1;
        true
    }

    /// Notes that the kernel has granted the call.
    fn reset(&mut self) {
        *self = Self::new();
    }
}

const _: () = assert!(MAX_UNITS == 32, "a shift by a unit's number, or by the length of a run that ends there, is one");
