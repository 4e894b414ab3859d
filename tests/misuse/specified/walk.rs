//! The walk through all states that short sequences reach.

use super::model::{Live, Model, Name};
use super::pointers::pointers;
use super::state::{Place, Saved};
use hmalloc::{Heap, MisuseKind, ResizeError, SpanInfo, SpanKind};
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::{with_exposed_provenance_mut, without_provenance_mut};
use support::arena::Arena;
use support::calls::layout;
use support::ensure;
use support::oracle::Verdict;

/// Less than 60 pages, so that all metadata is in the heap's first page, and saved with it.
const ARENA: usize = 900 << 10;
/// What is set aside for mappings where there are some.
const MAPPINGS: usize = 600 << 10;
/// After sequences of so many calls in order all addresses are asked, and the heap's bytes are compared after every wrong call.
const THOROUGH: usize = 2;
/// Entries that a wrong pointer is given to.
const ENTRIES: u64 = 5;

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

const KINDS: [MisuseKind; 5] = [
    MisuseKind::OutsideHeap,
    MisuseKind::Misaligned,
    MisuseKind::NotABlock,
    MisuseKind::AlreadyFree,
    MisuseKind::WrongLayout,
];

/// Counts, and what is under way.
pub(super) struct Walk {
    length: usize,
    done: Vec<(Move, usize)>,
    pub(super) fault: Option<Fault>,
    /// How often each kind of misuse was answered.
    pub(super) met: [u64; KINDS.len()],
    states: u64,
    calls: u64,
    answers: u64,
    /// Sequences of up to so many operations, wrong ones among them, that these states stand for.
    sequences: f64,
}

struct Here<'a> {
    place: Place<'a>,
    arena: Range<usize>,
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
                    let address = payload.addr().get();
                    let usable = heap.usable_size(payload.as_ptr()).map_err(|misuse| format!("{misuse:x?}"))?;
                    model.handed_out(Live { address, usable, size })?;
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
                        let address = moved.addr().get();
                        let usable = heap.usable_size(moved.as_ptr()).map_err(|misuse| format!("{misuse:x?}"))?;
                        model.freed(choice);
                        model.handed_out(Live { address, usable, size })?;
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

    /// Every wrong call in the present state. How many there are.
    fn all_wrong(&mut self, here: &mut Here<'_>, model: &Model, saved: &Saved) -> Verdict<u64> {
        here.place.heap().check().map_err(|corruption| format!("{corruption}"))?;
        let brk = here.place.heap().brk().current();
        let thorough = self.done.len() <= THOROUGH;
        let tried = pointers(model, &here.arena, brk);
        for &address in &tried {
            self.wrong(here, model, address)?;
            ensure!(!thorough || here.place.is(saved), "{address:#x} changed the heap");
        }
        for live in &model.live {
            self.wrong_layouts(here, live)?;
            let there = here.place.heap().usable_size(without_provenance_mut::<u8>(live.address));
            model.judge(live.address, there)?;
        }
        if thorough {
            self.every_address(here, model)?;
        }
        ensure!(here.place.is(saved), "wrong calls changed the heap");
        Ok(tried.len() as u64 * ENTRIES + model.live.len() as u64 * 4)
    }

    /// Gives a pointer that is no payload to every entry.
    fn wrong(&mut self, here: &mut Here<'_>, model: &Model, address: usize) -> Verdict {
        let (heap, pointer, small) = (here.place.heap(), without_provenance_mut::<u8>(address), Layout::new::<u64>());
        // SAFETY: nothing uses payloads here.
        let answers = unsafe {
            [
                heap.usable_size(pointer),
                heap.free(pointer).map(|()| 0),
                heap.free_sized(pointer, small).map(|()| 0),
                of_resize(heap.resize(pointer, small))?,
                of_resize(heap.resize_sized(pointer, small, layout(100_000, 64)))?,
            ]
        };
        model.judge(address, answers[0])?;
        let same = answers.iter().all(|answer| *answer == answers[0]);
        ensure!(same && !matches!(model.name(address).0, Name::Payload(_)), "{address:#x}: {answers:x?}");
        if let Err(misuse) = answers[0] {
            self.met[KINDS.iter().position(|kind| *kind == misuse.kind).ok_or("a new kind")?] += ENTRIES;
        }
        self.answers += ENTRIES;
        Ok(())
    }

    /// Names layouts that a live block cannot have.
    fn wrong_layouts(&mut self, here: &mut Here<'_>, live: &Live) -> Verdict {
        let heap = here.place.heap();
        let payload = with_exposed_provenance_mut(live.address);
        for wrong in [layout(live.usable + 1, 1), layout(live.size, 2 << live.address.trailing_zeros())] {
            // SAFETY: nothing uses payloads here.
            let answers = unsafe {
                [heap.free_sized(payload, wrong).map(|()| 0), of_resize(heap.resize_sized(payload, wrong, wrong))?]
            };
            for answer in answers {
                let told = answer
                    .is_err_and(|misuse| misuse.kind == MisuseKind::WrongLayout && misuse.address == live.address);
                ensure!(told, "{live:x?} as {wrong:?} was answered with {answer:x?}");
                self.met[4] += 1;
            }
            self.answers += 2;
        }
        Ok(())
    }

    /// Asks at each address from below the heap to beyond it.
    fn every_address(&mut self, here: &mut Here<'_>, model: &Model) -> Verdict {
        let heap = here.place.heap();
        let (Some(first), Some(last)) = (model.spans.first(), model.spans.last()) else { return Ok(()) };
        for address in first.address - 64..last.address + last.bytes + 64 {
            model.judge(address, heap.usable_size(without_provenance_mut::<u8>(address)))?;
            self.answers += 1;
        }
        Ok(())
    }
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

/// A resize's answer, as that of the others. It may not run out: that would have been to accept the pointer.
fn of_resize(answer: Result<std::ptr::NonNull<u8>, ResizeError>) -> Verdict<Result<usize, hmalloc::Misuse>> {
    match answer {
        Ok(_) => Ok(Ok(0)),
        Err(ResizeError::Misuse(misuse)) => Ok(Err(misuse)),
        Err(ResizeError::OutOfMemory) => Err("a wrong pointer ran out of memory".into()),
    }
}
