//! How far the break could be lowered, and what else a trim would return: the same decisions as a [trim](crate::Heap::trim)
//! makes, without their effects.

use super::Report;
use super::looker::{Looker, is_kept};
use crate::central::known::Known;
use crate::central::spans::Spans;
use crate::ground::header::{Kind, PAGE, Span};
use crate::ground::units::UNIT;
use crate::kernel::brk::Brk;
use crate::tier::trim::units_to_discard;

/// Where the used part of the heap ends.
pub(super) struct End {
    /// From here to the heap's end nothing is left to discard: the break is lowered over it, or it is free and at the top.
    pub(super) from: usize,
    /// Where the break would be after a trim. `None` in a heap that was never used.
    pub(super) to: Option<usize>,
    /// What lies below.
    pub(super) pin: Option<Span>,
    /// Whether the break stands at the heap's end, so that it can be lowered.
    pub(super) movable: bool,
}

/// As [`end_of_used`](Spans::end_of_used) says it once empty slabs are retired.
pub(super) fn of<B: Brk>(spans: &Spans<B>, looker: Looker<'_>) -> End {
    let (Some(base), Some(mut pin)) = (spans.map.base(), spans.last) else {
        return End { from: usize::MAX, to: None, pin: None, movable: true };
    };
    let movable = spans.brk.query() == Ok(spans.map.end());
    let end = spans.map.end();
    // Of what is free at the end nothing is discarded, whether the break can be lowered over it or not.
    let mut from = free_from(Some(pin), end, looker);
    let top = from;
    while looker.is_idle(pin) || pin.is(Kind::Metadata) && pin.start() != base {
        from = pin.start();
        // The storage of leaf 0, at the heap's start, always stays.
        match pin.prev() {
            Some(prev) => pin = prev,
            None => break,
        }
    }
    let fenced = pin.is(Kind::Foreign) && from < end;
    let to = match pin {
        pin if pin.is(Kind::Metadata) => spans.map.least_end(spans.brk.page_size()).min(end),
        // Down to where the other user has left the break.
        pin if fenced => pin.foreign_end(),
        _ => from,
    };
    let from = match movable {
        // The heap ends below a fence then.
        true if fenced => free_from(pin.prev(), pin.start(), looker),
        true => from,
        false => top,
    };
    End { from, to: Some(to), pin: Some(pin), movable }
}

/// Where the free memory begins that ends with `last`, or at `end`.
fn free_from(mut last: Option<Span>, end: usize, looker: Looker<'_>) -> usize {
    let mut from = end;
    while let Some(span) = last.filter(|&span| looker.is_idle(span) && span.end() == from) {
        (from, last) = (span.start(), span.prev());
    }
    from
}

/// The regions that a trim would unmap.
pub(super) fn look_at_regions<B: Brk>(report: &mut Report, spans: &Spans<B>, looker: Looker<'_>) {
    for region in spans.map.regions().iter() {
        if is_idle(spans, looker, region.start, region.end()) {
            report.idle_regions += 1;
            report.trim.by_regions += region.pages * PAGE;
        }
    }
}

/// Whether nothing is live between two addresses of a region.
fn is_idle<B: Brk>(spans: &Spans<B>, looker: Looker<'_>, start: usize, end: usize) -> bool {
    let mut span = spans.map.find(start).and_then(Span::next);
    while let Some(here) = span.filter(|here| here.start() > start && here.start() < end) {
        if !looker.is_idle(here) {
            return false;
        }
        span = here.next();
    }
    true
}

/// What a trim would discard of what stays: `from` is where the heap would end.
pub(super) fn look_at_discards<B: Brk>(report: &mut Report, spans: &Spans<B>, looker: Looker<'_>, from: usize) {
    let kernel_page = spans.brk.page_size();
    for span in spans.iter() {
        let in_region = spans.map.regions().iter().find(|region| (region.start..region.end()).contains(&span.start()));
        let gone = match in_region {
            Some(region) => is_idle(spans, looker, region.start, region.end()),
            None => span.start() >= from,
        };
        if gone {
            continue;
        }
        if span.is(Kind::Free) {
            report.trim.in_runs += discardable(Known::of(span), span, kernel_page);
        } else if is_kept(span) {
            report.trim.in_runs += span.bytes();
        } else if let Some(slab) = span.as_slab() {
            if looker.live(slab) == 0 {
                report.trim.in_runs += Known::of_units(span.page_count(), !looker.dirty_units(slab)).dirty * PAGE;
            } else {
                let units = units_to_discard(slab, kernel_page) & looker.dirty_units(slab);
                report.trim.in_slabs += units.count_ones() as usize * UNIT;
            }
        }
    }
}

/// Bytes of dirty pages of a free span that lie in whole kernel pages.
fn discardable(known: Known, free: Span, kernel_page: usize) -> usize {
    let range = free.to_discard(usize::MAX, kernel_page);
    if known.middle() == 0 || range.is_empty() {
        return 0;
    }
    let after = known.without((range.start - free.start()).div_ceil(PAGE), (range.end - free.start()) / PAGE);
    (known.dirty - after.dirty) * PAGE
}
