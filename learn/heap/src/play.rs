//! A script of calls, played on a heap.
//!
//! The script comes as lines of words and numbers, and so does what is seen, so that any machine can play it for any other:
//!
//! | line | call | line | call |
//! |---|---|---|---|
//! | `n 5` | a new heap; the break stands 5 bytes past a page | `z` | free(null) |
//! | `m 0 24` | block 0 = malloc(24) | `R 1`, `R 0` | raises are refused, granted |
//! | `c 0 2 8` | block 0 = calloc(2, 8) | `L 1`, `L 0` | lowering is refused, granted |
//! | `r 0 90` | block 0 = realloc(block 0, 90) | `o 64` | somebody else raises the break by 64 bytes |
//! | `f 0 -8` | free(block 0 - 8) | `t` | trim |
//! | | | `A` | both are granted |
//!
//! For each call comes `= answer break`, both as distances from where the break stood at first, and what a heap said of a
//! wrong pointer; then `x 3` for each live block whose bytes are not what its holder wrote; and if the heap is to be drawn,
//! `b header payload size free` for each block of its own walk.

use crate::heap::{Heap, Kernel};
use core::fmt::{self, Write};
use core::mem::MaybeUninit;
use core::str::SplitAsciiWhitespace;
use hmalloc::brk::Emulated;

/// Blocks that a script may name.
const NAMES: usize = 256;
/// More blocks than any walk over a sound heap of a script finds.
const LONGEST_WALK: usize = 4096;

/// A block that the script named.
#[derive(Clone, Copy)]
struct Named {
    payload: *mut u8,
    size: usize,
    seed: u8,
    /// Live, and its bytes were written.
    written: bool,
}

/// Makes a heap over a break, and hands it over.
pub type Make<'m> = &'m dyn Fn(Emulated<'_>, &mut dyn FnMut(&mut dyn Heap));

/// Plays all that `script` says. Each `n` gets a heap of its own in `arena`, from `make`. `flush` is called after each call, so
/// that what was seen is known if the heap kills its process.
pub fn play<W: Write>(
    make: Make<'_>,
    arena: &mut [MaybeUninit<u8>],
    script: &str,
    drawn: bool,
    output: &mut W,
    flush: fn(&mut W),
) -> fmt::Result {
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let offset = line.strip_prefix("n ").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let mut result = Ok(());
        let part = &mut arena[offset..];
        let base = part.as_ptr().addr();
        make(Emulated::new(part), &mut |heap| {
            result = (|| {
                writeln!(output, "n {}", heap.header())?;
                let unused = Named { payload: core::ptr::null_mut(), size: 0, seed: 0, written: false };
                let mut player = Player { heap, named: [unused; NAMES], base, next: 1 };
                while let Some(line) = lines.next_if(|line| !line.starts_with('n')) {
                    player.step(line, drawn, output)?;
                    flush(output);
                }
                writeln!(output, "end")
            })();
        });
        result?;
        flush(output);
    }
    Ok(())
}

struct Player<'h> {
    heap: &'h mut dyn Heap,
    named: [Named; NAMES],
    base: usize,
    next: u8,
}

/// The next word as a number; 0 if there is none.
fn number(words: &mut SplitAsciiWhitespace<'_>) -> isize {
    // Sizes up to the largest are written as negative numbers.
    words.next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

impl Player<'_> {
    fn step(&mut self, line: &str, drawn: bool, output: &mut impl Write) -> fmt::Result {
        let mut words = line.split_ascii_whitespace();
        let call = words.next().unwrap_or("");
        write!(output, "= ")?;
        match call {
            "m" | "c" | "r" => self.answer(call, &mut words, output)?,
            "f" => self.free(&mut words, output)?,
            "z" => {
                self.heap.free(core::ptr::null_mut());
                write!(output, "- {}", self.now())?;
            }
            "t" => {
                let bytes = self.heap.trim();
                write!(output, "- {} {bytes}", self.now())?;
            }
            _ => {
                let amount = number(&mut words);
                let kernel: &mut dyn Kernel = self.heap.kernel();
                match call {
                    "R" => kernel.refuse_raises(amount != 0),
                    "L" => kernel.refuse_lowering(amount != 0),
                    "A" => {
                        kernel.refuse_raises(false);
                        kernel.refuse_lowering(false);
                    }
                    _ => kernel.raise_by_others(amount.unsigned_abs()),
                }
                write!(output, "- {}", self.now())?;
            }
        }
        writeln!(output)?;
        self.damaged(output)?;
        if drawn { self.draw(output) } else { Ok(()) }
    }

    /// Where the break stands, from the base.
    fn now(&mut self) -> isize {
        self.heap.current_break().wrapping_sub(self.base).cast_signed()
    }

    fn answer(&mut self, call: &str, words: &mut SplitAsciiWhitespace<'_>, output: &mut impl Write) -> fmt::Result {
        let index = number(words).unsigned_abs() % NAMES;
        let old = self.named[index];
        let first = number(words).cast_unsigned();
        let (payload, size) = match call {
            "m" => (self.heap.malloc(first), first),
            "c" => {
                let second = number(words).cast_unsigned();
                (self.heap.calloc(first, second), first.saturating_mul(second))
            }
            _ => (self.heap.realloc(old.payload, first), first),
        };
        if payload.is_null() {
            if call == "r" && size == 0 {
                self.named[index].written = false;
            }
            return write!(output, "null {}", self.now());
        }
        let now = self.heap.current_break();
        write!(output, "{} {now}", payload.addr().wrapping_sub(self.base).cast_signed(), now = self.now())?;
        let inside = payload.addr() >= self.base && payload.addr().checked_add(size).is_some_and(|end| end <= now);
        let kept = if old.written { old.size.min(size) } else { 0 };
        let intact = !inside
            || match call {
                "c" => holds(payload, size, 0),
                "r" => holds(payload, kept, old.seed),
                _ => true,
            };
        if !intact {
            write!(output, " lost")?;
        }
        self.next = self.next.checked_add(1).unwrap_or(1);
        let named = Named { payload, size, seed: self.next, written: inside };
        self.named[index] = named;
        if inside {
            named.write();
        }
        Ok(())
    }

    fn free(&mut self, words: &mut SplitAsciiWhitespace<'_>, output: &mut impl Write) -> fmt::Result {
        let index = number(words).unsigned_abs() % NAMES;
        let distance = number(words);
        if self.named[index].payload.is_null() {
            return write!(output, "- {}", self.now()); // It was answered with null: there is nothing to free.
        }
        let payload = self.named[index].payload.wrapping_offset(distance);
        // Whatever its name, the block that starts there is not looked at any more.
        for named in self.named.iter_mut().filter(|named| named.payload == payload) {
            named.written = false;
        }
        let mut result = Ok(());
        write!(output, "- ")?;
        let mut said = None;
        self.heap.free_and_hear(payload, &mut |misuse| {
            let mut text = Text { bytes: [0; 32], length: 0 };
            result = text.write_fmt(misuse);
            said = Some(text);
        });
        write!(output, "{}", self.now())?;
        if let Some(text) = said {
            write!(output, " {}", core::str::from_utf8(&text.bytes[..text.length]).unwrap_or_default())?;
        }
        result
    }

    /// Says which live blocks do not hold what was written to them, and writes it again.
    fn damaged(&self, output: &mut impl Write) -> fmt::Result {
        for (index, named) in self.named.iter().enumerate().filter(|(_, named)| named.written) {
            if !holds(named.payload, named.size, named.seed) {
                writeln!(output, "x {index}")?;
                named.write();
            }
        }
        Ok(())
    }

    fn draw(&mut self, output: &mut impl Write) -> fmt::Result {
        let (mut count, mut result, base) = (0, Ok(()), self.base);
        self.heap.blocks(&mut |block| {
            count += 1;
            assert!(count < LONGEST_WALK, "the walk over the heap does not end");
            let from = |address: usize| address.wrapping_sub(base).cast_signed();
            let (header, payload) = (from(block.header), from(block.payload));
            let line = writeln!(output, "b {header} {payload} {} {}", block.size, u8::from(block.free));
            result = result.and(line);
        });
        result
    }
}

impl Named {
    fn write(&self) {
        // SAFETY: the bytes lie in the arena, below the break.
        unsafe { self.payload.write_bytes(self.seed, self.size) }
    }
}

/// Whether all bytes are `byte`.
fn holds(payload: *mut u8, size: usize, byte: u8) -> bool {
    // SAFETY: the callers' bytes lie in the arena, below the break as it was when they were handed out.
    (0..size).all(|at| unsafe { payload.wrapping_add(at).read() } == byte)
}

/// A short text.
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
