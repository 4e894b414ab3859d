//! The walk through all states that short sequences reach.

use super::model::{Live, Model};
use super::state::{Place, Tried};
use super::wrong::KINDS;
use hmalloc::{Heap, ResizeError, SpanInfo, SpanKind};
use std::ops::Range;
use std::ptr::{NonNull, with_exposed_provenance_mut};
use support::arena::Arena;
use support::calls::layout;
use support::oracle::Verdict;

/// Less than 60 pages, so that all metadata is in the heap's first page, and saved with it.
const ARENA: usize = 900 << 10;
/// What is set aside for mappings where there are some.
const MAPPINGS: usize = 600 << 10;

/// A call in order, or what someone else does. Those that need a live payload are made with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Allocate(usize),
    Free,
    Resize(usize),
    Trim,
    /// Someone else raises the break.
    Neighbour(usize),
}

/// What is wrong with the model, in the control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ForgetsAPayload,
    KeepsAFreed,
    TakesTheTailForSlots,
}

/// Counts, and what is under way.
pub(super) struct Walk {
    length: usize,
    pub(super) done: Vec<(Move, usize)>,
    pub(super) fault: Option<Fault>,
    /// How often each kind of misuse was answered.
    pub(super) met: [u64; KINDS.len()],
    states: u64,
    calls: u64,
    pub(super) answers: u64,
    /// Sequences of up to so many operations, wrong ones among them, that these states stand for.
    sequences: f64,
}

/// The heap, and the bytes in which it is.
pub(super) struct Here<'a> {
    pub(super) place: Place<'a>,
    pub(super) arena: Range<usize>,
}

impl Walk {
    pub(super) fn new(length: usize) -> Self {
        let met = [0; KINDS.len()];
        Self { length, done: Vec::new(), fault: None, met, states: 0, calls: 0, answers: 0, sequences: 0.0 }
    }

    pub(super) fn tally(&self) -> String {
        let Self { states, calls, answers, sequences, met, .. } = self;
        format!("{states} states, {calls} calls in order, {answers} wrong ones, {met:?}; {sequences:.1e} sequences")
    }

    /// Walks from an untouched heap. With `mappings` the break moves once only.
    pub(super) fn run(&mut self, moves: &[Move], mappings: bool) -> Verdict {
        let mut arena = Arena::new(if mappings { ARENA + MAPPINGS } else { ARENA });
        let range = arena.start()..arena.end();
        let mut brk = arena.brk();
        if mappings {
            brk.allow_mappings(MAPPINGS);
            brk.fail_after(1);
        }
        let mut here = Here { place: Place::new(Heap::new(brk)), arena: range };
        let sequences = self.walk(&mut here, &Model::default(), moves, self.length);
        let sequences = sequences.map_err(|what| format!("{what}, after {:x?}", self.done))?;
        self.sequences = sequences.iter().sum();
        Ok(())
    }

    /// Tries all wrong calls in the present state, and walks on by each call in order. How many sequences of 0, 1, ... more
    /// operations there are.
    fn walk(&mut self, here: &mut Here<'_>, model: &Model, moves: &[Move], left: usize) -> Verdict<Vec<f64>> {
        let mut sequences = vec![0.0; left + 1];
        sequences[0] = 1.0;
        if left == 0 {
            return Ok(sequences);
        }
        self.states += 1;
        let saved = here.place.save(&model.spans);
        let wrong = self.all_wrong(here, model, &saved)?;
        for &next in moves {
            let choices = if matches!(next, Move::Free | Move::Resize(_)) { model.live.len() } else { 1 };
            for choice in 0..choices {
                self.done.push((next, choice));
                let mut after = model.clone();
                let brk = here.place.heap().brk().current();
                self.step(here, &mut after, next, choice)?;
                for (count, further) in sequences[1..].iter_mut().zip(self.walk(here, &after, moves, left - 1)?) {
                    *count += further;
                }
                self.done.pop();
                clear(model, &after, brk..brk + next.written());
                here.place.restore(&saved);
            }
        }
        // A wrong call changes nothing: after it there are as many sequences as without it.
        (1..=left).for_each(|length| sequences[length] += wrong as f64 * sequences[length - 1]);
        Ok(sequences)
    }

    /// One call in order.
    fn step(&mut self, here: &mut Here<'_>, model: &mut Model, next: Move, choice: usize) -> Verdict {
        self.calls += 1;
        let heap = here.place.heap();
        match next {
            Move::Allocate(size) => {
                if let Ok(payload) = heap.allocate(layout(size, 8)) {
                    hand_out(heap, model, payload, size)?;
                }
            }
            Move::Free => {
                let payload = with_exposed_provenance_mut(model.live[choice].address);
                // SAFETY: nothing uses payloads here.
                unsafe { heap.free(payload) }.map_err(|misuse| format!("a right free: {misuse:x?}"))?;
                model.freed(choice);
            }
            Move::Resize(size) => {
                let payload = with_exposed_provenance_mut(model.live[choice].address);
                // SAFETY: as above.
                match unsafe { heap.resize(payload, layout(size, 8)) } {
                    Ok(moved) => {
                        model.freed(choice);
                        hand_out(heap, model, moved, size)?;
                    }
                    Err(ResizeError::OutOfMemory) => {}
                    Err(ResizeError::Misuse(misuse)) => return Err(format!("a right resize: {misuse:x?}")),
                }
            }
            Move::Trim => _ = heap.trim(0),
            Move::Neighbour(bytes) => heap.brk_mut().foreign_move(isize::try_from(bytes).expect("a small move")),
        }
        model.look(heap.spans().collect());
        self.spoil(model);
        Ok(())
    }

    /// In the control: the model is wrong from now on.
    fn spoil(&self, model: &mut Model) {
        match self.fault {
            Some(Fault::ForgetsAPayload) => _ = model.live.pop(),
            Some(Fault::KeepsAFreed) => {
                if let Some(address) = model.freed.pop() {
                    model.live.push(Live { address, usable: 32, size: 24 });
                }
            }
            Some(Fault::TakesTheTailForSlots) => {
                for span in &mut model.spans {
                    if let SpanKind::Slab { slot, capacity, .. } = &mut span.kind {
                        *capacity = span.bytes.div_ceil(*slot);
                    }
                }
            }
            None => {}
        }
    }
}

/// The model's block for a payload that the heap has handed out.
fn hand_out(heap: &Tried<'_>, model: &mut Model, payload: NonNull<u8>, size: usize) -> Verdict {
    let usable = heap.usable_size(payload.as_ptr()).map_err(|misuse| format!("{misuse:x?}"))?;
    model.handed_out(Live { address: payload.addr().get(), usable, size })
}

impl Move {
    /// Bytes above the break that it has others write.
    fn written(self) -> usize {
        if let Self::Neighbour(bytes) = self { bytes } else { 0 }
    }
}

/// Undoes what a call, or a neighbour, wrote into memory that the heap knows to be zero in the state before: metadata that was not
/// there then, and what the neighbour has.
fn clear(before: &Model, after: &Model, theirs: Range<usize>) {
    let is_metadata = |span: &&SpanInfo| span.kind == SpanKind::Metadata;
    let stood = |new: &&SpanInfo| before.spans.iter().any(|old| old.address == new.address && old.kind == new.kind);
    let new = after.spans.iter().filter(is_metadata).filter(|span| !stood(span));
    for range in new.map(|span| span.address..span.address + span.bytes).chain([theirs]) {
        // SAFETY: it is the arena's, and the heap is about to be what it was when it used nothing there.
        unsafe { with_exposed_provenance_mut::<u8>(range.start).write_bytes(0, range.len()) };
    }
}
