//! Large blocks in checked mode: with a guard before each, and out of reach for a while when they are freed.
//!
//! ```text
//! +---------------+----------------------------+
//! | guard, 1 page | the block                  |      the guard is a span of its own: not live, and not free
//! |        filled | the caller's     | filled  |
//! +---------------+----------------------------+
//!                 ^ the payload, where its span starts, as ever
//! ```

use super::{Work, payload_of};
use crate::central::spans::OutOfMemory;
use crate::checked::Checked;
use crate::checked::content::{EDGE, Room};
use crate::checked::quarantine::{Quarantine, Waiting};
use crate::door::validate::Live;
use crate::ground::contents::Unfilled;
use crate::ground::header::{Kind, PAGE, Span, pages_of};
use crate::ground::pattern::fill;
use crate::ground::record::{Record, State};
use crate::ground::records::Records;
use crate::kernel::barrier;
use crate::kernel::brk::Brk;
use core::alloc::Layout;

/// With more alignment than this, a guard would be too long.
const ALIGN_MAX: usize = 1 << 20;

/// The guard before a large block, and its record.
pub(crate) fn guard_before(records: &Records, block: Span) -> Option<(Span, &Record)> {
    let guard = block.prev().filter(|prev| prev.is(Kind::Moving) && prev.end() == block.start())?;
    let record = records.at(guard.start(), 0)?;
    (record.load().state == State::Edge).then_some((guard, record))
}

impl<B: Brk> Work<'_, B> {
    /// A large block for `layout`, with a guard before it if there is memory for that, and before zeros are written.
    pub(crate) fn allocate_guarded(&mut self, checked: &Checked, layout: Layout) -> Result<Unfilled, OutOfMemory> {
        let span = self.take_guarded(checked, layout).or_else(|_| self.take_large(layout))?;
        self.spans.serve_records(&checked.records, span);
        let dirty = (span.bytes() - span.zero_end() * PAGE).min(layout.size());
        // SAFETY: the block is new, and at least this long.
        Ok(unsafe { Unfilled::new(payload_of(span), dirty) })
    }

    fn take_guarded(&mut self, checked: &Checked, layout: Layout) -> Result<Span, OutOfMemory> {
        let lead = (layout.align() / PAGE).max(1);
        let pages = pages_of(layout.size()).checked_add(lead).filter(|_| layout.align() <= ALIGN_MAX);
        self.spans.begin_request();
        let tier = &mut *self.tier;
        let retire = &mut |spans: &mut _| tier.retire_idle(spans);
        let guard = self.spans.take(pages.ok_or(OutOfMemory)?, layout.align(), retire)?;
        let block = self.spans.split(guard, lead);
        self.spans.map.mark(block);
        self.spans.begin_move(guard);
        self.spans.serve_records(&checked.records, guard);
        if let Some(record) = checked.records.at(guard.start(), 0) {
            let room = Room::of_span(guard);
            // SAFETY: a span of the heap's, in which no block is.
            unsafe { fill(room.start, room.bytes - EDGE, room.bytes, checked.secret.word(room.start)) };
            record.set(State::Edge, 0, 1);
        }
        Ok(block)
    }

    /// Frees a large block that is claimed, after a time in which it is inaccessible. False if it is none: other code than the
    /// heap's own has freed it meanwhile.
    pub(crate) fn set_aside(&mut self, checked: &Checked, block: Span, address: usize) -> bool {
        let stands = self.spans.map.find(address) == Some(block);
        if !stands || !block.is(Kind::Large) || block.start() != address {
            return false;
        }
        let now = self.spans.brk.now();
        self.spans.begin_move(block);
        let sealed = Quarantine::admits(block.bytes()).then(|| self.seal(block)).flatten();
        let Some(zero) = sealed else {
            self.leave(checked, Waiting::new(block, false, now));
            return true;
        };
        // SAFETY: this is a turn in the central part, and the reference ends before the next.
        while let Some(waiting) = unsafe { checked.quarantine() }.next_due(block.bytes(), now) {
            self.reopen(checked, waiting);
        }
        // SAFETY: as above.
        unsafe { checked.quarantine() }.push(Waiting::new(block, zero, now));
        true
    }

    /// Makes a block inaccessible, and says whether its memory went back to the kernel; `None` if that was refused.
    fn seal(&mut self, block: Span) -> Option<bool> {
        let range = self.whole_pages(block)?;
        // SAFETY: a block that is not live any more; both ends are kernel page boundaries.
        let discarded = unsafe { self.spans.brk.discard(range.0, range.1) }.is_ok();
        // SAFETY: as above.
        if unsafe { self.spans.brk.seal(range.0, range.1) }.is_err() {
            // Where it consists of several mappings, some of them may be inaccessible now.
            // SAFETY: as above.
            let _ = unsafe { self.spans.brk.reopen(range.0, range.1) };
            return None;
        }
        Some(discarded && range.1 == block.bytes())
    }

    /// The kernel pages inside a block: where they begin, and their bytes.
    fn whole_pages(&self, block: Span) -> Option<(usize, usize)> {
        let kernel_page = self.spans.brk.page_size();
        let (start, end) = (block.start().next_multiple_of(kernel_page), block.end() & !(kernel_page - 1));
        (start < end).then_some((start, end - start))
    }

    /// Frees a block that has waited. If the kernel does not make it accessible again, it stays as it is for ever.
    fn reopen(&mut self, checked: &Checked, waiting: Waiting) {
        let Some((start, bytes)) = self.whole_pages(waiting.span) else { return };
        // SAFETY: sealed before, and the heap's.
        if unsafe { self.spans.brk.reopen(start, bytes) }.is_ok() {
            self.leave(checked, waiting);
        }
    }

    /// Frees a block that is not live, and its guard.
    fn leave(&mut self, checked: &Checked, waiting: Waiting) {
        if waiting.zero {
            self.free_guard(&checked.records, waiting.span);
            let free = self.spans.end_move_untouched(waiting.span);
            self.return_due(free);
        } else {
            self.finish_resize(waiting.span);
        }
    }

    /// Forgets a large block that is about to be freed, and frees the guard before it, if it has one.
    #[cold]
    #[inline(never)]
    pub(crate) fn free_guard(&mut self, records: &Records, block: Span) {
        let _ = records.at(block.start(), 0).map(Record::forget);
        if let Some((guard, record)) = guard_before(records, block) {
            record.forget();
            let free = self.spans.end_move(guard);
            self.return_due(free);
        }
    }

    /// The large block at `address`.
    pub(crate) fn large_at(&self, address: usize) -> Option<Room> {
        let span = self.spans.map.find(address)?;
        (span.is(Kind::Large) && span.start() == address).then(|| Room::of_span(span))
    }

    /// Tells the owner of the slot at `address` that others free its slots. False if it is in an operation that goes on for long,
    /// so that it may not know yet; not if the caller does not `wait` for that.
    pub(crate) fn share_slot_at(&mut self, address: usize, wait: bool) -> bool {
        let (Some(Live::Slot(slot)), Some(world)) = (self.admit(address), self.world()) else { return true };
        let owner = world.tier(slot.slab.owner_number()).filter(|owner| owner.number() != self.tier.number);
        let Some(owner) = owner.filter(|_| self.share(world, slot.slab) && wait) else { return true };
        let stopped = world.stop_one(owner, barrier::pass_all);
        if stopped {
            world.restore();
        }
        stopped || owner.is_parked()
    }

    /// Frees all blocks that wait. Whether there were any.
    pub(crate) fn empty_quarantine(&mut self, checked: &Checked) -> bool {
        let mut any = false;
        // SAFETY: this is a turn in the central part, and the reference ends before the next.
        while let Some(waiting) = unsafe { checked.quarantine() }.pop() {
            self.reopen(checked, waiting);
            any = true;
        }
        any
    }
}
