//! Frees of what is no live block.

use super::scene::make;
use hmalloc::{PAGE, SpanKind};
use std::ptr::without_provenance_mut;

#[test]
fn a_small_block_freed_twice() {
    make(&a_small_block_freed_twice, |scene| {
        let payload = scene.take_briefly(64);
        scene.free(payload, 64);
        let line = scene.line("free", payload, "already free", Some((payload, 64, "free")));
        (line, Box::new(move |scene| scene.free(payload, 64)))
    });
}

#[test]
fn a_large_block_freed_twice() {
    make(&a_large_block_freed_twice, |scene| {
        scene.take(60_000);
        let payload = scene.take_briefly(4 * PAGE);
        scene.take(60_000);
        scene.free(payload, 4 * PAGE);
        let line = scene.line("free", payload, "already free", Some((payload, 4 * PAGE, "free")));
        (line, Box::new(move |scene| scene.free(payload, 4 * PAGE)))
    });
}

#[test]
fn the_inside_of_a_small_block() {
    make(&the_inside_of_a_small_block, |scene| {
        let block = scene.block(1000);
        let payload = block.wrapping_add(48);
        let line = scene.line("free", payload, "not a block", Some((block, 1024, "used")));
        (line, Box::new(move |scene| scene.free(payload, 1000)))
    });
}

#[test]
fn the_inside_of_a_large_block() {
    make(&the_inside_of_a_large_block, |scene| {
        let block = scene.block(100_000);
        let payload = block.wrapping_add(2 * PAGE);
        let line = scene.line("free", payload, "not a block", Some((block, 7 * PAGE, "used")));
        (line, Box::new(move |scene| scene.free(payload, 100_000)))
    });
}

#[test]
fn a_misaligned_pointer() {
    make(&a_misaligned_pointer, |scene| {
        let block = scene.block(200);
        let payload = block.wrapping_add(1);
        let line = scene.line("free", payload, "misaligned", Some((block, 256, "used")));
        (line, Box::new(move |scene| scene.free(payload, 200)))
    });
}

#[test]
fn a_wild_pointer() {
    make(&a_wild_pointer, |scene| {
        let payload = without_provenance_mut(0x1234_5678_9AB0);
        let line = scene.line("free", payload, "outside the heap", None);
        (line, Box::new(move |scene| scene.free(payload, 64)))
    });
}

#[test]
fn the_highest_address() {
    make(&the_highest_address, |scene| {
        let payload = without_provenance_mut(usize::MAX - 15);
        let line = scene.line("free", payload, "outside the heap", None);
        (line, Box::new(move |scene| scene.free(payload, 64)))
    });
}

#[test]
fn a_pointer_into_the_null_page() {
    make(&a_pointer_into_the_null_page, |scene| {
        let payload = without_provenance_mut(0x10);
        let line = scene.line("free", payload, "outside the heap", None);
        (line, Box::new(move |scene| scene.free(payload, 64)))
    });
}

#[test]
fn a_variable_on_the_stack() {
    make(&a_variable_on_the_stack, |scene| {
        let mut variable = [0_u64; 4];
        let payload = (&raw mut variable).cast();
        let line = scene.line("free", payload, "outside the heap", None);
        (line, Box::new(move |scene| scene.free(payload, 32)))
    });
}

#[test]
fn a_static_variable() {
    make(&a_static_variable, |scene| {
        static VARIABLE: [u64; 4] = [0; 4];
        let payload = (&raw const VARIABLE).cast_mut().cast();
        let line = scene.line("free", payload, "outside the heap", None);
        (line, Box::new(move |scene| scene.free(payload, 32)))
    });
}

#[test]
fn the_heaps_own_metadata() {
    make(&the_heaps_own_metadata, |scene| {
        let metadata = scene.heap.inspect(|heap| heap.spans().find(|span| span.kind == SpanKind::Metadata));
        let metadata = metadata.expect("every heap has metadata");
        let payload = without_provenance_mut::<u8>(metadata.address + 256);
        let around = Some((without_provenance_mut(metadata.address), metadata.bytes, "metadata"));
        let line = scene.line("free", payload, "not a block", around);
        (line, Box::new(move |scene| scene.free(payload, 64)))
    });
}

#[test]
fn the_tail_of_a_slab() {
    make(&the_tail_of_a_slab, |scene| {
        // The first few of a size may lie in slabs of a power of two, which have no tail.
        for _ in 0..20 {
            scene.take(5000);
        }
        let tail_of = |span: hmalloc::SpanInfo| match span.kind {
            SpanKind::Slab { slot, capacity, .. } => Some((span.address + slot * capacity, span.address + span.bytes)),
            _ => None,
        };
        let tail = scene.heap.inspect(|heap| heap.spans().filter_map(tail_of).find(|(start, end)| end - start >= 32));
        let (start, end) = tail.expect("some slab has a tail");
        let payload = without_provenance_mut::<u8>(start + 16);
        let line =
            scene.line("free", payload, "not a block", Some((without_provenance_mut(start), end - start, "free")));
        (line, Box::new(move |scene| scene.free(payload, 64)))
    });
}

#[test]
fn a_slot_of_a_slab_that_is_gone() {
    make(&a_slot_of_a_slab_that_is_gone, |scene| {
        let payloads: Vec<_> = (0..20).map(|_| scene.take_briefly(12_000)).collect();
        let above = scene.take(200_000);
        payloads.iter().for_each(|&payload| scene.free(payload, 12_000));
        scene.heap.trim(0);
        // The third slot of a slab: where it was, a free span goes on now that starts before it.
        let payload = payloads[2];
        let free = scene.heap.inspect(|heap| {
            heap.spans().find(|span| (span.address..span.address + span.bytes).contains(&payload.addr()))
        });
        let free = free.expect("the block above keeps the address in the heap");
        assert!(free.kind == SpanKind::Free && free.address < payload.addr() && payload < above);
        let line = scene.line(
            "free",
            payload,
            "not a block",
            Some((without_provenance_mut(free.address), free.bytes, "free")),
        );
        (line, Box::new(move |scene| scene.free(payload, 12_000)))
    });
}

#[test]
fn a_block_that_was_given_back_to_the_kernel() {
    make(&a_block_that_was_given_back_to_the_kernel, |scene| {
        let payload = scene.take_briefly(2 << 20);
        scene.free(payload, 2 << 20);
        scene.heap.trim(0);
        let line = scene.line("free", payload, "outside the heap", None);
        (line, Box::new(move |scene| scene.free(payload, 2 << 20)))
    });
}
