//! Walks the whole heap and asserts the invariants I1..I16 of `src/README.md`, allocating nothing.
//!
//! Each function asserts the invariants that its comment names. Later functions rely on what earlier ones have
//! established, to follow links safely; so the walk ends at the first corruption, and reports it.

use crate::central::known::Known;
use crate::central::spans::Spans;
pub(crate) use crate::ground::corrupt::Corruption;
use crate::ground::header::{Kind, MAX_SLOTS, PAGE, Place, Slab, Span};
use crate::ground::list::Linked;
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::ground::units::{MAX_UNITS, UNIT};
use crate::kernel::brk::Brk;
use crate::tier::Tier;
use crate::tier::class::{FREES_MAX, NEVER};
use crate::tier::units::slots_of_word;

fn ensure(holds: bool, invariant: u8, address: usize) -> Result<(), Corruption> {
    if holds { Ok(()) } else { Err(Corruption { invariant, address }) }
}

pub(crate) fn check<B: Brk>(spans: &Spans<B>, tier: &Tier) -> Result<(), Corruption> {
    walkable(spans)?;
    free_spans(spans)?;
    index::index(spans)?;
    for span in spans.iter() {
        page_map(spans, span)?;
        match span.as_slab() {
            Some(slab) => constants_and_bits(slab)?,
            None => ensure(span.reciprocal() == 0, 13, span.start())?,
        }
    }
    let untrue = spans.map.untrue_handle();
    ensure(untrue.is_none(), 5, untrue.unwrap_or(0))?;
    for index in 0..CLASSES {
        claimed_word(spans, tier, SizeClass::from_index(index))?;
    }
    empties(spans, tier)?;
    lists(spans, tier)?;
    counters(spans, tier)
}

/// I1, I2, I11, I15 and I16: the links from span to span can be followed. That holds whatever tier each slab is of.
pub(crate) fn walkable<B: Brk>(spans: &Spans<B>) -> Result<(), Corruption> {
    in_memory(spans)?;
    ensure(spans.map.stands(), 2, spans.map.base().unwrap_or(0))?;
    tiling(spans)?;
    ends(spans)
}

/// I1 and I2. Every link is checked before it is followed: the next span must start at the end of this one, or at the
/// start of a later region or of the heap, and be that page's own record.
fn tiling<B>(spans: &Spans<B>) -> Result<(), Corruption> {
    let (mut expected, mut previous, mut next) = (area_from(spans, 0), None, spans.first);
    while let Some((start, end)) = expected {
        let mut at = start;
        while at < end {
            let Some(span) = next else { return Err(Corruption { invariant: 1, address: at }) };
            // The page map has no span here if the previous one is too short, and another record if the link is wrong.
            let strayed = if spans.map.find(at).is_none() { 1 } else { 2 };
            ensure(span == spans.map.record(at), strayed, at)?;
            ensure(span.start() == at && span.page_count() > 0 && span.end() <= end, 1, at)?;
            ensure(span.prev() == previous, 1, at)?;
            (at, previous, next) = (span.end(), next, span.next());
        }
        expected = area_from(spans, end);
    }
    ensure(next.is_none(), 1, next.map_or(0, Span::address))
}

/// The first stretch of pages at or above `address`: the heap between its base and its end, or a region.
fn area_from<B>(spans: &Spans<B>, address: usize) -> Option<(usize, usize)> {
    let regions = spans.map.regions().iter().map(|region| (region.start, region.end()));
    let heap = spans.map.base().map(|base| (base, spans.map.end()));
    regions.chain(heap).filter(|&(start, _)| start >= address).min()
}

/// I16, before anything is read that may be gone. If the kernel does not say where the break is, I16 is taken to hold.
fn in_memory<B: Brk>(spans: &Spans<B>) -> Result<(), Corruption> {
    let Some(end) = spans.map.base().map(|_| spans.map.end()) else { return Ok(()) };
    ensure(spans.brk.query().map_or(true, |break_now| end <= break_now), 16, end)
}

/// I11 and I15.
fn ends<B>(spans: &Spans<B>) -> Result<(), Corruption> {
    let base = spans.map.base();
    let starts = spans.map.regions().iter().map(|region| region.start).chain(base);
    for start in starts {
        ensure(spans.map.record(start).is(Kind::Metadata), 15, start)?;
    }
    let end = base.map(|_| spans.map.end());
    ensure(spans.last.is_none_or(|last| spans.map.is_record(last)), 11, spans.last.map_or(0, Span::address))?;
    ensure(spans.last.map(Span::end) == end, 11, end.unwrap_or(0))?;
    ensure(spans.top == spans.last.filter(|last| last.is(Kind::Free)), 11, end.unwrap_or(0))
}

/// I3 and I14.
fn free_spans<B>(spans: &Spans<B>) -> Result<(), Corruption> {
    for span in spans.iter().filter(|span| span.is(Kind::Free)) {
        let start = span.start();
        let neighbour = span.next().filter(|next| next.is(Kind::Free) && next.start() == span.end());
        ensure(neighbour.is_none(), 3, start)?;
        let known = Known::of(span);
        ensure(known.is_sound(), 14, start)?;
        for page in (0..known.front).chain(known.pages - known.end..known.pages) {
            ensure(first_word(start + page * PAGE) == 0, 14, start + page * PAGE)?;
        }
    }
    Ok(())
}

/// The first bytes of a free page or unit.
fn first_word(address: usize) -> u64 {
    // SAFETY: it belongs to the heap (I1), is free, and is known to be initialised with zeros; the heap is borrowed, so
    // nothing writes to it now.
    unsafe { core::ptr::with_exposed_provenance::<u64>(address).read() }
}

/// I5, for the pages of a span.
fn page_map<B>(spans: &Spans<B>, span: Span) -> Result<(), Corruption> {
    for page in 0..span.page_count() {
        let address = span.start() + page * PAGE;
        let leads = page == 0 || span.is(Kind::Slab) || (span.is_sampled() && page <= span.sample_lead());
        let owner = if leads { Some(span) } else { None };
        ensure(spans.map.find(address) == owner, 5, address)?;
    }
    Ok(())
}

/// I6 and I7.
fn constants_and_bits(slab: Slab) -> Result<(), Corruption> {
    let (start, bytes, class) = (slab.start(), slab.span().bytes(), slab.size_class());
    let capacity = bytes / class.slot_size();
    ensure(bytes <= MAX_SLOTS * class.slot_size(), 6, start)?;
    ensure(slab.span().reciprocal() == class.reciprocal() && slab.capacity() == capacity, 6, start)?;
    ensure((slab.slot_size(), slab.slack_max()) == (class.slot_size(), class.slack_max()), 6, start)?;
    let mut live = 0;
    for (index, word) in slab.live().iter().map(crate::ground::shared::SharedBits::get).enumerate() {
        ensure(word & !slots_of_word(slab.opened(), index) == 0, 7, start)?;
        live += word.count_ones() as usize;
    }
    let free = slab.counted_free().unwrap_or(capacity - live);
    ensure(live + free == capacity && slab.opened() <= capacity, 7, start)?;
    zero_units(slab)
}

/// I14, for a slab.
fn zero_units(slab: Slab) -> Result<(), Corruption> {
    let (start, zero) = (slab.start(), slab.zero_units());
    ensure(slab.span().page_count() <= MAX_UNITS * UNIT / PAGE, 14, start)?;
    ensure(zero & !slab.units() == 0 && zero & slab.live_units() == 0, 14, start)?;
    for unit in (0..MAX_UNITS).filter(|unit| zero >> unit & 1 == 1) {
        ensure(first_word(start + unit * UNIT) == 0, 14, start + unit * UNIT)?;
    }
    Ok(())
}

/// I8.
fn claimed_word<B>(spans: &Spans<B>, tier: &Tier, size_class: SizeClass) -> Result<(), Corruption> {
    let class = &tier.classes[size_class.index()];
    let Some(slab) = class.slab else { return ensure(class.word == 0, 8, class.base) };
    ensure(spans.map.is_record(slab.span()), 8, slab.address())?;
    let start = slab.start();
    ensure(slab.span().is(Kind::Slab) && slab.size_class() == size_class, 8, start)?;
    if class.word == 0 {
        return Ok(());
    }
    let live = slab.live();
    let Some(index) = live.iter().position(|word| core::ptr::from_ref(word) == class.live) else {
        return Err(Corruption { invariant: 8, address: start });
    };
    let slots = slots_of_word(slab.opened(), index);
    ensure(class.word & !slots == 0 && class.word & live[index].get() == 0, 8, start)?;
    ensure(slab.units_of_word(index, class.word) & slab.zero_units() == 0, 14, start)?;
    ensure(class.slot_size as usize == size_class.slot_size(), 8, start)?;
    let first = class.base + class.word.trailing_zeros() as usize * class.slot_size as usize;
    ensure(class.base == start + index * 64 * class.slot_size as usize && class.next_slot == first, 8, start)
}

/// Whether a slab stands where its place says, for what can be seen without the lists.
fn is_in_its_place(tier: &Tier, slab: Slab) -> bool {
    let until_review = slab.until_review();
    let current = tier.classes[slab.size_class().index()].slab == Some(slab);
    match slab.place() {
        Place::Current => current && until_review >= (NEVER - FREES_MAX).into(),
        Place::Full | Place::Spent | Place::Listed => !current && until_review > 0 && until_review <= slab.capacity(),
        Place::Empty => !current,
    }
}

/// I9: each slab stands where its place says, and the lists hold exactly the listed and empty ones.
fn lists<B>(spans: &Spans<B>, tier: &Tier) -> Result<(), Corruption> {
    let mut listed = 0;
    for slab in spans.iter().filter_map(Span::as_slab) {
        ensure(is_in_its_place(tier, slab), 9, slab.start())?;
        listed += slab.is_listed() as usize;
    }
    let mut found = 0;
    for index in 0..CLASSES {
        let (mut previous, mut next) = (None, tier.classes[index].listed);
        while let Some(slab) = next {
            found += 1;
            ensure(spans.map.is_record(slab.span()), 9, slab.address())?;
            let sound = slab.span().is(Kind::Slab)
                && slab.is_listed()
                && slab.links().left.get() == previous
                && slab.size_class().index() == index;
            ensure(sound && found <= listed, 9, slab.start())?;
            (previous, next) = (next, slab.links().right.get());
        }
    }
    ensure(found == listed, 9, 0)
}

/// I10, both ways; that empty slabs are listed, too, is asserted with the lists.
fn empties<B>(spans: &Spans<B>, tier: &Tier) -> Result<(), Corruption> {
    for (index, empty) in tier.empties.all().iter().enumerate() {
        let Some(slab) = *empty else { return Err(Corruption { invariant: 10, address: 0 }) };
        ensure(spans.map.is_record(slab.span()), 10, slab.address())?;
        let sound = slab.span().is(Kind::Slab) && slab.place() == Place::Empty && slab.live_slots() == 0;
        ensure(sound && !tier.empties.all()[..index].contains(empty), 10, slab.start())?;
    }
    let mut empty = spans.iter().filter_map(Span::as_slab).filter(|slab| slab.place() == Place::Empty);
    let forgotten = empty.find(|&slab| !tier.empties.all().contains(&Some(slab)));
    ensure(forgotten.is_none(), 10, forgotten.map_or(0, Slab::start))?;
    let pages: usize = tier.empties.all().iter().flatten().map(|slab| slab.span().page_count()).sum();
    ensure(pages == tier.empties.pages as usize, 10, 0)
}

/// I12.
fn counters<B>(spans: &Spans<B>, tier: &Tier) -> Result<(), Corruption> {
    let foreign: usize = spans.iter().filter(|span| span.is(Kind::Foreign)).map(Span::page_count).sum();
    let regions: usize = spans.map.regions().iter().map(|region| region.pages).sum();
    let mut slab_pages = [0; CLASSES];
    for slab in spans.iter().filter_map(Span::as_slab) {
        slab_pages[slab.size_class().index()] += slab.span().page_count();
    }
    let held = tier.classes.iter().map(|class| class.pages as usize);
    ensure(held.eq(slab_pages), 12, 0)?;
    let counters = &spans.counters;
    ensure(foreign == counters.foreign_pages && regions == counters.region_pages, 12, 0)?;
    ensure(slab_pages.iter().sum::<usize>() == counters.slab_pages, 12, 0)?;
    let free = || spans.iter().filter(|span| span.is(Kind::Free));
    let sums = (free().map(Span::page_count).sum(), free().map(Span::dirty_pages).sum());
    ensure(sums == spans.free_pages(), 12, 0)?;
    ensure(counters.peak_bytes >= spans.heap_bytes(), 12, 0)
}

mod index;
#[cfg(test)]
mod tests;
