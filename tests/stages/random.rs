//! Long sequences of calls, with refusals, against what the journal says is true after every one of them.

use super::experiments::{fill, holds};
use super::subject::MAX_ALIGN;
use hmalloc::brk::Emulated;
use hmalloc::stages::s1_minimal::Minimal;
use hmalloc::stages::s2_aligned::Aligned;
use hmalloc::stages::s3_linked::Linked;
use hmalloc::stages::s4_splitting::Splitting;
use hmalloc::stages::s5_coalescing::Coalescing;
use hmalloc::stages::{Stage, StageBlock};
use std::collections::BTreeMap;
use std::ptr::with_exposed_provenance_mut;
use support::arena::Arena;
use support::random::Random;

const STEPS: usize = 3000;
/// The bytes of all payloads are read after so many steps. Those of a freed one are, in any case.
const THOROUGH: usize = 16;
const MOST_LIVE: usize = 48;

/// A stage, what its caller knows, and what holds for it.
struct Run<S> {
    stage: S,
    start: usize,
    /// Size and mark of every live payload.
    live: BTreeMap<usize, (usize, u8)>,
    numbers: Random,
    verifies: bool,
    /// Lowering the break was refused at some time, so that free blocks may be on top.
    refused: bool,
}

impl<'a, S: Stage<Source = Emulated<'a>>> Run<S> {
    fn step(&mut self, number: usize) {
        match self.numbers.below(100) {
            0..50 if self.live.len() < MOST_LIVE => self.take(number as u8),
            0..90 => self.give_back(),
            90..94 => {
                let room = if self.numbers.below(2) == 0 { 0 } else { usize::MAX };
                self.stage.brk_mut().fail_after(room);
            }
            94..97 => {
                let refuse = self.numbers.below(2) == 0;
                self.refused |= refuse;
                self.stage.brk_mut().refuse_lowering(refuse);
            }
            _ if self.verifies => self.misuse(),
            _ => {}
        }
        self.check(number.is_multiple_of(THOROUGH));
    }

    fn take(&mut self, mark: u8) {
        let bound = [16, 200, 3000][self.numbers.below(3)];
        let size = self.numbers.below(bound);
        let blocks: Vec<_> = self.stage.blocks().collect();
        // SAFETY: only payloads are written, and nothing else moves the break.
        let payload = unsafe { self.stage.hmalloc(size) };
        if payload.is_null() {
            assert_eq!(self.stage.blocks().collect::<Vec<_>>(), blocks, "a refusal changes nothing");
            let larger = |block: &StageBlock| block.free && block.size >= size.next_multiple_of(MAX_ALIGN);
            assert!(!blocks.iter().any(larger), "{size} bytes were there");
            return;
        }
        fill(payload, size, mark);
        assert_eq!(self.live.insert(payload.expose_provenance(), (size, mark)), None);
    }

    fn give_back(&mut self) {
        let Some((&payload, &(size, mark))) = self.live.iter().nth(self.numbers.below(MOST_LIVE)) else { return };
        let payload = with_exposed_provenance_mut(payload);
        assert!(holds(payload, size, mark));
        self.live.remove(&payload.addr());
        // SAFETY: it is not used again.
        unsafe { self.stage.hfree(payload) };
    }

    /// Frees an address at which no live payload starts.
    fn misuse(&mut self) {
        let blocks: Vec<_> = self.stage.blocks().collect();
        let reach = self.stage.brk().current() - self.start + 64;
        let wrong = self.start + self.numbers.below(reach);
        if !self.live.contains_key(&wrong) {
            // SAFETY: this stage verifies.
            unsafe { self.stage.hfree(with_exposed_provenance_mut(wrong)) };
            assert_eq!(self.stage.blocks().collect::<Vec<_>>(), blocks, "{wrong:#x}");
        }
    }

    fn check(&self, thoroughly: bool) {
        let blocks: Vec<_> = self.stage.blocks().collect();
        let mut next = self.start;
        for block in &blocks {
            assert_eq!((block.header, block.payload), (next, next + S::HEADER), "blocks lie end to end");
            next = block.payload + block.size;
        }
        assert_eq!(self.stage.brk().current(), next, "the last one ends at the break");
        let used: Vec<_> = blocks.iter().filter(|block| !block.free).map(|block| block.payload).collect();
        assert!(used.iter().eq(self.live.keys()), "the used blocks are the live payloads");
        for block in blocks.iter().filter(|_| thoroughly) {
            let (size, mark) = self.live.get(&block.payload).copied().unwrap_or((0, 0));
            assert!(size <= block.size && holds(with_exposed_provenance_mut(block.payload), size, mark));
        }
    }
}

/// Runs one sequence and checks `holds`, which is told whether a lowering was ever refused, after every step.
fn run<'a, S: Stage<Source = Emulated<'a>>>(
    (arena, seed): (&'a mut Arena, u64),
    verifies: bool,
    new: fn(Emulated<'a>) -> S,
    holds: impl Fn(&[StageBlock], bool) -> bool,
) {
    let (start, numbers) = (arena.start(), Random::new(seed));
    let stage = new(arena.brk());
    let mut run = Run { stage, start, live: BTreeMap::new(), numbers, verifies, refused: false };
    for number in 0..STEPS {
        run.step(number);
        let blocks: Vec<_> = run.stage.blocks().collect();
        assert!(holds(&blocks, run.refused), "seed {seed}, step {number}: {blocks:?}");
    }
}

fn sequences(run: impl Fn((&mut Arena, u64))) {
    for seed in 1..=4 {
        run((&mut Arena::new(8 << 20), seed));
    }
}

fn free_on_top(blocks: &[StageBlock]) -> bool {
    blocks.last().is_some_and(|block| block.free)
}

fn free_neighbours(blocks: &[StageBlock]) -> bool {
    blocks.windows(2).any(|pair| pair[0].free && pair[1].free)
}

#[test]
fn stage_1() {
    sequences(|seed| run(seed, false, Minimal::new, |_, _| true));
}

#[test]
fn stage_2() {
    let rounded = |block: &StageBlock| block.size.is_multiple_of(MAX_ALIGN);
    sequences(|seed| run(seed, false, Aligned::new, |blocks, _| blocks.iter().all(rounded)));
}

#[test]
fn stage_3() {
    sequences(|seed| run(seed, true, Linked::new, |_, _| true));
}

#[test]
fn stage_4() {
    sequences(|seed| run(seed, true, Splitting::new, |blocks, refused| refused || !free_on_top(blocks)));
}

#[test]
fn stage_5() {
    sequences(|seed| {
        run(seed, true, Coalescing::new, |blocks, refused| {
            !free_neighbours(blocks) && (refused || !free_on_top(blocks))
        });
    });
}
