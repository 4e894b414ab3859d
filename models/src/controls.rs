//! Heaps that deviate from the protocol: a model must find out each. So what the models see is not nothing.

use crate::ground::freed::NotLive;
use crate::heap::Slab;
use crate::recut::late_free;

/// A free that looks where the address lies only at first: its bit may be that of another block by the time it is set.
#[test]
#[should_panic(expected = "violated: the new block was freed by a free of the old one")]
fn free_that_does_not_look_again() {
    late_free(|slab: &Slab, address| {
        let bit = slab.slot_at(address).ok_or(NotLive)?;
        slab.freed.free(bit, || slab.is_live(bit))
    });
}
