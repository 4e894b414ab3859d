//! A program for a debugger: `debugged FILE` uses two heaps in two threads, writes to the file what it knows of addresses, one a
//! line, and comes to `stop_here`. What is known of the second heap is what its own walk says, and what has changed since.
//!
//! ```text
//! ADDRESS live SIZE        a block of that size starts there
//! ADDRESS free             free, in the heap
//! ADDRESS outside          in no heap
//! heap ADDRESS BLOCKS BYTES
//! ```

use hmalloc::{BlockState, Hmalloc};
use std::alloc::Layout;
use std::fmt::Write;

#[global_allocator]
static HEAP: Hmalloc = Hmalloc::new();
static OTHER: Hmalloc = Hmalloc::new();

/// Where the debugger stops.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stop_here() {
    std::hint::black_box(());
}

fn allocate(size: usize) -> usize {
    let layout = Layout::from_size_align(size, 16).expect("a layout");
    OTHER.allocate(layout).expect("memory").as_ptr().expose_provenance()
}

fn free(address: usize) {
    // SAFETY: a block that is not used any more.
    unsafe { OTHER.free(std::ptr::with_exposed_provenance_mut(address), |misuse| panic!("{misuse}")) };
}

/// Blocks of many sizes, every third of which is freed again.
fn fill() {
    let blocks: Vec<usize> = (0..900).map(|index| allocate(index * index % 5000 + index % 3 * 30_000 + 1)).collect();
    blocks.iter().step_by(3).for_each(|&block| free(block));
}

/// What the heap itself says of all its memory.
fn walk(facts: &mut String) {
    let blocks = OTHER.with(|heap| heap.blocks().collect::<Vec<_>>());
    for block in blocks {
        match block.state {
            BlockState::Used => writeln!(facts, "{:#x} live {}", block.address, block.size),
            BlockState::Free => writeln!(facts, "{:#x} free", block.address),
            _ => Ok(()),
        }
        .expect("a string takes it");
    }
}

fn main() {
    let file = std::env::args().nth(1).expect("a file");
    let mut facts = String::new();
    fill();
    walk(&mut facts);
    let stats = OTHER.stats();
    // From here on in this thread's own slabs; some are freed by another thread, and this one does not know yet.
    let fresh: Vec<usize> = (0..200).map(|_| allocate(2500)).collect();
    let size = OTHER.usable_size(std::ptr::with_exposed_provenance(fresh[0])).expect("a block");
    let gone: Vec<usize> = fresh.iter().copied().step_by(4).collect();
    let facts_of = |facts: &mut String, blocks: &[usize], what: &str| {
        blocks.iter().for_each(|block| writeln!(facts, "{block:#x} {what}").expect("a string takes it"));
    };
    let freed = gone.clone();
    std::thread::spawn(move || freed.into_iter().for_each(free)).join().expect("it ends");
    let kept: Vec<usize> = fresh.iter().copied().filter(|block| !gone.contains(block)).collect();
    // The walk has described their memory as it was before.
    let described: Vec<String> = fresh.iter().map(|block| format!("{block:#x} ")).collect();
    let old = |line: &&str| !described.iter().any(|start| line.starts_with(start));
    let mut facts: String = facts.lines().filter(old).map(|line| format!("{line}\n")).collect();
    facts_of(&mut facts, &gone, "free");
    facts_of(&mut facts, &kept, &format!("live {size}"));
    facts_of(&mut facts, &[(&raw const OTHER).addr(), main as *const () as usize, 16], "outside");
    writeln!(facts, "{:#x} live 4096", Box::leak(Box::new([1_u8; 4096])).as_ptr().addr()).expect("a string takes it");
    let (blocks, bytes) = (stats.live_blocks + kept.len(), stats.live_bytes + kept.len() * size);
    writeln!(facts, "heap {:#x} {blocks} {bytes}", (&raw const OTHER).addr()).expect("a string takes it");
    std::fs::write(file, facts).expect("the file is written");
    stop_here();
}
