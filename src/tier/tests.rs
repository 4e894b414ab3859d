//! Tests of one size class at a time: how much is opened, and that no slot is lost or handed out twice.

use super::*;
use crate::door::misuse::MisuseKind;
use crate::ground::header::{PAGE, Span};
use crate::ground::list::Linked;
use crate::heap::Heap;
use crate::kernel::brk::Emulated;
use crate::tier::class::{RELIST_FRACTION, SWEEPS_MAX, TOUCHED_BYTES};
use crate::tier::slot::Slot;
use core::alloc::Layout;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec::Vec;

/// Whether an interpreter runs the tests; it has time for a fraction of them only.
const SLOW: bool = cfg!(miri);

/// The sizes for a test, or the first of them.
fn some<const N: usize>(sizes: [usize; N]) -> impl Iterator<Item = usize> {
    sizes.into_iter().take(if SLOW { 1 } else { N })
}

type Subject<'a> = Heap<Emulated<'a>>;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a small layout")
}

fn get(heap: &mut Subject<'_>, size: usize) -> Option<usize> {
    heap.allocate(layout(size)).ok().map(|payload| payload.addr().get())
}

fn free(heap: &mut Subject<'_>, address: usize) -> Result<(), MisuseKind> {
    let payload = core::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the tests never use what is in a block.
    unsafe { heap.free(payload) }.map_err(|misuse| misuse.kind)
}

fn current(heap: &Subject<'_>, size: usize) -> Slab {
    let class = SizeClass::of_size(size).expect("a small size");
    heap.tier.classes[class.index()].slab.expect("the class has a slab")
}

/// What was handed out in any order is not known to be zero when the class gives back the rest of its word (I14).
#[test]
fn slots_in_any_order_are_not_known_to_be_zero() {
    for size in some([1024, 2048, 512]) {
        let class = SizeClass::of_size(size).expect("a small size");
        let mut arena = Box::new_uninit_slice(1 << 20);
        let mut heap = Heap::new(Emulated::new(&mut arena));
        for seed in 0..if SLOW { 8 } else { 64 } {
            get(&mut heap, size).expect("room");
            heap.tier.pop_any(class, seed);
            heap.tier.classes[class.index()].unclaim();
            assert_eq!(heap.check(), Ok(()), "{size}, {seed}");
        }
    }
}

/// A block that comes and goes needs one kernel page. If it does so all the time, a whole word of slots is opened,
/// which is swept less often.
#[test]
fn a_block_that_comes_and_goes_opens_little_at_first() {
    for size in some([2048, 1024, 512, 256, 128]) {
        let mut arena = Box::new_uninit_slice(1 << 20);
        let mut heap = Heap::new(Emulated::new(&mut arena));
        let mut opened = Vec::new();
        for _ in 0..if SLOW { 800 } else { 8000 } {
            let payload = get(&mut heap, size).expect("room");
            free(&mut heap, payload).expect("a live block");
            opened.push(current(&heap, size).opened());
        }
        let (mut steps, word) = (opened.clone(), current(&heap, size).capacity().min(64));
        steps.dedup();
        let doubled = core::iter::successors(Some(TOUCHED_BYTES / size), |&slots| Some(2 * slots));
        assert!(steps.iter().copied().eq(doubled.take_while(|&slots| slots <= word)), "{size}: {steps:?}");
        assert!(steps.len() > 1 && steps.ends_with(&[word]), "{size}: {steps:?}");
        for step in &steps[..steps.len() - 1] {
            let rounds = opened.iter().filter(|&slots| slots == step).count();
            assert!(rounds >= step * SWEEPS_MAX as usize, "{size}: {rounds} rounds for {step} slots");
        }
    }
}

/// Blocks that stay open as many slots as they are, up to twice that.
#[test]
fn blocks_that_stay_open_no_more_than_twice_their_number() {
    for size in some([4096, 2048, 1024, 512, 256, 128, 64]) {
        let mut arena = Box::new_uninit_slice(4 << 20);
        let mut heap = Heap::new(Emulated::new(&mut arena));
        let (mut before, mut held) = (None, 0);
        for _ in 0..(1 << 20) / size {
            get(&mut heap, size).expect("room");
            let slab = current(&heap, size);
            held = if before == Some(slab) { held + 1 } else { 1 };
            before = Some(slab);
            let opened = slab.opened();
            assert!(held <= opened && opened <= (2 * held).max(TOUCHED_BYTES / size), "{size}: {opened} for {held}");
            assert!(opened <= held.next_multiple_of(64), "{size}: {opened} for {held} are more than a word");
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

/// A sweep should find many slots at once: while few are free, a class opens more, as long as it can.
#[test]
fn few_free_slots_are_not_worth_a_sweep_until_there_are_no_others() {
    let mut arena = Box::new_uninit_slice(1 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let payloads: Vec<_> = (0..32).map(|_| get(&mut heap, 128).expect("room")).collect();
    let slab = current(&heap, 128);
    free(&mut heap, payloads[5]).expect("a live block");
    assert_eq!((slab.opened(), slab.capacity()), (32, 128));
    let rest: Vec<_> = (0..96).map(|_| get(&mut heap, 128).expect("room")).collect();
    assert_eq!((slab.opened(), rest.contains(&payloads[5])), (128, false));
    // Now it is the only free slot left in the current slab, which is swept before a new slab is made.
    assert_eq!(get(&mut heap, 128), Some(payloads[5]));
    assert_eq!((current(&heap, 128), heap.check()), (slab, Ok(())));
}

/// That a slab has fresh memory beyond what was opened makes its sweeps no longer; that a trim has returned some of what was opened
/// does, as slots there come last.
#[test]
fn a_sweep_is_short_where_only_what_was_never_opened_is_fresh() {
    let mut arena = Box::new_uninit_slice(1 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let payloads: Vec<_> = (0..32).map(|_| get(&mut heap, 256).expect("room")).collect();
    let (slab, class) = (current(&heap, 256), SizeClass::of_size(256).expect("a small size"));
    assert_eq!((slab.opened(), slab.zero_units(), heap.tier.has_slot(class)), (32, 0b1100, false));
    payloads[16..].iter().for_each(|&payload| free(&mut heap, payload).expect("a live block"));
    slab.add_zero_units(0b10);
    assert_eq!((heap.tier.pop_next(class, &heap.spans.map.lookup), heap.check()), (None, Ok(())));
    slab.remove_zero_units(0b10);
    let next = heap.tier.pop_next(class, &heap.spans.map.lookup);
    assert_eq!(next.map(|payload| payload.addr().get()), Some(payloads[16]));
    assert_eq!((heap.tier.is_fresh(class), heap.check()), (false, Ok(())));
}

/// Memory that was used before costs nothing to open, so a word is opened at once.
#[test]
fn memory_that_was_used_before_is_opened_by_the_word() {
    let mut arena = Box::new_uninit_slice(1 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let large = get(&mut heap, 60 << 10).expect("room");
    get(&mut heap, 60 << 10).expect("room");
    free(&mut heap, large).expect("a live block");
    get(&mut heap, 256).expect("room");
    let slab = current(&heap, 256);
    assert_eq!((slab.start(), slab.opened()), (large, 64));
}

#[test]
fn a_slot_that_was_never_opened_is_no_block() {
    for size in some([4096, 512, 64]) {
        let mut arena = Box::new_uninit_slice(1 << 20);
        let mut heap = Heap::new(Emulated::new(&mut arena));
        let payload = get(&mut heap, size).expect("room");
        let slab = current(&heap, size);
        let (opened, capacity) = (slab.opened(), slab.capacity());
        assert!(opened < capacity);
        for number in opened..capacity {
            let address = Slot::new(slab, number).address();
            assert_eq!(free(&mut heap, address), Err(MisuseKind::NotABlock), "slot {number} of {size} bytes");
        }
        assert_eq!(free(&mut heap, payload), Ok(()));
        assert_eq!(free(&mut heap, payload), Err(MisuseKind::AlreadyFree));
    }
}

/// What the fast path of a free with a layout accepts; the slow path decides about the rest.
#[test]
fn a_slot_is_closely_filled_by_more_than_half_of_it() {
    let mut arena = Box::new_uninit_slice(16 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    for class in (0..CLASSES).step_by(if SLOW { 10 } else { 1 }).map(SizeClass::from_index) {
        let size = class.slot_size();
        let own = (0..=GUESTS_MAX).map(|_| get(&mut heap, size).expect("room")).last().expect("some blocks");
        let slab = heap.spans.map.find(own).and_then(Span::as_slab).expect("a slab");
        let slot = Slot::live_at(slab.span(), own).expect("a live block");
        assert_eq!(slab.slot_size(), size, "after so many requests");
        for named in (0..=2 * size).step_by(if SLOW { 1 + size / 8 } else { 1 }) {
            let close = named <= size && (named > size / 2 || size == 16);
            assert_eq!(slot.fits_closely(own, layout(named)), close, "{named} of {size} bytes");
        }
        let aligned = |align| Layout::from_size_align(size, align).expect("a layout");
        let most = 1 << own.trailing_zeros();
        assert!(slot.fits_closely(own, aligned(most)) && !slot.fits_closely(own, aligned(2 * most)));
    }
}

/// A small random generator with the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}

/// Blocks of one size that come and go in a heap that soon is full.
struct OneClass<'a> {
    heap: Subject<'a>,
    size: usize,
    live: Vec<usize>,
    addresses: BTreeSet<usize>,
}

impl OneClass<'_> {
    fn get(&mut self) -> bool {
        let Some(address) = get(&mut self.heap, self.size) else { return false };
        assert!(self.addresses.insert(address), "{address:#x} was handed out twice");
        self.live.push(address);
        true
    }

    fn free(&mut self, index: usize) {
        let address = self.live.swap_remove(index);
        assert!(self.addresses.remove(&address));
        assert_eq!(free(&mut self.heap, address), Ok(()));
    }

    /// Allocates until the heap is full: no free slot may be left.
    fn exhaust(&mut self) {
        while self.get() {}
        for slab in self.heap.spans.iter().filter_map(Span::as_slab) {
            assert_eq!(slab.live_slots(), slab.capacity(), "free slots of {} bytes are lost", self.size);
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.heap.check(), Ok(()));
        assert_eq!(self.heap.stats().live_blocks, self.live.len());
    }
}

#[test]
fn no_slot_is_handed_out_twice_and_none_is_lost() {
    for size in some([5120, 512, 16, 48, 112, 128, 1536, 3072, 16 << 10, 20 << 10, 40 << 10]) {
        let mut arena = Box::new_uninit_slice(400 << 10);
        let heap = Heap::new(Emulated::new(&mut arena));
        let mut class = OneClass { heap, size, live: Vec::new(), addresses: BTreeSet::new() };
        let mut random = Random(size as u64 * 2 + 1);
        for round in 0..if SLOW { 3 } else { 24 } {
            // From one block at a time to nearly all there are.
            let about = 1 + (random.below(1 << (round % 12 + 1)));
            for _ in 0..if SLOW { 100 } else { 3000 } {
                let many = class.live.len() >= about;
                if !class.live.is_empty() && random.below(8) < if many { 5 } else { 3 } {
                    // The newest, the oldest, or any.
                    let which = [class.live.len() - 1, 0, random.below(class.live.len())][random.below(3)];
                    class.free(which);
                } else {
                    class.get();
                }
            }
            class.check();
            if round % 3 == 2 {
                class.exhaust();
                let keep = random.below(class.live.len());
                while class.live.len() > keep {
                    let which = random.below(class.live.len());
                    class.free(which);
                }
                class.check();
            }
        }
    }
}

/// A full slab is not used until an eighth of its slots is free, and then before a new one.
#[test]
fn a_full_slab_serves_again_once_an_eighth_of_it_is_free() {
    let mut arena = Box::new_uninit_slice(4 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let payloads: Vec<_> = (0..64).map(|_| get(&mut heap, 512).expect("room")).collect();
    let first = heap.spans.map.find_around(payloads[0]).and_then(Span::as_slab).expect("a slab");
    let capacity = first.capacity();
    assert!(capacity < payloads.len() && first.place() == Place::Full);
    let eighth = capacity / RELIST_FRACTION;
    for (index, &payload) in payloads[..eighth].iter().enumerate() {
        assert_eq!((first.place(), first.counted_free()), (Place::Full, Some(index)));
        free(&mut heap, payload).expect("a live block");
    }
    assert_eq!((first.place(), first.counted_free()), (Place::Listed, Some(eighth)));
    assert_eq!(heap.check(), Ok(()));
    let slabs = |heap: &Subject<'_>| heap.spans.iter().filter_map(Span::as_slab).count();
    let before = slabs(&heap);
    while first.place() != Place::Current {
        get(&mut heap, 512).expect("room");
        assert_eq!(slabs(&heap), before, "a new slab came first");
    }
    for &payload in &payloads[1..eighth] {
        assert_eq!(get(&mut heap, 512), Some(payload));
    }
}

/// A slab that is listed waits behind the first one, which its class uses before it.
#[test]
fn a_slab_is_listed_behind_the_first() {
    let mut arena = Box::new_uninit_slice(4 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let payloads: Vec<_> = (0..160).map(|_| get(&mut heap, 512).expect("room")).collect();
    let mut full: Vec<_> = heap.spans.iter().filter_map(Span::as_slab).collect();
    full.retain(|slab| slab.place() == Place::Full && slab.slot_size() == 512);
    let index = SizeClass::of_size(512).expect("a small size").index();
    let mut listed = Vec::new();
    for &slab in &full[..3] {
        let its = payloads.iter().filter(|&&payload| heap.spans.map.find_around(payload) == Some(slab.span()));
        for &payload in its.take(slab.relist_at()).collect::<Vec<_>>() {
            free(&mut heap, payload).expect("a live block");
        }
        assert_eq!((slab.place(), heap.check()), (Place::Listed, Ok(())));
    }
    let mut next = heap.tier.classes[index].listed;
    while let Some(slab) = next {
        listed.push(slab);
        next = slab.links().right.get();
    }
    assert_eq!(listed, [full[0], full[2], full[1]]);
}

/// Classes whose blocks come and go use the same slabs again, without the central part, although they are more than what any
/// tier keeps.
#[test]
#[cfg_attr(miri, ignore = "an interpreter takes long for so many blocks")]
fn classes_whose_blocks_come_and_go_keep_their_slabs() {
    let mut arena = Box::new_uninit_slice(8 << 20);
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let mut operations = Vec::new();
    for _ in 0..40 {
        let blocks: Vec<_> = (0..24).map(|nth| get(&mut heap, (5 + nth % 6 * 2) << 10).expect("room")).collect();
        blocks.into_iter().for_each(|block| free(&mut heap, block).expect("a live block"));
        operations.push(heap.spans.thrift.now());
        assert_eq!(heap.check(), Ok(()));
    }
    assert_eq!(operations[20], operations[39], "spans were taken or freed: {operations:?}");
    assert!(heap.tier.empties.count > EMPTIES_FEW && heap.tier.empties.pages <= (768 << 10) / PAGE as u32);
    heap.trim(0);
    assert_eq!((heap.tier.empties.count, heap.check()), (0, Ok(())));
}
