//! Every wrong call in a state.

use super::model::{Live, Model, Name};
use super::pointers::pointers;
use super::state::Saved;
use super::walk::{Here, Walk};
use hmalloc::{Misuse, MisuseKind, ResizeError};
use std::alloc::Layout;
use std::ptr::{NonNull, with_exposed_provenance_mut, without_provenance_mut};
use support::calls::layout;
use support::ensure;
use support::oracle::Verdict;

/// After sequences of so many calls in order all addresses are asked, and the heap's bytes are compared after every wrong call.
const THOROUGH: usize = 2;
/// Entries that a wrong pointer is given to.
const ENTRIES: u64 = 5;

pub(super) const KINDS: [MisuseKind; 5] = [
    MisuseKind::OutsideHeap,
    MisuseKind::Misaligned,
    MisuseKind::NotABlock,
    MisuseKind::AlreadyFree,
    MisuseKind::WrongLayout,
];

impl Walk {
    /// Every wrong call in the present state. How many there are.
    pub(super) fn all_wrong(&mut self, here: &mut Here<'_>, model: &Model, saved: &Saved) -> Verdict<u64> {
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

/// A resize's answer, as that of the others. It may not run out: that would have been to accept the pointer.
fn of_resize(answer: Result<NonNull<u8>, ResizeError>) -> Verdict<Result<usize, Misuse>> {
    match answer {
        Ok(_) => Ok(Ok(0)),
        Err(ResizeError::Misuse(misuse)) => Ok(Err(misuse)),
        Err(ResizeError::OutOfMemory) => Err("a wrong pointer ran out of memory".into()),
    }
}
