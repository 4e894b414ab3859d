//! Verifying all contents.

use super::Hmalloc;
use crate::checked::Checked;
use crate::checked::content::{EDGE, Room};
use crate::door::misuse::Misuse;
use crate::global::hook::NoUnwinding;
use crate::global::lock::Lock;
use crate::ground::company::if_checked;
use crate::ground::header::{Kind, Slab, Span};
use crate::ground::record::{Known, State};
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::tier::slot::Slot;
use crate::work::checked::guard_before;

/// How many are said at exit.
pub(super) const SAID: usize = 16;

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// In [checked mode](crate::Checks), looks at the contents of all blocks and of all free slots: what stands there that no caller
    /// may have written. Otherwise, and of blocks that are older than the mode, says nothing.
    ///
    /// Costs a look at each byte that is free, and at each block's slack. Other threads wait as for [`stats`](Self::stats).
    ///
    /// # Errors
    ///
    /// The first [`Misuse`] found, in address order, of the kind [`Overwritten`](crate::MisuseKind::Overwritten); what was found
    /// in slabs that were retired comes first. One that the heap has told of already is not told of again.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::{Checks, Hmalloc};
    ///
    /// static HEAP: Hmalloc = Hmalloc::new().with_checks(Checks::new());
    /// let block = HEAP.allocate(Layout::new::<[u8; 40]>())?.as_ptr();
    /// assert_eq!(HEAP.check_contents(), Ok(()));
    /// // SAFETY: a mistake, which stays inside the block's slot of 48 bytes.
    /// unsafe { block.add(40).write(0) };
    /// assert!(HEAP.check_contents().is_err());
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn check_contents(&self) -> Result<(), Misuse> {
        let Some(checked) = if_checked(self.mode.state()) else { return Ok(()) };
        let mut found = None;
        self.while_stopped(|heap| {
            // What was retired just now counts, too.
            found = checked.found.take();
            if found.is_none() {
                walk(checked, heap, &mut |misuse| {
                    found = Some(misuse);
                    false
                });
            }
        });
        found.map_or(Ok(()), Err)
    }

    /// Tells of all damage there is, as the policy says, or to the function that wants it. At exit.
    pub(in crate::global) fn report_contents(&self) {
        let Some(checked) = if_checked(self.mode.state()) else { return };
        let mut found = [None; SAID];
        self.while_stopped(|heap| gather(checked, heap, &mut found));
        self.report_retired(checked);
        found.iter().flatten().for_each(|misuse| self.report_found("exit", misuse));
    }

    /// Reports what was found in slabs when they were retired.
    #[inline(always)]
    pub(super) fn report_retired(&self, checked: &Checked) {
        if !checked.found.is_empty() {
            self.report_retired_slow(checked);
        }
    }

    #[cold]
    #[inline(never)]
    fn report_retired_slow(&self, checked: &Checked) {
        while let Some(misuse) = self.unless_inside(|_| checked.found.take()).flatten() {
            self.report_found("free", &misuse);
        }
    }

    /// Reports damage that no caller is told of.
    #[cold]
    #[inline(never)]
    pub(super) fn report_found(&self, call: &str, misuse: &Misuse) {
        match self.report {
            Some(report) => {
                let guard = NoUnwinding;
                report(call, misuse);
                core::mem::forget(guard);
            }
            None => self.policy().apply(call, misuse),
        }
    }
}

/// Notes all damage for which there is room.
pub(super) fn gather<B: Brk>(checked: &Checked, heap: &Heap<B>, found: &mut [Option<Misuse>; SAID]) {
    let mut room = found.iter_mut();
    walk(checked, heap, &mut |misuse| room.next().map(|place| *place = Some(misuse)).is_some());
}

/// Visits all damage, in address order, until `visit` says that it is enough. No thread is in the middle of an operation.
fn walk<B: Brk>(checked: &Checked, heap: &Heap<B>, visit: &mut dyn FnMut(Misuse) -> bool) {
    for span in heap.spans.iter() {
        let go_on = match span.as_slab() {
            Some(slab) => walk_slab(checked, slab, visit),
            None if span.is(Kind::Large) => damage_of_span(checked, span).is_none_or(&mut *visit),
            None => true,
        };
        if !go_on {
            return;
        }
    }
}

fn walk_slab(checked: &Checked, slab: Slab, visit: &mut dyn FnMut(Misuse) -> bool) -> bool {
    (0..slab.opened()).filter_map(|number| damage_of_slot(checked, Slot::new(slab, number))).all(visit)
}

fn damage_of_slot(checked: &Checked, slot: Slot) -> Option<Misuse> {
    let record = checked.records.of(slot.slab, slot.number())?;
    let (room, known) = (Room::of_slot(slot, slot.address()), record.load());
    match (known.state, slot.is_live()) {
        (State::Live, true) => {
            // A block that is being freed is filled as its state says until then, so this is right beside that.
            // SAFETY: filled behind its size when it was made.
            let intact = unsafe { checked.is_slack_intact(room, known) };
            if intact || super::blame::is_told(checked, slot, room, known) {
                return None;
            }
            // SAFETY: as above.
            Some(unsafe { checked.explain_slack(room, known, record) })
        }
        (State::Free | State::Edge, false) => {
            // SAFETY: filled when it was freed, and no thread has it: it would have to be in an operation to get it.
            let intact = unsafe { checked.is_free_intact(room, known, Checked::filled_from(room, known.state)) };
            if intact { None } else { super::blame::explain_free(checked, slot, room, known, record) }
        }
        _ => None,
    }
}

fn damage_of_span(checked: &Checked, block: Span) -> Option<Misuse> {
    let record = checked.records.at(block.start(), 0)?;
    let (room, known) = (Room::of_span(block), record.load());
    if known.state != State::Large {
        return None;
    }
    // SAFETY: filled behind its size when it was made.
    if !unsafe { checked.is_slack_intact(room, known) } {
        // SAFETY: as above.
        return Some(unsafe { checked.explain_slack(room, known, record) });
    }
    let guard = Room::of_span(guard_before(&checked.records, block)?.0);
    let edge = Known { state: State::Edge, size: 0, align: 1 };
    // SAFETY: filled when it was made.
    if unsafe { checked.is_free_intact(guard, edge, guard.bytes - EDGE) } {
        return None;
    }
    // SAFETY: as above.
    Some(unsafe { checked.explain_before(guard, guard.bytes - EDGE, known, record) })
}
