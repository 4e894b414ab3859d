//! The books of a caller: which blocks are live, with a pattern in each, and which were freed.

use crate::asan::POISON;
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use support::pattern;

/// Prints what has been done so far, if `HMALLOC_FUZZ_TRACE` is set: what a sanitizer finds ends the process from within.
pub fn note(done: impl FnOnce() -> String) {
    static WANTED: OnceLock<bool> = OnceLock::new();
    if *WANTED.get_or_init(|| std::env::var_os("HMALLOC_FUZZ_TRACE").is_some()) {
        eprintln!("{}", done());
    }
}

/// A live block.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// What was asked for.
    pub layout: Layout,
    /// What the heap says may be used.
    pub usable: usize,
    seed: usize,
}

/// What a caller of the heap knows.
#[derive(Debug, Default)]
pub struct Books {
    /// The live blocks, by address. All their bytes are hidden.
    pub live: BTreeMap<usize, Block>,
    /// Blocks that were freed and not handed out since.
    pub freed: Vec<usize>,
    seeds: usize,
}

impl Books {
    /// The live block that a number chooses.
    pub fn nth(&self, number: usize) -> Option<(usize, Block)> {
        self.live.iter().nth(number % self.live.len().max(1)).map(|(at, block)| (*at, *block))
    }

    /// The live block that contains an address.
    pub fn around(&self, address: usize) -> Option<(usize, Block)> {
        let (at, block) = self.live.range(..=address).next_back()?;
        (address < at + block.usable.max(1)).then_some((*at, *block))
    }

    /// Enters a new block, fills it and hides it.
    pub fn enter(&mut self, payload: *mut u8, layout: Layout, usable: usize, zeroed: bool) {
        let at = payload.addr();
        assert!(at.is_multiple_of(layout.align().max(16)), "{at:#x} is not aligned for {layout:?}");
        assert!(usable >= layout.size(), "{usable} bytes at {at:#x} for {layout:?}");
        let other =
            self.around(at).or_else(|| self.live.range(at..at + usable).next().map(|(at, block)| (*at, *block)));
        assert!(other.is_none(), "{at:#x} of {usable} bytes overlaps {other:x?}");
        // SAFETY: the heap has handed these bytes out, and no live block overlaps them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(payload, usable) };
        if zeroed {
            let other = pattern::first_other_than(&bytes[..layout.size()], 0);
            assert!(other.is_none(), "{layout:?} at {at:#x} is not zero at {other:?}");
        }
        self.seeds += 1;
        let block = Block { layout, usable, seed: self.seeds };
        pattern::fill(bytes, block.seed);
        (POISON.hide)(at, usable);
        self.live.insert(at, block);
        self.freed.retain(|freed| *freed != at);
    }

    /// Takes out a block that the heap has freed.
    pub fn free(&mut self, at: usize) {
        let block = self.live.remove(&at).expect("a live block");
        (POISON.show)(at, block.usable);
        self.freed.push(at);
        if self.freed.len() > 64 {
            self.freed.remove(0);
        }
    }

    /// The content is what was written.
    pub fn verify(&self, at: usize, block: &Block) {
        POISON.lift(at, block.usable, || Self::starts_with_pattern(at, block, block.usable));
    }

    /// The first bytes at an address, where nothing is hidden, are those of a block.
    fn starts_with_pattern(at: usize, block: &Block, bytes: usize) {
        // SAFETY: the bytes are a live block's.
        let held = unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(at), bytes) };
        let difference = pattern::first_difference(held, block.seed);
        assert!(difference.is_none(), "the content of {block:x?} at {at:#x} changed at {difference:?}");
    }

    /// Before a block is resized: the heap may have to copy its content.
    pub fn show(&self, at: usize, block: &Block) {
        self.verify(at, block);
        (POISON.show)(at, block.usable);
    }

    /// After it could not be resized.
    pub fn hide(&self, at: usize, block: &Block) {
        (POISON.hide)(at, block.usable);
        self.verify(at, block);
    }

    /// After it was resized: the content is kept, as far as there is room.
    pub fn moved(&mut self, from: usize, to: *mut u8, layout: Layout, usable: usize) {
        let old = self.live.remove(&from).expect("a live block");
        if from != to.addr() {
            self.freed.push(from);
        }
        Self::starts_with_pattern(to.addr(), &old, old.usable.min(layout.size()));
        self.enter(to, layout, usable, false);
    }

    /// An address that is no live block's, by a number.
    pub fn wrong(&self, kind: usize, number: usize) -> usize {
        let local = 0_u8;
        let address = match (kind % 8, self.nth(number)) {
            (0 | 1, Some((at, block))) => at + 16 * (1 + number % (block.usable / 16).max(1)),
            (2, Some((at, block))) => at + 1 + number % block.usable.max(1),
            (3, Some((at, _))) => at.wrapping_sub(16 * (1 + number % 64)),
            (4, _) => std::ptr::from_ref(&local).addr(),
            (5, _) => number.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            (6, Some((at, block))) => (at + block.usable).wrapping_add(number * 16),
            _ => self.freed.get(number % self.freed.len().max(1)).copied().unwrap_or(8),
        };
        if self.live.contains_key(&address) || address == 0 { 1 } else { address }
    }
}
