//! Robson's pattern: the one that needs the most memory of any heap that cannot move its blocks.
//!
//! ```text
//!   round 0   |16|16|16|16|16|16|16|16|        as many as may be live
//!   round 1   |16|  |16|  |16|  |16|  |        one in 32 stays, wherever it is in them: no block of 32 fits between
//!   round 2   |16|        |16|        |  ...   the same for 64, with the blocks of 32 that came in between
//! ```
//!
//! J. M. Robson, "Bounds for some functions concerning dynamic storage allocation", 1974. A heap that places blocks
//! in one row ends at half the logarithm of the sizes' ratio times what is live, here some six times, whatever it
//! does. One that has slots by size needs as much for its own reasons.

use super::blocks::Blocks;
use crate::allocators::block::Block;

/// The sizes, each twice the one before.
pub(super) const SIZE_MIN: usize = 16;
pub(super) const SIZE_MAX: usize = 16 << 10;

pub(super) const LIVE_MAX: usize = 32 << 20;

/// Ends with the frees before the round that would be of twice the largest size.
pub(super) fn run(blocks: &mut Blocks, scale: usize) {
    let (mut size, mut offset) = (SIZE_MIN, 0);
    loop {
        while blocks.live() + size <= LIVE_MAX / scale {
            blocks.add(size);
        }
        offset = best_offset(blocks.all(), offset, size);
        size *= 2;
        blocks.retain(0, |_, block| covers(block, offset, size));
        if size > SIZE_MAX {
            return;
        }
    }
}

/// Of the two places in `2 * size` that are `offset` in `size`, the one where the blocks that stay keep the most free
/// memory from being used for that size.
fn best_offset(blocks: &[Block], offset: usize, size: usize) -> usize {
    let blocked = |offset: &usize| -> usize {
        let kept = blocks.iter().filter(|&&block| covers(block, *offset, 2 * size));
        kept.map(|block| (2 * size).saturating_sub(block.size)).sum()
    };
    [offset, offset + size].into_iter().max_by_key(blocked).unwrap_or(offset)
}

/// Whether an address in the block is `offset` above a multiple of `size`, a power of two.
fn covers(block: Block, offset: usize, size: usize) -> bool {
    offset.wrapping_sub(block.payload.addr()) % size < block.size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators;
    use std::ptr::without_provenance_mut;

    fn block(address: usize, size: usize) -> Block {
        Block { payload: without_provenance_mut(address), size }
    }

    #[test]
    fn a_block_covers_the_addresses_in_it() {
        let covered = [0, 16, 32, 48].map(|offset| covers(block(0x1010, 32), offset, 64));
        assert_eq!(covered, [false, true, true, false]);
        assert!(covers(block(0x1030, 32), 0, 64), "from one multiple into the next");
    }

    #[test]
    fn the_place_with_more_small_blocks_is_kept() {
        let even = [block(0x1000, 16), block(0x1020, 16), block(0x1050, 16)];
        assert_eq!(best_offset(&even, 0, 16), 0);
        assert_eq!(best_offset(&[block(0x1010, 16), block(0x1020, 32)], 0, 16), 16);
    }

    #[test]
    fn no_more_is_live_than_may_be() {
        let mut blocks = Blocks::new(allocators::find("system").unwrap(), LIVE_MAX / 32 / SIZE_MIN);
        run(&mut blocks, 32);
        assert_eq!(blocks.peak_live(), LIVE_MAX / 32);
        let sizes: Vec<usize> = blocks.all().iter().map(|block| block.size).collect();
        assert!(sizes.contains(&SIZE_MIN) && sizes.contains(&SIZE_MAX) && blocks.live() < LIVE_MAX / 32);
    }
}
