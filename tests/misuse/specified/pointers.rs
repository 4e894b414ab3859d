//! The pointers that differ in kind in a heap's state.

use super::model::Model;
use hmalloc::{SpanInfo, SpanKind};
use std::ops::Range;

/// How far from an edge a pointer may be and still differ: inside of a payload's alignment, at it, and one beyond.
const NEAR: [isize; 9] = [-16, -15, -8, -1, 0, 1, 8, 15, 16];
/// The slots of each slab: those that calls can have reached, and the last one of a bitmap's word and the next one.
const SLOTS: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 63, 64];
/// Addresses that are in no heap.
const FAR: [usize; 8] = [0, 1, 16, 4096, isize::MAX as usize, isize::MAX as usize + 1, usize::MAX - 15, usize::MAX];

fn around(pointers: &mut Vec<usize>, edge: usize) {
    pointers.extend(NEAR.iter().map(|near| edge.wrapping_add_signed(*near)));
}

fn edges_of(pointers: &mut Vec<usize>, span: &SpanInfo) {
    around(pointers, span.address);
    match span.kind {
        SpanKind::Slab { slot, capacity, .. } => {
            for number in SLOTS.into_iter().chain([capacity - 1, capacity]).filter(|number| *number <= capacity) {
                pointers.extend([0, 16, 24].map(|inside| span.address + number * slot + inside));
                pointers.push(span.address + number * slot + slot / 2);
            }
        }
        _ => pointers.push(span.address + span.bytes / 2),
    }
}

/// The pointers to try, without those that live payloads have.
pub(super) fn pointers(model: &Model, arena: &Range<usize>, brk: usize) -> Vec<usize> {
    let local = 0_u8;
    let mut pointers = FAR.to_vec();
    pointers.extend([std::ptr::from_ref(&local).addr(), std::ptr::from_ref(&FAR).addr()]);
    // The low half of a word, and the high one, of an address in the heap.
    pointers.extend([arena.start & 0xffff_ffff, arena.start ^ 1 << (usize::BITS - 1), arena.start ^ 1 << 40]);
    [arena.start, arena.end, brk].iter().for_each(|edge| around(&mut pointers, *edge));
    model.spans.iter().for_each(|span| edges_of(&mut pointers, span));
    model.live.iter().for_each(|live| around(&mut pointers, live.address + live.usable));
    model.freed.iter().for_each(|freed| around(&mut pointers, *freed));
    pointers.retain(|pointer| model.live.iter().all(|live| live.address != *pointer));
    pointers.sort_unstable();
    pointers.dedup();
    pointers
}
