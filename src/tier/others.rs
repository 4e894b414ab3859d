//! What other threads do to a tier: they free its slots, and tell it in which slabs.
//!
//! ```text
//! another thread                                     the owner
//! free: the bit in the slab's word (freed)           a class has no slab with free slots
//! note the word's line in the slab's header          drain: for each page of the class's inbox
//! claim the page's link, put the page in the inbox     take its link, clear the note, then take all freed bits
//! ```
//!
//! The note makes the owner's own frees in that slab look at the freed bits, and so costs it nothing where there is none.
//! Only the first free in a line of words since the owner looked does the second step, and only the first in a slab the
//! third. So the later the owner looks, the less its company has to tell: it looks only at the inbox of a class that needs
//! slots, and at all of them before it takes memory from the central part.
//! While no other thread has ever freed a slot of a tier, its words' generations do not matter, and claiming takes no atomic
//! operation.

use crate::ground::atomic::{Acquire, AtomicU32, Relaxed, Release, fence_after_update};
use crate::ground::chunks::{Chunks, WORDS};
use crate::ground::freed::{Freed, Half, SLOTS, SLOTS_OF_LINE, Taken};
use crate::ground::header::Slab;
use crate::ground::inbox::Inbox;
use crate::ground::sampling::Sampling;
use crate::ground::size_class::{CLASSES, SizeClass};
use crate::tier::slot::{OthersSlot, Slot};
use crate::tier::twice::AllTwice;

/// After so many slabs in its inbox, someone looks into it in the owner's place.
const UNSEEN_MAX: u32 = 64;

/// Other threads free slots of the tier.
const SHARED: u32 = 1;
/// Requests are sampled.
const SAMPLED: u32 = 2;

/// The part of a tier that others use.
pub(crate) struct Others {
    chunks: *const Chunks,
    /// [`SHARED`] once another thread has freed a slot, [`SAMPLED`] while requests are sampled.
    state: AtomicU32,
    /// Which requests are sampled.
    pub(crate) sampling: Sampling,
    /// Blocks that were freed twice, found by the owner.
    pub(crate) twice: AllTwice,
    inboxes: Apart<Inboxes>,
}

impl core::fmt::Debug for Others {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Others").finish_non_exhaustive()
    }
}

/// The slabs of each class in which others have freed slots.
struct Inboxes {
    /// How many slabs were put in since the owner last looked into one of them.
    unseen: AtomicU32,
    /// A [bit](told_bit) for each inbox into which something was put since the owner last looked into all.
    told: AtomicU32,
    of_class: [Inbox; CLASSES],
}

/// Cache lines of its own.
#[repr(align(128))]
struct Apart<T>(T);

/// What became of a free by another thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The slot is free, as soon as its owner looks.
    Freed,
    /// The same, and the owner has not looked for long: someone should in its place.
    FreedUnseen,
    /// It was not live, or another thread had freed it already.
    NotLive,
    /// Nothing has happened: the owner must be stopped first, or told that it has company.
    NotShared,
}

/// What other threads have freed beside a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// The slot.
    Itself,
    /// Other slots.
    Others,
    Nothing,
}

impl Others {
    /// Makes it one, in memory that is zero: nothing is freed, and no other thread has freed anything yet.
    ///
    /// # Safety
    ///
    /// The chunks stay where they are.
    pub(crate) unsafe fn init(&mut self, chunks: *const Chunks) {
        self.chunks = chunks;
    }

    pub(super) fn chunks(&self) -> &Chunks {
        // SAFETY: the promise made to `init`.
        unsafe { &*self.chunks }
    }

    /// Whether another thread has ever freed a slot.
    #[inline(always)]
    pub(crate) fn is_shared(&self) -> bool {
        self.state.load(Acquire) & SHARED != 0
    }

    /// Whether neither other threads free slots, nor requests are sampled: then claiming slots takes no more than a look at
    /// the slab's bits.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.state.load(Acquire) == 0
    }

    /// Begins to sample the tier's requests. Its owner is stopped, and has claimed no slots.
    pub(crate) fn begin_sampling(&self, mean: usize, seed: u64) {
        self.sampling.begin(mean, seed);
        let state = self.state.load(Relaxed);
        self.state.store(if mean == 0 { state & !SAMPLED } else { state | SAMPLED }, Release);
    }

    /// Whether requests are sampled.
    #[inline(always)]
    pub(crate) fn is_sampled(&self) -> bool {
        self.state.load(Relaxed) & SAMPLED != 0
    }

    /// Tells the owner that others free its slots from now on. Before the first of them, the caller waits until the owner
    /// has seen it.
    pub(crate) fn share(&self) {
        // Written under the central lock alone.
        self.state.store(self.state.load(Relaxed) | SHARED, Release);
    }

    /// Whether a class's inbox is empty.
    #[inline(always)]
    pub(super) fn is_quiet(&self, class: SizeClass) -> bool {
        self.inbox(class).is_empty()
    }

    fn inbox(&self, class: SizeClass) -> &Inbox {
        &self.inboxes.0.of_class[class.index()]
    }

    /// Frees the slot of the owner's slab at `address`, for another thread. Returns the slot's number, which is to be
    /// [noted](Slab::note_freed_by_others) now.
    #[inline(always)]
    pub(super) fn free(&self, chunks: &Chunks, slab: Slab, address: usize, owner: u16) -> Result<usize, Outcome> {
        if !self.is_shared() {
            return Err(Outcome::NotShared);
        }
        // Where the word is. Whether the slot is live is decided after the word was loaded.
        let Some(slot) = OthersSlot::at(slab, address) else { return Err(Outcome::NotLive) };
        let Some(words) = chunks.words_at(slot.start) else { return Err(Outcome::NotShared) };
        let word = words.word(slot.number / SLOTS);
        let is_live = || slot.is_live() && slab.owner_number() == owner;
        if word.free(1 << (slot.number % SLOTS), is_live).is_err() {
            return Err(Outcome::NotLive);
        }
        // Partner: the owner's fence after it has forgotten the note. Else the note could be seen here that it is taking back, and
        // the freed bit not there.
        fence_after_update();
        Ok(slot.number)
    }

    /// Tells the owner that slots of a slab were freed, after that was noted. Whether it has not looked for long.
    #[inline(never)]
    pub(super) fn notify(&self, slab: Slab, page: u32) -> bool {
        let link = self.chunks().link(page);
        if !link.claim() {
            return false;
        }
        // If the slab has been retired meanwhile, any class will do.
        let class = slab.size_class();
        self.inbox(class).put(page, link);
        // Partner: the fence in `take_told`. Else the bit could be seen here that the owner is taking, and the page not there.
        fence_after_update();
        if self.inboxes.0.told.load(Relaxed) & told_bit(class) == 0 {
            self.inboxes.0.told.fetch_or(told_bit(class), Relaxed);
        }
        // A count that is lost now and then does no harm.
        let count = self.inboxes.0.unseen.load(Relaxed);
        self.inboxes.0.unseen.store(count.wrapping_add(1), Relaxed);
        count % UNSEEN_MAX == UNSEEN_MAX - 1
    }

    /// Whether another thread has freed a live slot that the owner has not taken yet.
    pub(crate) fn has_freed(&self, slot: Slot) -> bool {
        let page = self.chunks().page_of(slot.slab);
        page.is_some_and(|page| {
            let (word, bit) = word_of(self.chunks(), page, slot.number());
            word.freed() & bit != 0
        })
    }

    /// The slots of word number `index` of a slab's bitmap that other threads have freed, and the owner has not taken yet.
    pub(crate) fn freed_in_word(&self, slab: Slab, index: usize) -> u64 {
        let Some(page) = self.chunks().page_of(slab) else { return 0 };
        let halves = (0..64 / SLOTS).map(|half| (half, index * (64 / SLOTS) + half));
        let opened = halves.filter(|&(_, word)| word < WORDS && word * SLOTS < slab.opened());
        opened.fold(0, |all, (half, word)| all | u64::from(self.chunks().word(page, word).freed()) << (half * SLOTS))
    }

    /// What other threads have freed, and the owner has not taken yet, in the line of words of a slot that is live.
    pub(crate) fn freed_beside(&self, slot: Slot) -> Beside {
        let Some(all) = self.chunks().words_at(slot.slab.start()) else { return Beside::Nothing };
        let freed = all.word(slot.number() / SLOTS).freed();
        if freed >> (slot.number() % SLOTS) & 1 == 1 {
            return Beside::Itself;
        }
        let mut words = words_of_lines(1 << (slot.number() / SLOTS_OF_LINE), slot.slab);
        let others = freed != 0 || words.any(|word| all.word(word).freed() != 0);
        if others { Beside::Others } else { Beside::Nothing }
    }

    /// Takes what others have freed in one word of a slab's bitmap that the owner is about to claim, of which `free` are
    /// free already. Returns which are free then.
    pub(crate) fn take_word(&self, slab: Slab, index: usize, free: u64) -> u64 {
        let Some(page) = self.chunks().page_of(slab) else { return free };
        let mut all = free;
        for half in 0..64 / SLOTS {
            let word = self.chunks().word(page, index * (64 / SLOTS) + half);
            if (free >> (half * SLOTS)) as Half != 0 || word.freed() != 0 {
                all |= u64::from(self.take(slab, word, index, half)) << (half * SLOTS);
            }
        }
        slab.count_frees((all & !free).count_ones() as usize);
        all
    }

    /// The inboxes that may not be empty, a [bit](told_bit) for each, of those that the owner has not looked for since. To look
    /// into all of them would take longer than the rest of a visit to the central part.
    pub(super) fn take_told(&self) -> u32 {
        if self.inboxes.0.told.load(Relaxed) == 0 {
            return 0;
        }
        let told = self.inboxes.0.told.swap(0, Relaxed);
        fence_after_update();
        told
    }

    /// Takes all pages out of a class's inbox, and returns the first.
    pub(super) fn empty_inbox(&self, class: SizeClass) -> Option<u32> {
        self.inbox(class).take_all()
    }

    /// Notes that so many pages were taken out. A count that is lost now and then does no harm.
    pub(super) fn count_seen(&self, pages: u32) {
        let unseen = self.inboxes.0.unseen.load(Relaxed);
        self.inboxes.0.unseen.store(unseen.saturating_sub(pages), Relaxed);
    }

    /// Puts a page back that was taken out with others, and returns the one after it.
    pub(super) fn put_back(&self, page: u32, class: SizeClass) -> Option<u32> {
        let link = self.chunks().link(page);
        let next = link.next();
        self.inbox(class).put(page, link);
        self.inboxes.0.told.fetch_or(told_bit(class), Relaxed);
        next
    }

    /// Takes what others have freed in a slab, as far as they have noted it. Returns how many slots that is.
    pub(crate) fn take_noted(&self, slab: Slab) -> usize {
        let lines = slab.forget_freed_by_others();
        let Some(page) = self.chunks().page_of(slab) else { return 0 };
        let words = words_of_lines(lines, slab);
        words.map(|number| self.take_if_freed(slab, page, number)).sum::<u32>() as usize
    }

    /// Takes all that others have freed in a slab: also if one of them was killed before it could note that. If the owner
    /// `was_killed`, that may have been between the two steps of taking, so a slot that is free already was not freed twice.
    pub(crate) fn take_all(&self, slab: Slab, was_killed: bool) {
        slab.forget_freed_by_others();
        let Some(page) = self.chunks().page_of(slab) else { return };
        for number in words_of_lines(u16::MAX, slab) {
            let word = self.chunks().word(page, number);
            if word.freed() != 0 {
                let (index, half) = (number * SLOTS / 64, number % (64 / SLOTS));
                let taken = self.take_unnoted(slab, word, index, half);
                let twice = if was_killed { 0 } else { taken.twice };
                if twice != 0 {
                    self.note_all_twice(slab, index * 64 + half * SLOTS, twice);
                }
            }
        }
    }

    fn take_if_freed(&self, slab: Slab, page: u32, number: usize) -> u32 {
        match self.chunks().word(page, number) {
            word if word.freed() != 0 => self.take(slab, word, number * SLOTS / 64, number % (64 / SLOTS)).count_ones(),
            _ => 0,
        }
    }

    /// Begins the next generation of all words of a slab in which nothing is live, before it is retired.
    pub(crate) fn end_generation(&self, slab: Slab) {
        let Some(page) = self.chunks().page_of(slab).filter(|_| self.is_shared()) else { return };
        for number in 0..slab.opened().div_ceil(SLOTS).min(WORDS) {
            self.take(slab, self.chunks().word(page, number), number * SLOTS / 64, number % (64 / SLOTS));
        }
    }

    /// Takes the freed bits of half a word of a slab's bitmap.
    fn take(&self, slab: Slab, word: &Freed, index: usize, half: usize) -> Half {
        let taken = self.take_unnoted(slab, word, index, half);
        if taken.twice != 0 {
            self.note_all_twice(slab, index * 64 + half * SLOTS, taken.twice);
        }
        taken.freed
    }

    /// The same, and leaves it to the caller to note what was freed twice.
    #[inline(always)]
    fn take_unnoted(&self, slab: Slab, word: &Freed, index: usize, half: usize) -> Taken {
        let (live, shift) = (&slab.live()[index], half * SLOTS);
        word.take(|bits| {
            let (mask, before) = (u64::from(bits) << shift, live.get());
            live.set(before & !mask);
            ((before & mask) >> shift) as Half
        })
    }

    #[cold]
    fn note_all_twice(&self, slab: Slab, first: usize, slots: Half) {
        self.twice.note(slab.start() + first * slab.slot_size(), slab.slot_size() as u32, slots as usize);
    }

    /// Whether blocks were found that had been freed twice.
    #[inline]
    pub(crate) fn has_found_twice(&self) -> bool {
        !self.twice.is_empty()
    }

    /// Has a slab's page put in an inbox again when others next free there. It is in none, but whoever was about to put it in one
    /// may be dead.
    pub(crate) fn release_page(&self, slab: Slab) {
        let _ = self.chunks().page_of(slab).map(|page| self.chunks().link(page).take());
    }

    /// Empties all inboxes and leaves it to the caller to look into all slabs.
    pub(crate) fn discard_inboxes(&self) {
        for class in (0..CLASSES).map(SizeClass::from_index) {
            let mut next = self.empty_inbox(class);
            while let Some(page) = next {
                next = self.chunks().link(page).take();
            }
        }
    }
}

/// The word of freed bits in which the slot of this number has its bit.
#[inline(always)]
fn word_of(chunks: &Chunks, page: u32, number: usize) -> (&Freed, Half) {
    (chunks.word(page, number / SLOTS), 1 << (number % SLOTS))
}

/// The words of a slab's opened slots in those lines that have a bit.
fn words_of_lines(lines: u16, slab: Slab) -> impl Iterator<Item = usize> {
    let end = slab.opened().div_ceil(SLOTS).min(WORDS);
    (0..end).filter(move |word| lines >> (word / WORDS_OF_LINE) & 1 == 1)
}

/// The bit that says that something was put into a class's inbox: it may stand for another class's, too.
pub(super) fn told_bit(class: SizeClass) -> u32 {
    1 << (class.index() % u32::BITS as usize)
}

const WORDS_OF_LINE: usize = SLOTS_OF_LINE / SLOTS;
