//! A library with a heap of its own, for programs that load it and let it go again.
#![allow(unsafe_code, reason = "its functions are called by name")]

use hmalloc::Hmalloc;

#[global_allocator]
static HEAP: Hmalloc = Hmalloc::new();

/// Fills and drops blocks. Returns 0 if all kept what was written into them and the heap is sound.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_work(seed: u32) -> u32 {
    let blocks: Vec<Vec<u8>> =
        (0..40).map(|index| vec![seed as u8; 1 + (seed + index) as usize * 977 % 90_000]).collect();
    let intact = blocks.iter().all(|block| block.iter().all(|&byte| byte == seed as u8));
    drop(blocks);
    u32::from(!intact || HEAP.check().is_err() || HEAP.stats().live_blocks == usize::MAX)
}
