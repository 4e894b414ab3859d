//! The walk that counts. Every thread is stopped, but nothing is gathered: whose each slab is, is a part of the answer.

use super::end::{self, End};
use super::looker::Looker;
use super::{ClassShare, FreeRun, Kept, RUNS, Report, TIERS, TierShare, Trimmable};
use crate::central::spans::Spans;
use crate::door::block::BlockState;
use crate::door::validate::state_of;
use crate::ground::header::{Kind, PAGE, Slab, Span};
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::ground::units::UNIT;
use crate::kernel::brk::Brk;
use crate::look::blocks::SpanInfos;
use crate::look::stats::Stats;
use crate::threads::World;
use crate::tier::Tier;
use crate::tier::directory::TIERS_MAX;

/// A report of a heap, while nothing in it moves.
///
/// # Safety
///
/// The owners of all tiers are stopped.
pub(crate) unsafe fn report<B: Brk>(spans: &Spans<B>, common: &Tier, world: Option<&World>) -> Report {
    let looker = Looker { common, world };
    let mut report = empty(spans);
    look_at_tiers(&mut report, spans, looker);
    for span in spans.iter() {
        if let Some(slab) = span.as_slab() {
            count_slab(&mut report, slab, looker);
        } else if state_of(span) == BlockState::Free {
            count_run(&mut report, span, looker);
        }
    }
    let End { from, to, pin, movable } = end::of(spans, looker);
    report.end_bytes = to.map_or(0, |to| spans.map.end() - to);
    report.end_pin = pin.map(|span| looker.pin(span, true));
    report.kept.raised_by_others = !movable;
    report.region_count = spans.map.regions().iter().len();
    report.trim = Trimmable { by_break: if movable { report.end_bytes } else { 0 }, ..Trimmable::default() };
    end::look_at_regions(&mut report, spans, looker);
    end::look_at_discards(&mut report, spans, looker, from);
    report
}

#[cold]
#[inline(never)]
fn empty<B: Brk>(spans: &Spans<B>) -> Report {
    let (sums, marks) = (spans.sums(), spans.marks());
    let class = |index| ClassShare { slot: SizeClass::from_index(index).slot_size(), ..ClassShare::default() };
    Report {
        stats: Stats::of(spans, SpanInfos::new(spans.first)),
        run_count: 0,
        in_runs: 0,
        runs_dirty: 0,
        in_slabs: 0,
        end_bytes: 0,
        end_pin: None,
        region_count: 0,
        idle_regions: 0,
        trim: Trimmable::default(),
        kept: Kept {
            dirty_bytes: sums.dirty * PAGE,
            mark: marks.limit * PAGE,
            draining: marks.draining,
            refused_bytes: marks.stuck.min(sums.dirty) * PAGE,
            huge_pages: spans.has_huge_pages,
            ..Kept::default()
        },
        tier_count: 0,
        runs: [None; RUNS],
        classes: core::array::from_fn::<_, CLASSES, _>(class),
        tiers: [TierShare::default(); TIERS],
        other_tiers: TierShare::default(),
    }
}

/// Chooses the tiers that are described: by the bytes of their slabs, which take a walk of their own.
#[cold]
#[inline(never)]
fn look_at_tiers<B: Brk>(report: &mut Report, spans: &Spans<B>, looker: Looker<'_>) {
    let mut pages = [0_u32; TIERS_MAX + 1];
    for slab in spans.iter().filter_map(Span::as_slab) {
        pages[usize::from(slab.owner_number()).min(TIERS_MAX)] += slab.span().page_count() as u32;
    }
    report.tier_count = pages.iter().filter(|&&pages| pages > 0).count();
    for tier in report.tiers.iter_mut().take(report.tier_count) {
        let most = pages.iter().enumerate().max_by_key(|&(number, &pages)| (pages, TIERS_MAX - number));
        let number = most.map_or(0, |(number, _)| number);
        (tier.number, tier.owner) = (number, looker.owner(number));
        pages[number] = 0;
    }
}

#[cold]
#[inline(never)]
fn count_slab(report: &mut Report, slab: Slab, looker: Looker<'_>) {
    let (bytes, slot, live) = (slab.span().bytes(), slab.slot_size(), looker.live(slab));
    let (free, pending) = (bytes - live * slot, slab.live_slots() - live);
    let empty = if live == 0 { bytes } else { 0 };
    // What stands in the statistics as live, because the owner has not seen that it was freed.
    report.stats.live_blocks -= pending;
    report.stats.live_bytes -= pending * slot;
    report.stats.free_bytes += pending * slot;
    report.in_slabs += free;
    report.kept.empty_slabs += usize::from(live == 0);
    report.kept.empty_bytes += empty;
    let class = &mut report.classes[slab.size_class().index()];
    class.slabs += 1;
    class.bytes += bytes;
    class.live_blocks += live;
    class.free_bytes += free;
    class.dirty_bytes += looker.dirty_units(slab).count_ones() as usize * UNIT;
    class.empty_slabs += usize::from(live == 0);
    class.empty_bytes += empty;
    let number = usize::from(slab.owner_number());
    let chosen = report.tiers.iter_mut().take(report.tier_count).find(|tier| tier.number == number);
    let tier = chosen.unwrap_or(&mut report.other_tiers);
    tier.slabs += 1;
    tier.bytes += bytes;
    tier.live_blocks += live;
    tier.live_bytes += live * slot;
    tier.empty_bytes += empty;
    tier.freed_by_others += pending;
}

#[cold]
#[inline(never)]
fn count_run(report: &mut Report, span: Span, looker: Looker<'_>) {
    report.in_runs += span.bytes();
    if !span.is(Kind::Free) {
        return;
    }
    report.run_count += 1;
    report.runs_dirty += span.dirty_pages() * PAGE;
    let (address, bytes) = (span.start(), span.bytes());
    let after = report.runs.iter().take_while(|run| run.is_some_and(|run| run.bytes >= bytes)).count();
    if after == RUNS {
        return;
    }
    let below = span.prev().filter(|below| below.end() == address).map(|below| looker.pin(below, true));
    let above = span.next().filter(|above| above.start() == span.end()).map(|above| looker.pin(above, false));
    report.runs[after..].rotate_right(1);
    report.runs[after] = Some(FreeRun { address, bytes, dirty_bytes: span.dirty_pages() * PAGE, below, above });
}
