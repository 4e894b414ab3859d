//! The little of a heap that the protocol needs: slabs, their owners' words, and what is done with both, as
//! `others.rs` in the tier does it, and freeing in `work`.
//!
//! Slots are numbered by bits. There is one word of live bits a slab, which its owner alone writes, without a
//! read-modify-write.

use crate::ground;
use crate::ground::atomic::{AtomicU16, AtomicU32, Relaxed, fence_after_update};
use crate::ground::freed::{Freed, Half, NotLive, Taken};
use crate::ground::inbox::{Inbox, Link};
use crate::run::{event, promise};
use loom::cell::UnsafeCell;
use std::sync::{Arc, Mutex};

/// In the owner's word: other threads may have freed slots of the slab's one line of words.
const NOTE: u16 = 0x8000;
/// The owner.
pub(crate) const ME: u16 = 0;
/// Another one.
pub(crate) const OTHER: u16 = 1;
/// Slots of a slab that models use.
pub(crate) const SLOTS: Half = 0b11;

/// A slab, and the link of the page it lies in.
pub(crate) struct Slab {
    /// The owner's word, but for the owner.
    owner: AtomicU16,
    number: Mutex<u16>,
    /// The slots' size in bytes less one, as the reciprocal says it.
    slot_size: AtomicU32,
    live: AtomicU32,
    pub(crate) freed: Freed,
    link: Link,
    /// Made anew when the link is written. An update of the link sees the latest store here, which no machine promises: it
    /// is the use of this cell that shows whether the owner is to see it.
    link_written: Mutex<Option<UnsafeCell<()>>>,
    /// What the holders of its slots write: their own and nobody else's.
    payload: [UnsafeCell<u32>; 2],
}

/// What the owner found when it claimed a word.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// The slots that can be handed out.
    pub(crate) free: Half,
    pub(crate) taken: Taken,
}

impl Slab {
    pub(crate) fn new(live: Half) -> Self {
        let slab = Self {
            owner: AtomicU16::new(0),
            number: Mutex::new(ME),
            slot_size: AtomicU32::new(0),
            live: AtomicU32::new(0),
            freed: ground::freed(),
            link: ground::link(),
            link_written: Mutex::new(None),
            payload: [UnsafeCell::new(0), UnsafeCell::new(0)],
        };
        slab.owner.store(0, Relaxed);
        slab.slot_size.store(0, Relaxed);
        slab.live.store(live, Relaxed);
        slab
    }

    pub(crate) fn is_live(&self, bit: Half) -> bool {
        self.live.load(Relaxed) & bit != 0
    }

    /// Clears live bits, and returns which were set. For the owner.
    fn clear(&self, bits: Half) -> Half {
        let live = self.live.load(Relaxed);
        self.live.store(live & !bits, Relaxed);
        live & bits
    }

    /// Takes what others have freed, and returns what can be handed out. For the owner.
    pub(crate) fn claim(&self) -> Claimed {
        let taken = self.freed.take(|bits| self.clear(bits));
        Claimed { free: SLOTS & !self.live.load(Relaxed), taken }
    }

    /// Hands out a slot that was claimed. For the owner.
    pub(crate) fn hand_out(&self, bit: Half) {
        let live = self.live.load(Relaxed);
        assert_eq!(live & bit, 0, "a model hands out what is held");
        self.live.store(live | bit, Relaxed);
    }

    /// The slot that starts `offset` bytes into the slab, if one does.
    pub(crate) fn slot_at(&self, offset: u32) -> Option<Half> {
        let size = self.slot_size.load(Relaxed) + 1;
        offset.is_multiple_of(size).then(|| 1 << (offset / size))
    }

    /// Retires a slab in which nothing is live, and cuts it anew. Its freed bits and its link stay.
    pub(crate) fn recut(&self, slot_size: u32) {
        self.recut_for(ME, slot_size);
    }

    /// The same for another owner.
    pub(crate) fn recut_for(&self, owner: u16, slot_size: u32) {
        assert_eq!(self.live.load(Relaxed), 0, "a model retires a slab with live slots");
        self.slot_size.store(slot_size - 1, Relaxed);
        self.owner.store(0, Relaxed);
        *self.number.lock().unwrap() = owner;
    }

    /// The owner, as it is at this moment: the checker does not order updates of a word and stores to it by another thread as
    /// machines do, and would let a thread see an older owner than it has set.
    pub(crate) fn owner(&self) -> u16 {
        event();
        *self.number.lock().unwrap()
    }

    /// Gives the slab to another owner. A note that is still there says nothing.
    pub(crate) fn set_owner(&self, owner: u16) {
        event();
        self.owner.swap(0, Relaxed);
        *self.number.lock().unwrap() = owner;
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.owner.load(Relaxed) & NOTE != 0
    }

    /// The owner takes what others have freed. Returns what was freed twice.
    fn collect(&self) -> u32 {
        self.owner.fetch_and(!NOTE, Relaxed);
        fence_after_update();
        if self.freed.freed() == 0 { 0 } else { self.claim().taken.twice.count_ones() }
    }

    /// The owner frees a slot. Returns also what it found to be freed twice.
    pub(crate) fn local_free(&self, bit: Half) -> (Result<(), NotLive>, u32) {
        if self.is_noted() && self.is_live(bit) && self.freed.freed() & bit != 0 {
            return (Err(NotLive), 0);
        }
        let twice = self.look_if_noted();
        (if self.clear(bit) == 0 { Err(NotLive) } else { Ok(()) }, twice)
    }

    /// What a free of the owner's does first. Returns what it found to be freed twice.
    pub(crate) fn look_if_noted(&self) -> u32 {
        if self.is_noted() { self.collect() } else { 0 }
    }

    /// A holder writes its block: a race with any other use of the block is a violation.
    pub(crate) fn write(&self, bit: Half, number: u32) {
        // SAFETY: the checker finds out if it is not the only use.
        self.payload[bit.trailing_zeros() as usize].with_mut(|payload| unsafe { *payload = number });
    }

    pub(crate) fn read(&self, bit: Half) -> u32 {
        // SAFETY: as in `write`.
        self.payload[bit.trailing_zeros() as usize].with(|payload| unsafe { *payload })
    }
}

/// Slabs, and the inboxes of two owners, the first of whom has all slabs where a model does not say otherwise. A slab's page
/// is its number.
pub(crate) struct Heap {
    pub(crate) slabs: Vec<Slab>,
    pub(crate) inbox: Inbox,
    other_inbox: Inbox,
}

// SAFETY: its cells are the checker's, which finds out if two threads use one at once.
unsafe impl Sync for Heap {}
// SAFETY: as above.
unsafe impl Send for Heap {}

impl Heap {
    /// A heap with some slabs, in each of which these slots are held.
    pub(crate) fn new(slabs: usize, live: Half) -> Arc<Self> {
        Arc::new(Self {
            slabs: (0..slabs).map(|_| Slab::new(live)).collect(),
            inbox: ground::inbox(),
            other_inbox: ground::inbox(),
        })
    }

    /// A thread that is not the owner frees a slot.
    pub(crate) fn remote_free(&self, page: usize, bit: Half) -> Result<(), NotLive> {
        let slab = &self.slabs[page];
        slab.freed.free(bit, || slab.is_live(bit))?;
        self.notify(page);
        Ok(())
    }

    /// Tells the owner of a slab, whoever that is by then, that something was freed in it.
    pub(crate) fn notify(&self, page: usize) {
        let slab = &self.slabs[page];
        fence_after_update();
        // Whoever noted it before tells the owner.
        if slab.is_noted() || slab.owner.fetch_or(NOTE, Relaxed) & NOTE != 0 {
            return;
        }
        // In the product that is the same word.
        let owner = *slab.number.lock().unwrap();
        // Else this thread may see the page in the inbox when the owner has taken it out, and the owner not see the note.
        fence_after_update();
        self.put_for(owner, page);
    }

    /// Puts a page into the inbox, if it is not there.
    pub(crate) fn put(&self, page: usize) {
        self.put_for(ME, page);
    }

    fn inbox_of(&self, owner: u16) -> &Inbox {
        if owner == ME { &self.inbox } else { &self.other_inbox }
    }

    fn put_for(&self, owner: u16, page: usize) {
        let slab = &self.slabs[page];
        if slab.link.claim() {
            *slab.link_written.lock().unwrap() = Some(UnsafeCell::new(()));
            self.inbox_of(owner).put(page as u32, &slab.link);
        }
    }

    /// Empties the inbox: `found` is called with each page, which may be put in again from then on.
    pub(crate) fn empty_inbox(&self, found: impl FnMut(usize)) {
        self.empty_inbox_of(ME, found);
    }

    pub(crate) fn empty_inbox_of(&self, owner: u16, mut found: impl FnMut(usize)) {
        let mut next = self.inbox_of(owner).take_all();
        let mut pages = 0;
        while let Some(page) = next {
            pages += 1;
            promise!(pages <= self.slabs.len(), "a page is in the inbox twice");
            let slab = &self.slabs[page as usize];
            let written = slab.link_written.lock().unwrap().take();
            written.expect("a page that was put in").with(|_| ());
            next = slab.link.take();
            fence_after_update();
            found(page as usize);
        }
    }

    /// The owner takes what others have freed in the slabs of its inbox. Returns what was freed twice.
    pub(crate) fn drain(&self) -> u32 {
        self.drain_for(ME)
    }

    /// The same for one of the owners, who passes on what is another's by now.
    pub(crate) fn drain_for(&self, owner: u16) -> u32 {
        let mut twice = 0;
        self.empty_inbox_of(owner, |page| match &self.slabs[page] {
            slab if slab.owner() == owner => twice += slab.look_if_noted(),
            slab if slab.is_noted() => self.put_for(slab.owner(), page),
            _ => {}
        });
        twice
    }

    /// What holds when nobody is at work: a slab with freed bits is noted, and one that is noted is in the inbox. Nothing
    /// is there twice. Empties the inbox.
    pub(crate) fn nothing_is_forgotten(&self) {
        let mut inside = vec![false; self.slabs.len()];
        for owner in [ME, OTHER] {
            self.empty_inbox_of(owner, |page| inside[page] = self.slabs[page].owner() == owner);
        }
        for (slab, inside) in self.slabs.iter().zip(inside) {
            promise!(slab.is_noted() || slab.freed.freed() == 0, "slots that the owner's own frees do not look at");
            promise!(inside || slab.freed.freed() == 0, "freed slots that the owner is not told of");
            promise!(slab.link.claim(), "a page that can never be put in again");
        }
    }
}
