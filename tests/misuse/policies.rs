//! What `Hmalloc` does about wrong pointers, policy by policy, in processes of their own.
//!
//! Every test prepares the same heap, makes one mistake, and says what must be heard of it. Under `Report` and `Abort`
//! that is exactly one line; under `Ignore` nothing. A process that is to live on checks its heap and goes on using it.

use hmalloc::{Block, BlockState, Hmalloc, Misuse, MisuseKind, PAGE, Policy, SpanKind};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::without_provenance_mut;
use support::child::observe;

const CONTENT: u8 = 0x5A;

static IGNORE: Hmalloc = Hmalloc::with_policy(Policy::Ignore);
static REPORT: Hmalloc = Hmalloc::with_policy(Policy::Report);
static ABORT: Hmalloc = Hmalloc::with_policy(Policy::Abort);
/// The default is to abort, too.
static DEFAULT: Hmalloc = Hmalloc::new();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// A heap with blocks in use, and the call that is to be wrong.
struct Scene {
    heap: &'static Hmalloc,
    blocks: Vec<(*mut u8, Layout)>,
}

/// What standard error must say: the call, the address, what is wrong with it, and what is around it.
type Expected = String;

impl Scene {
    fn new(policy: &str) -> Self {
        let heap = match policy {
            "ignore" => &IGNORE,
            "report" => &REPORT,
            "abort" => &ABORT,
            "default" => &DEFAULT,
            other => unreachable!("{other}"),
        };
        let mut scene = Self { heap, blocks: Vec::new() };
        for size in [1, 24, 64, 64, 200, 1000, 5000, 20_000, 100_000, 64, 2000] {
            scene.take(size);
        }
        scene
    }

    /// One more block, which lives to the end.
    fn take(&mut self, size: usize) -> *mut u8 {
        let payload = self.take_briefly(size);
        self.blocks.push((payload, layout(size)));
        payload
    }

    /// One more block, which the scene forgets.
    fn take_briefly(&self, size: usize) -> *mut u8 {
        // SAFETY: no size here is 0.
        let payload = unsafe { self.heap.alloc(layout(size)) };
        assert!(!payload.is_null());
        // SAFETY: the block is `size` bytes long.
        unsafe { payload.write_bytes(CONTENT, size) };
        payload
    }

    /// The block of `size` bytes that the scene holds.
    fn block(&self, size: usize) -> *mut u8 {
        self.blocks.iter().find(|(_, layout)| layout.size() == size).expect("such a block").0
    }

    fn free(&self, payload: *mut u8, size: usize) {
        // SAFETY: a live block that nobody uses any more, or a mistake, which the heap notices and has no part in.
        unsafe { self.heap.dealloc(payload, layout(size)) }
    }

    /// `ADDRESS is KIND: OFFSET bytes into SIZE STATE bytes at START`, where the block around the address is known.
    fn line(&self, call: &str, payload: *mut u8, kind: &str, around: Option<(*mut u8, usize, &str)>) -> Expected {
        let misuse = misuse(payload, kind, around);
        let around = around.map_or(String::new(), |(start, size, state)| {
            format!(": {} bytes into {size} {state} bytes at {start:p}", payload.addr() - start.addr())
        });
        let line = format!("hmalloc: {call}: {payload:p} is {kind}{around}");
        assert_eq!(format!("hmalloc: {call}: {misuse}"), line, "whoever prints a misuse reads the same");
        line
    }

    /// After the mistake, which must have changed nothing: the heap is sound, and goes on.
    fn go_on(mut self, before: hmalloc::Stats) {
        assert_eq!(self.heap.check(), Ok(()));
        assert_eq!(self.heap.stats(), before);
        for size in [64, 3000, 70_000] {
            self.take(size);
        }
        for (payload, layout) in std::mem::take(&mut self.blocks) {
            // SAFETY: the block is live and was written to its end.
            let bytes = unsafe { std::slice::from_raw_parts(payload, layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == CONTENT));
            self.free(payload, layout.size());
        }
        assert_eq!((self.heap.check(), self.heap.stats().live_blocks), (Ok(()), 0));
    }
}

/// The misuse that these words describe.
fn misuse(payload: *mut u8, kind: &str, around: Option<(*mut u8, usize, &str)>) -> Misuse {
    use {BlockState::*, MisuseKind::*};
    let kinds = [OutsideHeap, Misaligned, NotABlock, AlreadyFree, WrongLayout];
    let kind = kinds.into_iter().find(|known| known.to_string() == kind).expect("one of the kinds");
    let found = around.map(|(start, size, state)| {
        let state = [Used, Free, Foreign, Metadata].into_iter().find(|known| known.to_string() == state);
        Block { address: start.addr(), size, state: state.expect("one of the states") }
    });
    Misuse { kind, address: payload.addr(), found }
}

/// The wrong call.
type Act = Box<dyn FnOnce(&Scene)>;

/// The expected line goes to standard output before the mistake is made, so that the parent, whose addresses differ,
/// can compare. `mistake` returns it together with the act.
fn make<T>(test: &T, mistake: fn(&mut Scene) -> (Expected, Act)) {
    for policy in ["ignore", "report", "abort", "default"] {
        let ended = observe(test, policy, &[], move |policy| {
            let mut scene = Scene::new(policy);
            let (expected, act) = mistake(&mut scene);
            println!("\nexpected {expected}");
            let before = scene.heap.stats();
            act(&scene);
            println!("\nlived on");
            scene.go_on(before);
        });
        let said = |word: &str| ended.stdout.lines().find_map(|line| line.strip_prefix(word).map(str::to_owned));
        let expected = said("expected ").unwrap_or_else(|| panic!("{policy}: the mistake was not made: {ended:#?}"));
        let heard = if policy == "ignore" { String::new() } else { expected + "\n" };
        assert_eq!(ended.stderr, heard, "{policy}");
        if policy == "abort" || policy == "default" {
            assert_eq!(ended.signal, Some(libc::SIGABRT), "{policy}: {ended:#?}");
            assert!(said("lived on").is_none(), "{policy}: {ended:#?}");
        } else {
            assert!(ended.finished, "{policy}: {ended:#?}");
        }
    }
}

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

#[test]
fn a_free_that_says_too_much() {
    make(&a_free_that_says_too_much, |scene| {
        let payload = scene.block(64);
        let line = scene.line("free", payload, "not of the given layout", Some((payload, 64, "used")));
        (line, Box::new(move |scene| scene.free(payload, 65)))
    });
}

#[test]
fn a_free_that_says_too_little() {
    make(&a_free_that_says_too_little, |scene| {
        let payload = scene.block(100_000);
        let line = scene.line("free", payload, "not of the given layout", Some((payload, 7 * PAGE, "used")));
        (line, Box::new(move |scene| scene.free(payload, 100)))
    });
}

#[test]
fn a_free_that_says_another_alignment() {
    make(&a_free_that_says_another_alignment, |scene| {
        let payloads = [scene.take(64), scene.take(64)];
        let payload = *payloads.iter().find(|payload| !payload.addr().is_multiple_of(128)).expect("two in a row");
        let line = scene.line("free", payload, "not of the given layout", Some((payload, 64, "used")));
        let wrong = Layout::from_size_align(64, 4096).expect("a layout");
        // SAFETY: a mistake, which the heap notices and has no part in.
        (line, Box::new(move |scene| unsafe { scene.heap.dealloc(payload, wrong) }))
    });
}

/// A call to `realloc` that must answer null.
fn refused_realloc(payload: *mut u8, old: usize, new: usize) -> Act {
    Box::new(move |scene| {
        // SAFETY: a mistake, which the heap notices and has no part in.
        assert!(unsafe { scene.heap.realloc(payload, layout(old), new) }.is_null());
    })
}

#[test]
fn a_realloc_with_another_layout() {
    make(&a_realloc_with_another_layout, |scene| {
        let payload = scene.block(64);
        let line = scene.line("realloc", payload, "not of the given layout", Some((payload, 64, "used")));
        (line, refused_realloc(payload, 640, 700))
    });
}

#[test]
fn a_realloc_of_a_freed_block() {
    make(&a_realloc_of_a_freed_block, |scene| {
        let payload = scene.take_briefly(64);
        scene.free(payload, 64);
        let line = scene.line("realloc", payload, "already free", Some((payload, 64, "free")));
        (line, refused_realloc(payload, 64, 100))
    });
}

#[test]
fn a_realloc_of_the_inside_of_a_block() {
    make(&a_realloc_of_the_inside_of_a_block, |scene| {
        let block = scene.block(5000);
        let payload = block.wrapping_add(160);
        let line = scene.line("realloc", payload, "not a block", Some((block, 8192, "used")));
        (line, refused_realloc(payload, 5000, 100))
    });
}

#[test]
fn a_realloc_of_a_wild_pointer() {
    make(&a_realloc_of_a_wild_pointer, |scene| {
        let payload = without_provenance_mut(0x1000);
        let line = scene.line("realloc", payload, "outside the heap", None);
        (line, refused_realloc(payload, 64, 100))
    });
}
