//! Noting where blocks are allocated and freed, if that is asked for.
//!
//! Stacks are looked at outside of any turn or lease: an unwinder may take a libc's locks, and allocate. The number of a free's stack
//! is written by the thread that has claimed the block, before others can have it; that of an allocation by the block's new holder.

use super::{Freed, Hmalloc, Place};
use crate::central::spans::OutOfMemory;
use crate::checked::Checked;
use crate::door::misuse::MisuseKind;
use crate::global::lock::Lock;
use crate::ground::callers::{DEPTH, Stacks, UNSEEN};
use crate::ground::record::State;
use crate::ground::refused;
use crate::ground::size_class::MIN_ALIGN;
use crate::kernel::backtrace;
use crate::kernel::brk::Brk;
use crate::tier::slot::Slot;
use core::alloc::Layout;
use core::ptr::NonNull;

/// What is noted of a free: nothing, or [where](At).
pub(super) trait Note: Copy {
    /// Notes it, in the hands of the thread that has claimed the block.
    fn freed(self, checked: &Checked, place: Place<'_>);
}

impl Note for () {
    #[inline(always)]
    fn freed(self, _: &Checked, _: Place<'_>) {}
}

/// The number of a stack.
#[derive(Clone, Copy)]
pub(super) struct At(u32);

impl Note for At {
    fn freed(self, checked: &Checked, place: Place<'_>) {
        if let Some(callers) = checked.records.callers(place.room.start, place.record) {
            callers.note_freed(self.0);
        }
    }
}

impl At {
    /// The caller's stack.
    fn here() -> Self {
        let mut stack = [0; DEPTH];
        let depth = backtrace::capture(&mut stack);
        Self(Stacks::get().map_or(UNSEEN, |stacks| stacks.find(&stack[..depth])))
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Allocates in checked mode, where a call has more to do than that.
    #[cold]
    #[inline(never)]
    pub(super) fn checked_allocate_noting(
        &self,
        checked: &'static Checked,
        layout: Layout,
        zeroed: bool,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        self.report_retired(checked);
        let payload = self.checked_allocate_quietly(checked, layout, zeroed)?;
        if checked.checks.notes_callers() {
            let At(stack) = At::here();
            let place = self.place_at(checked, payload.addr().get());
            if let Some(callers) = place.and_then(|place| checked.records.callers(place.room.start, place.record)) {
                callers.note_allocated(stack);
            }
        }
        Ok(payload)
    }

    /// Frees in checked mode, where a call has more to do than that.
    #[cold]
    #[inline(never)]
    pub(super) fn checked_free_noting(&self, checked: &Checked, address: usize, layout: Option<Layout>) -> Freed {
        self.report_retired(checked);
        let notes = checked.checks.notes_callers();
        let freed = self.checked_free_quietly(checked, address, layout, if notes { At::here() } else { At(UNSEEN) });
        let again = match &freed {
            Freed::Wrong(misuse) => misuse.kind == MisuseKind::AlreadyFree,
            Freed::Unchecked => true,
            Freed::Done => false,
        };
        if again && notes {
            self.keep_refused(checked, address);
        }
        freed
    }

    /// Keeps what is known of a block that is free, for the line about a free that is refused.
    #[cold]
    fn keep_refused(&self, checked: &Checked, address: usize) {
        let hands = self.unless_inside(|work| {
            let span = work.spans.map.find(address).filter(|_| address.is_multiple_of(MIN_ALIGN))?;
            let record = match span.as_slab() {
                Some(slab) => {
                    let number = address.wrapping_sub(slab.start()) / slab.slot_size();
                    let is_start = number < slab.opened() && Slot::new(slab, number).address() == address;
                    checked.records.of(slab, number).filter(|_| is_start)?
                }
                None => checked.records.at(span.start(), 0).filter(|_| span.start() == address)?,
            };
            let freed = matches!(record.load().state, State::Free | State::Busy);
            freed.then(|| checked.hands_of_freed(address, record))
        });
        if let Some(hands) = hands.flatten() {
            refused::keep(address, hands);
        }
    }
}

/// Makes what is needed to note callers. False if there is no memory for it.
pub(super) fn begin() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
    crate::look::profile::callers::explain();
    Stacks::make().is_some()
}
