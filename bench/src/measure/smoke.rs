//! Whether an entry gives memory that can be used: every block is filled with bytes of its own and read back.

use crate::allocators::candidate::{Entry, Kind};
use anyhow::{Result, bail, ensure};

/// Blocks at a time; each has a kind of request by its index.
const BLOCKS: usize = 300;
const ALIGNMENTS: [usize; 4] = [16, 64, 256, 4096];

struct Block {
    payload: *mut u8,
    size: usize,
    /// 0 if the request asked for none.
    align: usize,
    fill: u8,
}

/// The boundary's blocks overlap, so only their addresses are looked at.
pub(super) fn run(entry: &Entry) -> Result<()> {
    (entry.prepare)();
    let mut blocks: Vec<Block> = Vec::new();
    let mut random = fastrand::Rng::with_seed(7);
    for step in 0..20_000_usize {
        if blocks.len() < BLOCKS {
            blocks.push(allocate(entry, step, random.usize(1..3000))?);
            continue;
        }
        let index = random.usize(..BLOCKS);
        if step % 3 == 0 && blocks[index].align == 0 {
            resize(entry, &mut blocks[index], random.usize(1..6000))?;
        } else {
            free(entry, blocks.swap_remove(index))?;
        }
    }
    blocks.into_iter().try_for_each(|block| free(entry, block))
}

fn allocate(entry: &Entry, step: usize, size: usize) -> Result<Block> {
    let align = if step % 3 == 2 { ALIGNMENTS[step / 3 % ALIGNMENTS.len()] } else { 0 };
    // SAFETY: the size is not 0, the alignment is a power of two, and this process has one thread.
    let payload = unsafe {
        match step % 3 {
            0 => (entry.allocate)(size),
            1 => (entry.allocate_zeroed)(size),
            _ => (entry.allocate_aligned)(size, align),
        }
    };
    let is_aligned = payload.addr().is_multiple_of(align.max(8));
    ensure!(!payload.is_null() && is_aligned, "{size} bytes at a multiple of {} are at {payload:p}", align.max(8));
    let block = Block { payload, size, align, fill: (step % 255) as u8 + 1 };
    if step % 3 == 1 {
        expect(entry, &block, size, 0)?;
    }
    // SAFETY: the block has `size` bytes.
    unsafe { payload.write_bytes(block.fill, size) };
    Ok(block)
}

fn resize(entry: &Entry, block: &mut Block, size: usize) -> Result<()> {
    expect(entry, block, block.size, block.fill)?;
    // SAFETY: the block is live, has this size, and asked for no alignment.
    let payload = unsafe { (entry.resize)(block.payload, block.size, size) };
    ensure!(!payload.is_null() && payload.addr().is_multiple_of(8), "resized to {size} bytes is at {payload:p}");
    let kept = block.size.min(size);
    (block.payload, block.size) = (payload, size);
    expect(entry, block, kept, block.fill)?;
    // SAFETY: the block has `size` bytes now.
    unsafe { payload.write_bytes(block.fill, size) };
    Ok(())
}

fn free(entry: &Entry, block: Block) -> Result<()> {
    expect(entry, &block, block.size, block.fill)?;
    // SAFETY: the block is live, and nothing refers to it from here on.
    unsafe {
        match block.align {
            0 => (entry.free)(block.payload, block.size),
            align => (entry.free_aligned)(block.payload, block.size, align),
        }
    }
    Ok(())
}

/// The first `length` bytes are all `byte`.
fn expect(entry: &Entry, block: &Block, length: usize, byte: u8) -> Result<()> {
    if entry.kind == Kind::Boundary {
        return Ok(());
    }
    // SAFETY: the block has at least `length` bytes, and all were written or asked for zeroed.
    let bytes = unsafe { std::slice::from_raw_parts(block.payload, length) };
    if let Some(offset) = bytes.iter().position(|&found| found != byte) {
        bail!("byte {offset} of {} at {:p} is {}, not {byte}", block.size, block.payload, bytes[offset]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;

    /// The C library's entry, to be broken in one place.
    fn system() -> Entry {
        Entry { ..*allocators::find("system").unwrap() }
    }

    #[test]
    fn an_entry_that_works_passes() {
        run(&system()).unwrap();
    }

    #[test]
    fn an_entry_that_gives_the_same_block_twice_is_seen() {
        static mut BLOCK: [u64; 512] = [0; 512];
        let broken = Entry { allocate: |_| (&raw mut BLOCK).cast(), free: |_, _| (), ..system() };
        assert!(run(&broken).is_err());
    }

    #[test]
    fn an_entry_that_does_not_clear_is_seen() {
        let broken = Entry { allocate_zeroed: system().allocate, ..system() };
        assert!(run(&broken).is_err());
    }

    #[test]
    fn an_entry_that_does_not_align_is_seen() {
        // SAFETY: the caller's promises.
        let broken = Entry { allocate_aligned: |size, _| unsafe { libc::malloc(size) }.cast(), ..system() };
        assert!(run(&broken).is_err());
    }

    #[test]
    fn an_entry_that_loses_bytes_when_it_resizes_is_seen() {
        // SAFETY: the caller's promises; the old block is left to the end of the process.
        let broken = Entry { resize: |_, _, size| unsafe { libc::calloc(1, size) }.cast(), ..system() };
        assert!(run(&broken).is_err());
    }
}
