//! A slab is retired and cut anew, for slots of another size, while somebody frees a block that it had before: wrongly, for
//! the owner has freed that block, too.

use crate::ground::freed::{Half, NotLive};
use crate::heap::{Heap, Slab};
use crate::run::{explore, promise};
use loom::thread;
use std::sync::Arc;

/// Where both the old block and the new one are: the second slot of the slab, whatever its size.
const SECOND: Half = 2;
/// Where the old block starts: in the middle of the first of the new slots, which are twice as large.
const OLD: u32 = 1;
const NEW: u32 = 2;

/// A free by another thread than the owner, which looks where the address lies each time when it looks whether it is live.
pub(crate) fn free_and_look_again(slab: &Slab, address: u32) -> Result<(), NotLive> {
    let bit = slab.slot_at(address).ok_or(NotLive)?;
    slab.freed.free(bit, || slab.slot_at(address) == Some(bit) && slab.is_live(bit))
}

/// The owner frees the old block, cuts the slab anew, and hands out the new block. Exactly one free of the old block is
/// accused, before the new one is handed out, which stays as it is.
pub(crate) fn late_free(free: fn(&Slab, u32) -> Result<(), NotLive>) {
    explore(move || {
        let heap = Heap::new(1, SECOND);
        let elsewhere = Arc::clone(&heap);
        let late = thread::spawn(move || free(&elsewhere.slabs[0], OLD).map(|()| elsewhere.notify(0)));
        let slab = &heap.slabs[0];
        let (mine, mut twice) = slab.local_free(slab.slot_at(OLD).unwrap());
        twice += heap.drain();
        // Not if the other free came first and the owner does not know yet.
        let is_cut = !slab.is_live(SECOND);
        if is_cut {
            slab.recut(NEW);
            twice += slab.claim().taken.twice.count_ones();
            slab.hand_out(slab.slot_at(NEW).unwrap());
        }
        let late = late.join().unwrap();
        let later = slab.claim().taken;
        if is_cut {
            promise!(later.freed == 0, "the new block was freed by a free of the old one");
            promise!(slab.is_live(SECOND), "the new block is gone");
        }
        promise!(later.twice == 0 || !is_cut, "the new block was handed out before the second free was found");
        let at_calls = u32::from(mine.is_err()) + u32::from(late.is_err());
        let accused = at_calls + twice + later.twice.count_ones();
        promise!(accused == 1, "of two frees {accused} were accused");
        promise!(heap.drain() == 0, "accused again");
        heap.nothing_is_forgotten();
    });
}

#[test]
fn late_free_of_another_class() {
    late_free(free_and_look_again);
}

/// The same, and the new block is freed by a third thread, rightly: the page is put in once, and nothing is forgotten.
#[test]
fn late_free_and_a_right_one() {
    explore(|| {
        let heap = Heap::new(1, SECOND);
        let elsewhere = Arc::clone(&heap);
        let late = thread::spawn(move || free_and_look_again(&elsewhere.slabs[0], OLD).map(|()| elsewhere.notify(0)));
        let slab = &heap.slabs[0];
        let (mine, mut twice) = slab.local_free(SECOND);
        if mine.is_ok() {
            slab.recut(NEW);
            twice += slab.claim().taken.twice.count_ones();
            slab.hand_out(SECOND);
            let holder = Arc::clone(&heap);
            let holder = thread::spawn(move || {
                promise!(holder.remote_free(0, SECOND).is_ok(), "a right program is accused");
            });
            holder.join().unwrap();
        }
        let late = late.join().unwrap();
        twice += heap.drain();
        let accused = u32::from(mine.is_err()) + u32::from(late.is_err()) + twice;
        promise!(accused == 1, "of two frees {accused} were accused");
        promise!(slab.claim().free & SECOND != 0, "the slot is lost");
        heap.nothing_is_forgotten();
    });
}
