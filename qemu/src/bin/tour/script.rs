//! The calls, and what there is to see after each of them.

use crate::draw::{draw, scale};
use crate::heaps::{Row, Shown, program_break};
use crate::named::{NAMES, Named};
use crate::predict::Questions;
use core::fmt::{self, Write};
use hmalloc::stages::s2_aligned::ALIGN;
use hmalloc::{BlockState, Misuse};
use hmalloc_runtime::Output;

/// A call. Blocks are named by letters.
#[derive(Clone, Copy)]
enum Call {
    Allocate(char, usize),
    Free(char),
    /// Frees a pointer that many bytes into a block, which is misuse.
    FreeInside(char, usize),
    Trim,
}

/// All heaps run this script. Some sizes fit where other blocks were, and some do not.
const SCRIPT: [(Call, &str); 15] = [
    (Call::Allocate('a', 21), "The first block: the break is raised."),
    (Call::Allocate('b', 200), "21 is no round number. Where does the next payload start?"),
    (Call::Allocate('c', 40), ""),
    (Call::Allocate('d', 40), ""),
    (Call::Free('b'), "A free block between used ones."),
    (Call::Allocate('e', 24), "First fit: b's place. All of it?"),
    (Call::Free('e'), "Are there two free neighbours now, or one free block?"),
    (Call::Free('c'), "And now?"),
    (Call::Allocate('f', 256), "More than b had, less than b and c had together. Does the break have to be raised?"),
    (Call::Free('d'), "Was it the last block?"),
    (Call::Free('f'), "Only a is in use now. How far down does the break go?"),
    (Call::FreeInside('a', 12), "No block starts at that address. Who notices?"),
    (Call::Free('a'), "The last block in use."),
    (Call::Free('a'), "Once more."),
    (Call::Trim, "What is kept for the next request goes back to the kernel, too."),
];

/// One heap on its way through the script.
pub(crate) struct Tour<'t, H> {
    heap: &'t mut H,
    output: &'t mut Output,
    /// Who is asked before each step, if anyone is.
    questions: Option<Questions>,
    named: [Named; NAMES],
    /// The break at the start. Addresses are printed as distances from it.
    base: usize,
}

impl<'t, H: Shown> Tour<'t, H> {
    pub(crate) fn new(heap: &'t mut H, questions: Option<Questions>, output: &'t mut Output) -> Self {
        let unused = Named { name: ' ', payload: core::ptr::null_mut(), requested: 0, live: false };
        Self { heap, output, questions, named: [unused; NAMES], base: program_break() }
    }

    pub(crate) fn run(&mut self) -> fmt::Result {
        writeln!(
            self.output,
            "+0 is {:#x}, where the break stood at first. All else is so many bytes above it.",
            self.base
        )?;
        if let Some(header) = self.heap.header() {
            let scale = scale(header);
            writeln!(self.output, "One sign is {scale} bytes: # header, a-f payload in use, . free, | the break.")?;
        }
        for (number, (call, look)) in (1..).zip(SCRIPT) {
            self.step(number, call, look)?;
        }
        self.questions.as_ref().map_or(Ok(()), |questions| questions.score(self.output))
    }

    fn step(&mut self, number: usize, call: Call, look: &str) -> fmt::Result {
        if matches!(call, Call::Trim) && !self.heap.can_trim() {
            return Ok(());
        }
        let before = (program_break(), self.fingerprint());
        if self.questions.is_none() {
            let answer = self.call(call);
            self.say_call(number, call)?;
            self.say_answer(answer)?;
            self.say_look(look)?;
        } else {
            self.say_call(number, call)?;
            writeln!(self.output)?;
            self.say_look(look)?;
            self.predicted(call, before.0)?;
        }
        writeln!(self.output)?;
        draw(self.heap, &self.named, self.base, self.output)?;
        self.notes(call, before)
    }

    /// Asks what a call will do, makes it, and says what it did.
    fn predicted(&mut self, call: Call, break_before: usize) -> fmt::Result {
        let allocates = matches!(call, Call::Allocate(..));
        let Some(questions) = &mut self.questions else { return Ok(()) };
        let predicted = questions.predict(allocates, self.output)?;
        let answer = self.call(call);
        let payload = match answer {
            Answer::Payload(payload) => Some(payload.addr().wrapping_sub(self.base).cast_signed()),
            _ => None,
        };
        write!(self.output, "    ")?;
        self.say_answer(answer)?;
        let moved = program_break().cmp(&break_before);
        let Some(questions) = &mut self.questions else { return Ok(()) };
        questions.reveal(predicted, moved, payload, self.output)
    }

    fn say_look(&mut self, look: &str) -> fmt::Result {
        if look.is_empty() { Ok(()) } else { writeln!(self.output, "    {look}") }
    }

    fn call(&mut self, call: Call) -> Answer {
        match call {
            Call::Allocate(name, requested) => {
                let payload = self.heap.allocate(requested);
                let named = Named { name, payload, requested, live: !payload.is_null() };
                if named.live {
                    named.write();
                }
                *self.named_mut(name) = named;
                Answer::Payload(payload)
            }
            Call::Free(name) => {
                self.named_mut(name).live = false;
                let payload = self.named_mut(name).payload;
                Answer::Freed(self.heap.free(payload))
            }
            Call::FreeInside(name, offset) => {
                let payload = self.named_mut(name).payload.wrapping_add(offset);
                Answer::Freed(self.heap.free(payload))
            }
            Call::Trim => Answer::Trimmed(self.heap.trim()),
        }
    }

    fn named_mut(&mut self, name: char) -> &mut Named {
        &mut self.named[(name as usize - 'a' as usize) % NAMES]
    }

    fn say_call(&mut self, number: usize, call: Call) -> fmt::Result {
        write!(self.output, "\n{number:>2}. ")?;
        match call {
            Call::Allocate(name, requested) => write!(self.output, "{name} = hmalloc({requested})"),
            Call::Free(name) => write!(self.output, "hfree({name})"),
            Call::FreeInside(name, offset) => write!(self.output, "hfree({name} + {offset})"),
            Call::Trim => write!(self.output, "trim(0)"),
        }
    }

    fn say_answer(&mut self, answer: Answer) -> fmt::Result {
        match answer {
            Answer::Payload(payload) if payload.is_null() => writeln!(self.output, "  ->  null"),
            Answer::Payload(payload) => writeln!(self.output, "  ->  +{}", payload.addr().wrapping_sub(self.base)),
            Answer::Freed(Ok(())) => writeln!(self.output),
            Answer::Freed(Err(misuse)) => writeln!(self.output, "  ->  {misuse}"),
            Answer::Trimmed(bytes) => writeln!(self.output, "  ->  {bytes} bytes"),
        }
    }

    /// What the drawing shows, in words. Each note is about the heap as it is now.
    fn notes(&mut self, call: Call, (break_before, before): (usize, u64)) -> fmt::Result {
        let break_now = program_break();
        if (break_before, before) == (break_now, self.fingerprint()) && !self.is_damaged() {
            return writeln!(self.output, "    * nothing changed");
        }
        if break_now > break_before {
            writeln!(self.output, "    * the break was raised by {} bytes", break_now - break_before)?;
        }
        if break_now < break_before {
            writeln!(self.output, "    * the break was lowered by {} bytes", break_before - break_now)?;
        }
        if let Call::Allocate(name, requested) = call {
            self.notes_on_payload(name, requested)?;
        }
        if let Some(header) = self.heap.header() {
            self.notes_on_blocks(header, break_now)?;
        }
        for index in 0..NAMES {
            let named = self.named[index];
            if named.live && !named.is_intact() {
                writeln!(self.output, "    ! the bytes of {} were written by hfree, which believed it", named.name)?;
                named.write();
            }
        }
        Ok(())
    }

    fn notes_on_payload(&mut self, name: char, requested: usize) -> fmt::Result {
        let payload = self.named_mut(name).payload.addr();
        if !payload.is_multiple_of(ALIGN) {
            writeln!(self.output, "    ! {name} does not start at a multiple of {ALIGN}")?;
        }
        let size = self.heap.rows().find(|row| row.payload() == payload).map_or(0, |row| row.size);
        if let Some(header) = self.heap.header()
            && size >= requested.next_multiple_of(ALIGN) + header + ALIGN
        {
            writeln!(
                self.output,
                "    ! {name} asked for {requested} bytes and got all {size}: the block is not split"
            )?;
        }
        Ok(())
    }

    fn notes_on_blocks(&mut self, header: usize, break_now: usize) -> fmt::Result {
        let (mut run, mut longest_run, mut on_top, mut end) = (0usize, 0, 0, self.base);
        for row in self.heap.rows() {
            let free = row.state == BlockState::Free;
            (run, on_top) = if free { (run + 1, on_top + header + row.size) } else { (0, 0) };
            longest_run = run.max(longest_run);
            end = row.end();
        }
        if longest_run > 1 {
            writeln!(self.output, "    ! {longest_run} free blocks side by side are not joined")?;
        }
        if on_top > 0 && end == break_now {
            writeln!(self.output, "    ! {on_top} bytes are left on top, free and below the break")?;
        }
        Ok(())
    }

    fn is_damaged(&self) -> bool {
        self.named.iter().any(|named| named.live && !named.is_intact())
    }

    /// A hash of all blocks.
    fn fingerprint(&self) -> u64 {
        let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(29);
        let words = |row: Row| [row.start as u64, row.size as u64, row.state as u64];
        self.heap.rows().flat_map(words).fold(0xcbf2_9ce4_8422_2325, add)
    }
}

/// The result of a call.
enum Answer {
    Payload(*mut u8),
    Freed(Result<(), Misuse>),
    Trimmed(usize),
}
