//! All calls in checked mode. They come here because no thread's tier is at hand then: `enter` finds none, and what is called
//! instead asks for the mode first.
//!
//! | file | what it is for |
//! |---|---|
//! | [`allocate`] | a block, verified and with its record |
//! | [`settle`] | making a slot that was handed out that block's |
//! | [`common`] | both calls, where nothing is wrong or out of the ordinary |
//! | [`callers`] | where blocks are allocated and freed, if that is asked for |
//! | [`free`] | verifying a block, filling it, freeing it |
//! | [`resize`] | the same for a block that stays or moves; its exact size |
//! | [`blame`] | which block bytes between two are said of |
//! | [`look`] | verifying all contents; what is said at exit |
//! | `death` | the same where a process ends in another way |
//!
//! Whoever takes a block from `Live` to `Busy` in its record has it alone, so contents are verified and filled outside of the
//! lock. Pointers themselves are decided as without this mode: what has no record, or one that says nothing, goes on as
//! there.

mod allocate;
mod blame;
mod callers;
mod common;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(super) mod death;
mod free;
mod look;
mod resize;
mod settle;

use super::Hmalloc;
use crate::central::spans::Watched;
use crate::checked::Checked;
use crate::checked::content::{EDGE, Room};
use crate::checked::options::Checks;
use crate::door::block::{Block, BlockState};
use crate::door::misuse::{Misuse, MisuseKind};
use crate::door::validate::admit_slot;
use crate::global::lock::Lock;
use crate::ground::company::if_checked;
use crate::ground::header::{Kind, Span};
use crate::ground::page_map::Lookup;
use crate::ground::pattern::{is_intact, is_last_intact};
use crate::ground::record::{Known, Record, State, UNKNOWN};
use crate::ground::size_class::MIN_ALIGN;
use crate::heap::Heap;
use crate::kernel::brk::Brk;
use crate::kernel::{seat, tasks};
use crate::tier::slot::Slot;
use crate::work::Work;
use core::alloc::Layout;

/// The bytes before a block that are looked at when it is freed, where no caller has them.
const NEAR: usize = 16;

/// What became of a free.
pub(super) enum Freed {
    Done,
    /// Nothing is known of such a block: it is freed as without this mode.
    Unchecked,
    Wrong(Misuse),
}

/// A block of which something may be known.
#[derive(Clone, Copy)]
struct Place<'a> {
    room: Room,
    record: &'a Record,
    /// That of the slot before it, if it is a slot.
    before: Option<&'a Record>,
    /// Whether the caller alone hands out slots there.
    owned: bool,
}

impl<'a> Place<'a> {
    #[inline(always)]
    fn of_slot(checked: &'a Checked, slot: Slot, address: usize, owned: bool) -> Option<Self> {
        let room = Room::of_slot(slot, address);
        let (record, before) = checked.records.with_before(slot.slab, slot.number())?;
        Some(Self { room, record, before, owned })
    }

    fn of_large(checked: &'a Checked, span: Span) -> Option<Self> {
        let record = checked.records.at(span.start(), 0)?;
        let known = matches!(record.load().state, State::Large | State::Busy | State::Damaged);
        known.then_some(Self { room: Room::of_span(span), record, before: None, owned: false })
    }

    /// The misuse of freeing it, or resizing it, again.
    #[cold]
    fn already_free(self) -> Misuse {
        let Room { start: address, bytes: size } = self.room;
        Misuse { kind: MisuseKind::AlreadyFree, address, found: Some(Block { address, size, state: BlockState::Free }) }
    }
}

/// Whether `layout` is exactly the one of a block. What names no layout names none that is wrong.
#[inline(always)]
fn is_layout_of(known: Known, layout: Option<Layout>) -> bool {
    layout.is_none_or(|layout| layout.size() == known.size && layout.align() == known.align)
}

#[cold]
fn wrong_layout(address: usize, size: usize) -> Misuse {
    let found = Some(Block { address, size, state: BlockState::Used });
    Misuse { kind: MisuseKind::WrongLayout, address, found }
}

/// What is wrong before a live block, if anything is: there the slot before it ends, which no caller has, or has up to some
/// byte before its last.
#[inline(always)]
fn damage_before(checked: &Checked, place: Place<'_>, known: Known) -> Option<Misuse> {
    let record = place.before?;
    // SAFETY: the slot before has this record.
    if unsafe { is_end_intact(checked, record, place.room, place.owned) } {
        return None;
    }
    blame::explain_before(checked, place, known, record.load())
}

/// Whether the slot before a block ends as its `record` says it should. `owned` says that the caller alone hands it out.
///
/// # Safety
///
/// There is a slot before the room, with this record.
#[inline(always)]
unsafe fn is_end_intact(checked: &Checked, record: &Record, behind: Room, owned: bool) -> bool {
    let start = behind.start - behind.bytes;
    let word = checked.secret.word(start);
    match record.state() {
        State::Empty | State::Damaged => true,
        // SAFETY: filled, as its record says; and what is free there stays free, as the caller alone hands it out.
        State::Edge if owned => unsafe { is_intact(start, behind.bytes - NEAR, behind.bytes, word) },
        // What a free block holds is that one's. Another thread may be at work there: the last byte stays what it is.
        // SAFETY: the last byte is filled whatever the slot's state is, and no caller's.
        _ => unsafe { is_last_intact(start, behind.bytes, word) },
    }
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// This heap in [checked mode](Checks), from its first block on. It costs a heap without it nothing.
    ///
    /// It has no effect where a heap takes no lock at all: [`single_threaded`](Hmalloc::single_threaded) does not compile with
    /// it. Without the cargo feature `checked`, which is on by default, it has no effect either.
    #[must_use]
    pub const fn with_checks(mut self, checks: Checks) -> Self {
        const { assert!(!L::ALONE, "a heap without a lock has no checked mode") };
        self.mode = crate::checked::mode::Mode::wanting(checks);
        self
    }

    /// Puts the heap in [checked mode](Checks), for the rest of the process. Blocks that were allocated before are not checked
    /// more than they were: their contents are not looked at. Returns whether the heap is in that mode now: not if there is no
    /// memory for it, if a thread has a [handle](Self::thread), if its requests [are sampled](Self::start_profile), or without the
    /// cargo feature `checked`.
    ///
    /// To be called at the start of `main`. Other threads wait as for [`stats`](Self::stats).
    ///
    /// ```
    /// use hmalloc::{Checks, Hmalloc};
    ///
    /// static HEAP: Hmalloc = Hmalloc::new();
    /// assert!(HEAP.set_checks(Checks::new()));
    /// ```
    pub fn set_checks(&self, checks: Checks) -> bool {
        if L::ALONE || !cfg!(feature = "checked") {
            return false;
        }
        if self.mode.wanted().is_some() {
            return self.checked().is_some();
        }
        self.while_stopped(|heap| {
            let handles = self.lock.world().is_some_and(|world| world.tiers().any(|own| own.is_of_handle()));
            // A sample has no record: it would be less than checked.
            if !handles && heap.spans.profiling.is_none() {
                self.mode.want(Some(checks));
                self.make_checked(heap, checks);
            }
        });
        self.mode.state().is_some()
    }

    /// What is kept for checked mode, if the heap is in it. The first call makes it.
    #[inline(always)]
    pub(super) fn checked(&self) -> Option<&'static Checked> {
        if L::ALONE {
            return None;
        }
        self.mode.state().or_else(|| self.mode.wanted().and_then(|checks| self.begin_checked(checks)))
    }

    #[cold]
    #[inline(never)]
    fn begin_checked(&self, checks: Checks) -> Option<&'static Checked> {
        let turn = self.begin()?;
        if self.mode.state().is_none() {
            // SAFETY: it is the caller's turn, and references into the cell never outlive a turn.
            self.make_checked(unsafe { &mut *self.heap.get() }, checks);
        }
        super::end(&self.lock, turn);
        self.mode.state()
    }

    /// Makes what checked mode needs, in the caller's turn. If there is no memory for it, the heap is not checked, and a line
    /// says so.
    fn make_checked(&self, heap: &mut Heap<B>, checks: Checks) {
        let checks = if checks.notes_callers() && !callers::begin() {
            crate::kernel::sys::write_to_stderr(b"hmalloc: no memory for callers: they are not noted\n");
            checks.without_callers()
        } else {
            checks
        };
        let made = heap.spans.map_for_threads(size_of::<Checked>()).map(|place| {
            let nothing = heap.spans.map_inaccessible(crate::checked::NOTHING_BYTES);
            // SAFETY: the mapping is new, zero, and stays.
            unsafe { Checked::make(place, checks, tasks::random(), nothing) }
        });
        match made {
            Ok(checked) => {
                heap.spans.watch = Some(Watched(checked));
                heap.spans.serve_records_of_all(&checked.records);
                self.mode.set_state(checked);
                crate::checked::faults::explain(checked);
                self.lock.offer(false);
            }
            Err(_) => {
                self.mode.want(None);
                self.lock.offer(true);
                crate::kernel::sys::write_to_stderr(b"hmalloc: no memory for checked mode: blocks are not checked\n");
            }
        }
    }

    /// The block that starts at `address`, if something may be known of it.
    #[inline]
    fn place_at<'a>(&self, checked: &'a Checked, address: usize) -> Option<Place<'a>> {
        if !address.is_multiple_of(MIN_ALIGN) {
            return None;
        }
        match self.enter_checked() {
            Some(mine) => {
                let place = place_in(checked, self.lookup(), address);
                mine.leave();
                place
            }
            None if self.interrupted().is_some() => place_in(checked, self.lookup(), address),
            None => self.in_center(None, |_| place_in(checked, self.lookup(), address)).flatten(),
        }
    }

    /// [`in_center`](Self::in_center), but nothing for a signal handler that has interrupted its own thread there, and would wait
    /// for ever. So this may answer nothing, and its callers go on all the same.
    fn unless_inside<R>(&self, use_heap: impl FnOnce(&mut Work<'_, B>) -> R) -> Option<R> {
        if let Some((_, true)) = self.interrupted() {
            return None;
        }
        self.in_center(None, use_heap)
    }

    /// The calling thread, as records name it.
    fn task(&self) -> u32 {
        let own = self.lock.world_of_threads().and_then(|world| world.table.find(seat::thread_pointer()));
        own.map_or(UNKNOWN, crate::threads::OwnTier::task)
    }

    /// Frees all large blocks that wait, because there is no other memory, or they are to be returned. Whether there were any.
    #[cold]
    #[inline(never)]
    pub(super) fn empty_quarantine(&self) -> bool {
        let Some(checked) = if_checked(self.mode.state()) else { return false };
        self.unless_inside(|work| work.empty_quarantine(checked)).unwrap_or(false)
    }
}

fn place_in<'a>(checked: &'a Checked, lookup: &Lookup, address: usize) -> Option<Place<'a>> {
    if let Some(slot) = admit_slot(lookup, address) {
        return Place::of_slot(checked, slot, address, false);
    }
    let span = lookup.find_below_break(address)?;
    if span.is(Kind::Large) && span.start() == address { Place::of_large(checked, span) } else { None }
}
