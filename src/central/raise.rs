//! Raising the break, which lengthens the top: the free span at the heap's end.
//!
//! The kernel is asked first, and the spans change only once it has agreed, so a refusal leaves the heap as it was.
//!
//! ```text
//! raising when the break is ours                 raising when another user has moved it
//!  ------+-----------+                            ------+-----------+
//!   used | top       |  break                      used | free      |  end      break
//!  ------+-----------+                            ------+-----------+- - - - - -+
//!  ------+-----------+-----------+                ------+-----------+-----------+----------+
//!   used | top                   |  break          used | free      | foreign   | top      |  break
//!  ------+-----------------------+                ------+-----------+-----------+----------+
//! ```
//!
//! If the page map needs another leaf in line, its metadata pages come right before the new free pages.
//!
//! The heap asks for more than it needs, by a step. Near a limit the kernel refuses that; then the step is halved until
//! it is granted, and the next raise begins with the granted step.

mod apply;
mod plan;

use crate::central::huge::{HUGE, HUGE_FROM};
use crate::central::spans::Spans;
use crate::central::wish::Wish;
use crate::ground::header::PAGE;
use crate::kernel::brk::{Brk, Refused};
use crate::kernel::parts::{LIMITS, MAPPINGS, RETURNS};
use plan::Raise;

/// How many times in a row another user may move the break between our query and our raise before we stop trying.
const OUTRUN_MAX: usize = 100;

/// Where the pages for which the break is raised may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Anywhere above the old end.
    Anywhere,
    /// Right after the heap's old last page; otherwise the break is not moved.
    Adjacent,
}

impl<B: Brk> Spans<B> {
    /// [`Brk::move_break`], counted.
    ///
    /// # Safety
    ///
    /// As for [`Brk::move_break`].
    pub(crate) unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        self.counters.brk_calls += 1;
        // SAFETY: the caller's promise.
        unsafe { self.brk.move_break(from, to) }
    }

    /// Raises the break until the top has at least `pages` pages.
    pub(crate) fn raise(&mut self, pages: usize, at: Where) -> Result<(), Refused> {
        if !MAPPINGS {
            return self.raise_alone(pages, at);
        }
        if RETURNS && self.thrift.again.is_open() {
            self.decide_growth();
        }
        if RETURNS && self.heap_pages() < HUGE_FROM {
            self.pace.note(self.heap_pages(), || self.brk.now());
        }
        for _ in 0..OUTRUN_MAX {
            let from = self.handle_lowered_break(self.brk.query()?)?;
            if self.raise_from(from, pages, at).is_ok() {
                return Ok(());
            }
            // Refused by the kernel, or did another user move the break meanwhile?
            if self.brk.query() == Ok(from) {
                break;
            }
        }
        Err(Refused)
    }

    /// The same where the break has to be the heap's alone: once another user has moved it, nothing is raised any more.
    fn raise_alone(&mut self, pages: usize, at: Where) -> Result<(), Refused> {
        let from = self.brk.query()?;
        if self.map.base().is_none() || self.is_end(from) { self.raise_from(from, pages, at) } else { Err(Refused) }
    }

    fn raise_from(&mut self, from: usize, pages: usize, at: Where) -> Result<(), Refused> {
        let need = self.need(from, pages).ok_or(Refused)?;
        let aside_from =
            self.map.first_aside(need.first.saturating_add(need.missing), at == Where::Adjacent, &mut self.brk);
        let first_step = self.wish.step(self.heap_pages());
        let (mut step, mut refused) = (first_step, None);
        loop {
            let raise = self.plan_raise(&need, step, aside_from);
            let raise = raise.filter(|raise| at == Where::Anywhere || raise.borders_on_old);
            // A shorter step can end at the same address, which is not tried twice.
            if let Some(raise) = raise.filter(|raise| refused != Some(raise.to)) {
                if self.try_raise(&raise, pages).is_ok() {
                    self.wish.note(step, refused.is_some());
                    return Ok(());
                }
                refused = Some(raise.to);
            }
            if step == 0 {
                break;
            }
            step = if LIMITS { Wish::shorter(step, need.missing) } else { 0 };
        }
        // If the need alone exceeds a step, its refusal says nothing about steps.
        if refused.is_some() && need.missing < first_step {
            self.wish.note(0, true);
        }
        Err(Refused)
    }

    /// Maps the metadata aside that the raise needs, then raises the break.
    fn try_raise(&mut self, raise: &Raise, pages: usize) -> Result<(), Refused> {
        let all = (raise.to - raise.base) / PAGE;
        let calls = &mut self.counters.brk_calls;
        let raised = self.map.grow_aside(all, raise.aside_from, &mut self.brk, |brk| {
            *calls += 1;
            // SAFETY: raising takes nothing away.
            unsafe { brk.move_break(raise.from, raise.to) }
        });
        // If the kernel refuses to unmap what was mapped aside, it stays, and counts.
        raised.inspect_err(|_| self.note_peak())?;
        if self.grows_by_huge_pages(pages) {
            self.expect_use(raise.start, raise.to);
        }
        self.apply_raise(raise);
        Ok(())
    }

    /// Decides how the heap grows after it has returned memory. Once it is by huge pages, asks for them in the top, too, most of which
    /// has been returned if not all of it.
    #[cold]
    #[inline(never)]
    pub(crate) fn decide_growth(&mut self) {
        let end = self.top.map_or(self.map.end(), |top| top.start());
        if !self.thrift.again.is_on_trial() {
            self.thrift.decide_growth(self.brk.now(), end);
            return;
        }
        let Some(looks) = self.thrift.again.looks(end) else { return };
        let page = self.brk.page_size();
        let held = looks.filter(|address| self.brk.is_resident(address & !(page - 1))).count();
        if self.thrift.end_trial(held, self.brk.now())
            && let Some(top) = self.top
        {
            self.expect_use(top.start(), top.end());
        }
    }

    /// Asks for huge pages in what was just added.
    fn expect_use(&mut self, start: usize, end: usize) {
        let (start, end) = (start.next_multiple_of(HUGE), end & !(HUGE - 1));
        if start < end {
            self.has_huge_pages = true;
            self.brk.expect_use(start, end - start);
        }
    }

    /// Updates the peak.
    pub(crate) fn note_peak(&mut self) {
        self.counters.peak_bytes = self.counters.peak_bytes.max(self.heap_bytes());
    }
}

/// Makes a guard of metadata inaccessible. If that is refused, the guard still keeps a distance between metadata and a
/// write past the end of a block.
///
/// # Safety
///
/// The range belongs to the heap, its ends are kernel page boundaries, and nothing uses it as long as its metadata
/// stands.
pub(crate) unsafe fn seal(brk: &mut impl Brk, guard: core::ops::Range<usize>) {
    if MAPPINGS && !guard.is_empty() {
        // SAFETY: the caller's promise.
        let _ = unsafe { brk.seal(guard.start, guard.len()) };
    }
}
