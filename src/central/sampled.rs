//! Spans of sampled blocks: each has one of its own, so that freeing it is nothing that common calls have to ask about. Some have
//! inaccessible pages around them, and are kept inaccessible for a while when they are freed.

use crate::central::spans::Spans;
use crate::ground::company::if_threads;
use crate::ground::header::{PAGE, Shot, Span};
use crate::ground::profiling::{Profiling, Unnamed};
use crate::kernel::brk::Brk;
use crate::kernel::tasks;

impl<B> Spans<B> {
    /// What sampling works with, if requests are sampled.
    #[inline]
    pub(crate) fn profiling(&self) -> Option<Profiling> {
        if_threads(self.profiling)
    }

    /// Makes a large span that of a sampled block. The pages up to that of its payload lead to it from now on (I5).
    pub(crate) fn make_sampled(&mut self, span: Span, shot: Shot) {
        self.verify(span);
        span.begin_sample(shot);
        self.lead_to(span, Some(span));
    }

    /// Makes the span of a sampled block a large one again, and counts the block as freed.
    pub(crate) fn unmake_sampled(&mut self, span: Span) {
        self.verify(span);
        self.count_freed(span);
        self.lead_to(span, None);
        span.end_sample();
    }

    fn lead_to(&mut self, span: Span, owner: Option<Span>) {
        self.map.set_run(span.start() + PAGE, span.sample_lead(), owner);
    }

    /// Counts a sampled block as freed, if it was counted as allocated.
    pub(crate) fn count_freed(&mut self, span: Span) {
        if span.end_count()
            && let Some(profiling) = self.profiling()
        {
            profiling.sites.count_freed(span.counted());
        }
    }

    /// Adds a stack to what is known of a block.
    pub(crate) fn name_sampled(&mut self, unnamed: Unnamed, stack: &[usize]) {
        let Some(Profiling { sites, guards }) = self.profiling() else { return };
        match unnamed {
            Unnamed::Allocated(payload) => {
                let Some(span) = self.map.find(payload).filter(|span| span.sample_at(payload)) else { return };
                let site = sites.find(stack);
                span.set_site(site);
                sites.count_allocated(span.counted());
                if let Some((guards, number)) = guards.zip(span.guard()) {
                    guards.note_site(number, false, site);
                }
            }
            Unnamed::Freed(number, start) => {
                // Another thread may have freed so many since that it was given up.
                let still = self.map.find(start).is_some_and(|span| span.is_sampled() && span.guard() == Some(number));
                if let Some(guards) = guards.filter(|_| still) {
                    guards.note_site(number, true, sites.find(stack));
                }
            }
        }
    }
}

impl<B: Brk> Spans<B> {
    /// Makes the pages of a span inaccessible around `bytes` bytes, which start at its second kernel page, and notes the block
    /// there. `Err` if the kernel refuses, or too many blocks are guarded: with the span as it was, or with nothing if some of
    /// it stays inaccessible. Such a span is never used again.
    pub(crate) fn guard(&mut self, span: Span, bytes: usize, payload: usize, size: usize) -> Result<u32, Option<Span>> {
        let guards = self.profiling().and_then(|profiling| profiling.guards).ok_or(Some(span))?;
        let (start, end, kernel_page) = (span.start(), span.end(), self.brk.page_size());
        let number = guards.enter(start..end, payload, size, tasks::thread_id()).ok_or(Some(span))?;
        let after = start + kernel_page + bytes;
        // SAFETY: new, and not handed out yet.
        let before = unsafe { self.brk.seal(start, kernel_page) }.is_ok();
        // SAFETY: as above.
        if before && unsafe { self.brk.seal(after, end - after) }.is_ok() {
            return Ok(number);
        }
        guards.forget(number);
        if before && !self.open_again(span) {
            self.begin_move(span);
            return Err(None);
        }
        Err(Some(span))
    }

    /// Makes a span accessible. False if the kernel refuses.
    fn open_again(&mut self, span: Span) -> bool {
        // SAFETY: nothing in it is used.
        unsafe { self.brk.reopen(span.start(), span.bytes()) }.is_ok()
    }

    /// Keeps the span of a guarded block, which is freed, inaccessible. Returns another one that was freed before and is to be
    /// freed now; or this one, if it cannot be kept.
    pub(crate) fn hold(&mut self, span: Span, number: u32) -> Option<Span> {
        self.verify(span);
        let guards = self.profiling()?.guards?;
        self.count_freed(span);
        span.hold();
        // SAFETY: the block is freed. Refused, it only is accessible.
        let _ = unsafe { self.brk.seal(span.start(), span.bytes()) };
        let given_up = guards.hold(number, tasks::thread_id())?;
        self.reopened(given_up)
    }

    /// Gives up the block that was freed first, if one is kept.
    pub(crate) fn give_up_held(&mut self) -> Option<Span> {
        let start = self.profiling()?.guards?.give_up()?;
        self.reopened(start)
    }

    /// The span at `start`, accessible again, and as a large one. Where the kernel refuses that, it stays what it is.
    fn reopened(&mut self, start: usize) -> Option<Span> {
        let span = self.map.find(start).filter(|span| span.is_sampled())?;
        if !self.open_again(span) {
            return None;
        }
        self.unmake_sampled(span);
        Some(span)
    }
}
