//! Whether what a heap answered is right: the oracle of exercises 1 to 5.
//!
//! It watches the calls from outside, as a program does. What is free it knows from what was freed, so it believes nothing that
//! a heap says of itself but the size of its headers.

use crate::level::Level;
use crate::model::{Model, Stretch};
use crate::played::{End, Played, Seen};
use crate::script::{Call, Script};

/// The reasons for which a heap is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A gap was reached.
    Unfinished,
    /// The process died.
    Died,
    /// It never came back.
    Hung,
    /// Null, although there was memory.
    Null,
    /// A payload at no multiple of the alignment.
    Misaligned,
    /// A block that reaches out of the heap, or the break below a live block.
    Outside,
    /// Two blocks, or a block and a header, on the same bytes.
    Overlap,
    /// Bytes of a live block were written.
    Damaged,
    /// A resized block lost its bytes, or zeros are none.
    Lost,
    /// The break was raised although a free block was large enough.
    NotReused,
    /// The break stayed although it could be lowered.
    NotLowered,
    /// The break was raised further than a block needs, or moved where it had no reason.
    BreakMoved,
    /// A block moved that had room where it was.
    Moved,
}

/// A call that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which call, counted from 0.
    pub step: usize,
    /// Why it is wrong.
    pub reason: Reason,
    /// In words.
    pub what: String,
}

/// Bytes of the array under the break, less what may be lost at its end.
const ARENA: usize = (1 << 20) - 70_000;

type Verdict = Result<(), (Reason, String)>;

fn ensure(holds: bool, reason: Reason, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err((reason, what())) }
}

/// The first fault in what was played.
#[must_use]
pub fn judge(script: &Script, played: &Played, level: Level) -> Option<Fault> {
    let mut judge = Judge { script, level, model: Model::new(level, played.header) };
    for (step, (&call, seen)) in script.calls.iter().zip(&played.steps).enumerate() {
        if let Err((reason, what)) = judge.call(call, seen) {
            return Some(Fault { step, reason, what });
        }
        judge.model.brk = seen.brk;
    }
    let step = played.steps.len().min(script.calls.len().saturating_sub(1));
    let reason = match played.end {
        End::Whole => return None,
        End::Gap(_) => Reason::Unfinished,
        End::Hung => Reason::Hung,
        End::Died(_) | End::Failed(_) => Reason::Died,
    };
    Some(Fault { step, reason, what: played.end.to_string() })
}

struct Judge<'s> {
    script: &'s Script,
    level: Level,
    model: Model,
}

impl Judge<'_> {
    fn name(&self, block: usize) -> &str {
        self.script.names.get(block).map_or("?", String::as_str)
    }

    fn call(&mut self, call: Call, seen: &Seen) -> Verdict {
        match call {
            Call::Malloc(block, size) => self.fresh(block, Some(size), seen)?,
            Call::Calloc(block, count, size) => self.fresh(block, count.checked_mul(size), seen)?,
            Call::Realloc(block, size) => self.resized(block, size, seen)?,
            // An address inside of one block, or where one was before, may be where another one starts.
            Call::Free(block, distance) => match self.model.starting_at(block, distance) {
                Some(block) => self.freed(block, seen)?,
                None => self.unchanged(seen)?,
            },
            Call::FreeNull => self.unchanged(seen)?,
            Call::RefuseRaises(refuse) => self.model.raises_refused = refuse,
            Call::RefuseLowering(refuse) => self.model.refuse_lowering(refuse),
            Call::Allow => {
                self.model.raises_refused = false;
                self.model.refuse_lowering(false);
            }
            Call::Other(bytes) => self.model.raise_by_others(bytes),
            Call::Trim => {}
        }
        if let Some(&block) = seen.damaged.first() {
            return Err((Reason::Damaged, format!("the bytes of {} are not what was written there", self.name(block))));
        }
        let cut = self.model.live.iter().find(|(_, live)| live.payload.saturating_add_unsigned(live.size) > seen.brk);
        ensure(cut.is_none(), Reason::Outside, || {
            format!(
                "the break stands at {:+}, and {} is live and reaches further",
                seen.brk,
                self.name(*cut.map_or(&0, |(block, _)| block))
            )
        })
    }

    fn unchanged(&self, seen: &Seen) -> Verdict {
        ensure(seen.brk == self.model.brk, Reason::BreakMoved, || {
            format!("the break moved to {:+}, and this call must not change anything", seen.brk)
        })
    }

    fn fresh(&mut self, block: usize, size: Option<usize>, seen: &Seen) -> Verdict {
        let Some(payload) = seen.payload else { return self.refused(size, seen) };
        let Some(size) = size else {
            return Err((Reason::Outside, "the product overflows, and there is a block all the same".into()));
        };
        self.placed(block, payload, size, seen)?;
        ensure(!seen.lost, Reason::Lost, || "the bytes are not zero".into())?;
        self.grown(payload, size, seen)?;
        self.model.cut(seen.brk);
        self.model.take(block, payload, size);
        Ok(())
    }

    /// Null is right if the kernel refuses, or there is not so much.
    fn refused(&self, size: Option<usize>, seen: &Seen) -> Verdict {
        self.unchanged(seen)?;
        let Some(need) = size.and_then(|size| self.model.rounded(size)) else { return Ok(()) };
        if let Some(fit) = self.model.fit(need) {
            return Err((
                Reason::Null,
                format!("the answer is null, and {} bytes are free at {:+}", fit.bytes(), fit.start),
            ));
        }
        let full = self.model.raises_refused || self.model.brk.unsigned_abs().saturating_add(need) > ARENA;
        ensure(full, Reason::Null, || "the answer is null, and the kernel has memory".into())
    }

    /// Where a block lies.
    fn placed(&self, block: usize, payload: isize, size: usize, seen: &Seen) -> Verdict {
        let end = payload.saturating_add_unsigned(size);
        let header = self.model.header.cast_signed();
        ensure(
            self.level < Level(2) || self.model.is_aligned(payload, self.script.offset),
            Reason::Misaligned,
            || format!("the payload of {} begins at {payload:+}, at no multiple of 16", self.name(block)),
        )?;
        ensure(payload >= header && end <= seen.brk, Reason::Outside, || {
            format!(
                "{} lies from {payload:+} to {end:+}, and the heap from 0 to the break, {:+}",
                self.name(block),
                seen.brk
            )
        })?;
        let foreign = self.model.others.iter().find(|others| payload - header < others.end && others.start < end);
        ensure(foreign.is_none(), Reason::Overlap, || {
            format!(
                "{} lies from {payload:+} to {end:+}, over bytes that somebody else raised the break over",
                self.name(block)
            )
        })?;
        let others = self.model.live.iter().filter(|(other, _)| **other != block);
        for (&other, live) in others {
            let (from, to) = (live.payload, live.payload.saturating_add_unsigned(live.size));
            ensure(end <= from - header || to <= payload - header, Reason::Overlap, || {
                format!(
                    "{} lies from {payload:+} to {end:+} with {header} bytes of header before it, and {} from {from:+} to {to:+}",
                    self.name(block),
                    self.name(other)
                )
            })?;
        }
        Ok(())
    }

    /// How far the break was raised.
    fn grown(&self, payload: isize, size: usize, seen: &Seen) -> Verdict {
        let (Some(need), rise) = (self.model.rounded(size), seen.brk - self.model.brk) else { return Ok(()) };
        if rise <= 0 {
            let right = rise == 0 || self.model.shrinks_top(payload);
            return ensure(right, Reason::BreakMoved, || "the break was lowered".into());
        }
        if let Some(fit) = self.model.fit(need) {
            let what = format!("the break was raised, and {} bytes are free at {:+}", fit.bytes(), fit.start);
            return Err((Reason::NotReused, what));
        }
        let most = need + self.model.header + 32;
        ensure(rise.unsigned_abs() <= most, Reason::BreakMoved, || {
            format!("the break was raised by {rise} bytes for {size}")
        })
    }

    fn freed(&mut self, block: usize, seen: &Seen) -> Verdict {
        let before = self.model.brk;
        ensure(seen.brk <= before, Reason::BreakMoved, || "the break was raised".into())?;
        let lowest = self.model.free(block);
        if let Some(lowest) = lowest {
            ensure(seen.brk <= lowest, Reason::NotLowered, || {
                format!("the break stands at {:+}, and nothing above {lowest:+} is live", seen.brk)
            })?;
        }
        self.model.cut(seen.brk);
        Ok(())
    }

    fn resized(&mut self, block: usize, size: usize, seen: &Seen) -> Verdict {
        let Some(&live) = self.model.live.get(&block) else {
            if !self.model.was_given(block) {
                if size == 0 && seen.payload.is_none() {
                    return self.unchanged(seen); // Of null and 0 bytes nothing has to come.
                }
                return self.fresh(block, Some(size), seen); // It was answered with null, and null is allocated.
            }
            // The old block is none any more: with a size nothing may come of it.
            return ensure(seen.payload.is_none(), Reason::Overlap, || "a block that was freed is resized".into());
        };
        if size == 0 {
            return self.freed(block, seen);
        }
        let need = self.model.rounded(size);
        let stays = need.is_some_and(|need| self.model.can_stay(&live, need));
        let Some(payload) = seen.payload else {
            return ensure(!stays, Reason::Null, || "the answer is null, and there is room where the block is".into())
                .and_then(|()| self.refused(Some(size), seen));
        };
        ensure(!seen.lost, Reason::Lost, || format!("{} has not kept its bytes", self.name(block)))?;
        self.placed(block, payload, size, seen)?;
        if payload == live.payload {
            self.model.resize(block, size, seen.brk);
            return Ok(());
        }
        ensure(!stays, Reason::Moved, || format!("{} moved, and there is room where it was", self.name(block)))?;
        self.model.cut(seen.brk);
        self.model.take(block, payload, size);
        self.model.give(Stretch { start: live.payload, end: live.end });
        self.model.cut(seen.brk);
        Ok(())
    }
}
