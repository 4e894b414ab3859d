//! What others do: a neighbour moves the break, a caller hands over a pointer that is no payload.

use super::{STALE, World};
use crate::ensure;
use crate::oracle::{Expected, Snapshot, Verdict};
use crate::pattern;
use crate::subject::Subject;
use hmalloc::ResizeError;
use std::alloc::Layout;

impl<'a, S: Subject<'a>> World<'a, S> {
    /// Someone else raises the break.
    pub fn foreign_raise(&mut self, bytes: usize) -> Verdict {
        let before = self.break_now();
        self.brk().foreign_move(isize::try_from(bytes).expect("a small move"));
        let after = self.break_now();
        if before < after {
            (self.veil.hide)(before, after - before);
            match self.oracle.foreign.last_mut() {
                Some(last) if last.1 == before => last.1 = after,
                _ => self.oracle.foreign.push((before, after)),
            }
        }
        self.audit()
    }

    /// Someone else lowers the break again, as far as they raised it and while it is where they left it.
    pub fn foreign_lower(&mut self, bytes: usize) -> Verdict {
        self.foreign_intact()?;
        let now = self.break_now();
        let Some(&(from, to)) = self.oracle.foreign.last() else { return Ok(()) };
        let fenced = self.last.blocks.iter().any(|block| block.address < to && from < block.address + block.size);
        if to != now || fenced {
            return Ok(());
        }
        let bytes = bytes.min(to - from);
        (self.veil.show)(to - bytes, bytes);
        self.brk().foreign_move(-isize::try_from(bytes).expect("a small move"));
        self.oracle.foreign.pop();
        if bytes < to - from {
            self.oracle.foreign.push((from, to - bytes));
        }
        self.audit()
    }

    /// The heap wrote nothing into memory that is not its own.
    pub fn foreign_intact(&self) -> Verdict {
        for &(from, to) in &self.oracle.foreign {
            let other = self.veil.lift(from, to - from, || {
                let start = std::ptr::with_exposed_provenance::<u8>(from);
                // SAFETY: the range lies in the arena, below the break, and `foreign_move` wrote it.
                pattern::first_other_than(unsafe { std::slice::from_raw_parts(start, to - from) }, STALE)
            });
            ensure!(other.is_none(), "someone wrote into foreign memory at {from:#x} + {other:?}");
        }
        Ok(())
    }

    /// Gives a pointer that is no payload to every entry of the heap; each says what it is and nothing changes.
    pub fn misuse(&mut self, address: usize) -> Verdict {
        let expected = self.last.expected(&self.oracle, address);
        if matches!(expected, Expected::Payload(_)) {
            return Ok(());
        }
        let pointer = std::ptr::without_provenance_mut::<u8>(address);
        let layout = Layout::new::<u64>();
        let judge = |snapshot: &Snapshot, answer| snapshot.judge(expected, address, answer);
        judge(&self.last, self.subject.usable_size(pointer)).map_err(|what| format!("usable_size: {what}"))?;
        let answer = self.subject.free(pointer).map(|()| 0);
        judge(&self.last, answer).map_err(|what| format!("free: {what}"))?;
        let answer = self.subject.free_sized(pointer, layout).map(|()| 0);
        judge(&self.last, answer).map_err(|what| format!("free_sized: {what}"))?;
        match self.subject.resize(pointer, layout) {
            Ok(moved) => return Err(format!("resize accepted {address:#x} and moved it to {moved:?}")),
            Err(ResizeError::OutOfMemory) => return Err(format!("resize of {address:#x} ran out of memory")),
            Err(ResizeError::Misuse(misuse)) => {
                judge(&self.last, Err(misuse)).map_err(|what| format!("resize: {what}"))?;
            }
        }
        self.unchanged()
    }
}
