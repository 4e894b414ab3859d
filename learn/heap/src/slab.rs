//! What exercise 6 makes, and what plays it.

use core::fmt::{self, Write};

/// Why an address is not freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It lies outside of the slab.
    Outside,
    /// No slot starts there: it lies inside of one, or in the tail behind the last.
    NotASlot,
    /// A slot starts there, and it is free.
    AlreadyFree,
}

/// A stretch of memory cut into slots of one size, with one bit for each.
pub trait Slab {
    /// `bytes` bytes at `start`, cut into slots of `slot` bytes. All are free.
    fn new(start: usize, bytes: usize, slot: usize) -> Self;

    /// The address of a slot that was free, or nothing if there is none.
    fn allocate(&mut self) -> Option<usize>;

    /// Frees the slot that starts at exactly `address`.
    ///
    /// # Errors
    ///
    /// Why it is not freed; then nothing has changed.
    fn free(&mut self, address: usize) -> Result<(), Wrong>;
}

/// Where the slab of a script begins. No byte of it is ever touched.
const START: usize = 0x10_0000;

/// Plays a script on slabs. Its lines are `n BYTES SLOT` for a new one, `a` and `f ADDRESS`, with addresses as distances from
/// the slab's start; answers are `= ADDRESS`, `= full`, `= ok` and `= ` with what is wrong.
pub fn play_slab<S: Slab, W: Write>(script: &str, output: &mut W, flush: fn(&mut W)) -> fmt::Result {
    let mut slab = S::new(START, 4096, 64);
    for line in script.lines() {
        let mut words = line.split_ascii_whitespace();
        let call = words.next().unwrap_or("");
        let mut number = || words.next().and_then(|word| word.parse::<isize>().ok()).unwrap_or(0);
        match call {
            "n" => {
                let (bytes, slot) = (number().unsigned_abs(), number().unsigned_abs());
                slab = S::new(START, bytes, slot);
                writeln!(output, "n 0")?;
            }
            "a" => match slab.allocate() {
                Some(address) => writeln!(output, "= {}", address.wrapping_sub(START).cast_signed())?,
                None => writeln!(output, "= full")?,
            },
            _ => match slab.free(START.wrapping_add_signed(number())) {
                Ok(()) => writeln!(output, "= ok")?,
                Err(wrong) => writeln!(output, "= {wrong:?}")?,
            },
        }
        flush(output);
    }
    writeln!(output, "end")?;
    flush(output);
    Ok(())
}
