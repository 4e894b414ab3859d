//! The calls, and what is to be seen after each of them.

use crate::draw::{draw, scale};
use crate::heaps::{Row, Shown, program_break};
use crate::named::{NAMES, Named};
use core::fmt::{self, Write};
use hmalloc::stages::s2_aligned::ALIGN;
use hmalloc::{BlockState, Misuse};

/// A call. Blocks have the names of letters.
#[derive(Clone, Copy)]
enum Call {
    Take(char, usize),
    Give(char),
    /// A pointer so many bytes into a block, which is no pointer that `hfree` was made for.
    GiveInside(char, usize),
    Trim,
}

/// The same for every heap. Sizes are such that some fit where others were and some do not.
const SCRIPT: [(Call, &str); 15] = [
    (Call::Take('a', 21), "The first block: the break is raised."),
    (Call::Take('b', 200), "21 is no round number. Where does the next payload start?"),
    (Call::Take('c', 40), ""),
    (Call::Take('d', 40), ""),
    (Call::Give('b'), "A free block between used ones."),
    (Call::Take('e', 24), "First fit: b's place. All of it?"),
    (Call::Give('e'), "Are there two free neighbours now, or one free block?"),
    (Call::Give('c'), "And now?"),
    (Call::Take('f', 256), "More than b had, less than b and c had together. Does the break have to be raised?"),
    (Call::Give('d'), "Was it the last block?"),
    (Call::Give('f'), "Only a is in use now. How far down does the break go?"),
    (Call::GiveInside('a', 12), "No block starts at that address. Who notices?"),
    (Call::Give('a'), "The last block in use."),
    (Call::Give('a'), "Once more."),
    (Call::Trim, "What is kept for the next request goes back to the kernel, too."),
];

/// One heap on its way through the script.
pub(crate) struct Tour<'t, H, W> {
    heap: &'t mut H,
    output: &'t mut W,
    named: [Named; NAMES],
    /// Where the break stood at first: addresses are shown as distances from here.
    base: usize,
}

impl<'t, H: Shown, W: Write> Tour<'t, H, W> {
    pub(crate) fn new(heap: &'t mut H, output: &'t mut W) -> Self {
        let nobody = Named { name: ' ', payload: core::ptr::null_mut(), asked: 0, live: false };
        Self { heap, output, named: [nobody; NAMES], base: program_break() }
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
        Ok(())
    }

    fn step(&mut self, number: usize, call: Call, look: &str) -> fmt::Result {
        let before = (program_break(), self.fingerprint());
        let Some(answer) = self.call(call) else { return Ok(()) };
        write!(self.output, "\n{number:>2}. ")?;
        self.say_call(call)?;
        self.say_answer(answer)?;
        if !look.is_empty() {
            writeln!(self.output, "    {look}")?;
        }
        writeln!(self.output)?;
        draw(self.heap, &self.named, self.base, self.output)?;
        self.notes(call, before)
    }

    fn call(&mut self, call: Call) -> Option<Answer> {
        Some(match call {
            Call::Take(name, asked) => {
                let payload = self.heap.take(asked);
                let named = Named { name, payload, asked, live: !payload.is_null() };
                if named.live {
                    named.write();
                }
                *self.place(name) = named;
                Answer::Payload(payload)
            }
            Call::Give(name) => {
                self.place(name).live = false;
                let payload = self.place(name).payload;
                Answer::Given(self.heap.give(payload))
            }
            Call::GiveInside(name, offset) => {
                let payload = self.place(name).payload.wrapping_add(offset);
                Answer::Given(self.heap.give(payload))
            }
            Call::Trim => Answer::Trimmed(self.heap.trim()?),
        })
    }

    fn place(&mut self, name: char) -> &mut Named {
        &mut self.named[(name as usize - 'a' as usize) % NAMES]
    }

    fn say_call(&mut self, call: Call) -> fmt::Result {
        match call {
            Call::Take(name, asked) => write!(self.output, "{name} = hmalloc({asked})"),
            Call::Give(name) => write!(self.output, "hfree({name})"),
            Call::GiveInside(name, offset) => write!(self.output, "hfree({name} + {offset})"),
            Call::Trim => write!(self.output, "trim(0)"),
        }
    }

    fn say_answer(&mut self, answer: Answer) -> fmt::Result {
        match answer {
            Answer::Payload(payload) if payload.is_null() => writeln!(self.output, "  ->  null"),
            Answer::Payload(payload) => writeln!(self.output, "  ->  +{}", payload.addr().wrapping_sub(self.base)),
            Answer::Given(Ok(())) => writeln!(self.output),
            Answer::Given(Err(misuse)) => writeln!(self.output, "  ->  {misuse}"),
            Answer::Trimmed(bytes) => writeln!(self.output, "  ->  {bytes} bytes"),
        }
    }

    /// What the drawing shows, in words: nothing is said that was not seen just now.
    fn notes(&mut self, call: Call, (break_before, before): (usize, u64)) -> fmt::Result {
        let break_now = program_break();
        if (break_before, before) == (break_now, self.fingerprint()) && !self.written() {
            return writeln!(self.output, "    * nothing changed");
        }
        if break_now > break_before {
            writeln!(self.output, "    * the break was raised by {} bytes", break_now - break_before)?;
        }
        if break_now < break_before {
            writeln!(self.output, "    * the break was lowered by {} bytes", break_before - break_now)?;
        }
        if let Call::Take(name, asked) = call {
            self.notes_on_payload(name, asked)?;
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

    fn notes_on_payload(&mut self, name: char, asked: usize) -> fmt::Result {
        let payload = self.place(name).payload.addr();
        if !payload.is_multiple_of(ALIGN) {
            writeln!(self.output, "    ! {name} does not start at a multiple of {ALIGN}")?;
        }
        let size = self.heap.rows().find(|row| row.payload() == payload).map_or(0, |row| row.size);
        if let Some(header) = self.heap.header()
            && size >= asked.next_multiple_of(ALIGN) + header + ALIGN
        {
            writeln!(self.output, "    ! {name} asked for {asked} bytes and got all {size}: the block is not split")?;
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

    fn written(&self) -> bool {
        self.named.iter().any(|named| named.live && !named.is_intact())
    }

    /// A number that changes with the blocks.
    fn fingerprint(&self) -> u64 {
        let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(29);
        let words = |row: Row| [row.start as u64, row.size as u64, row.state as u64];
        self.heap.rows().flat_map(words).fold(0xcbf2_9ce4_8422_2325, add)
    }
}

/// What a call came back with.
enum Answer {
    Payload(*mut u8),
    Given(Result<(), Misuse>),
    Trimmed(usize),
}
