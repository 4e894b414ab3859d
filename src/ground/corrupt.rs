//! What the heap does when it finds itself corrupt in the middle of an operation: it says so in one line and ends the
//! process.
//!
//! This is not a misuse, which is found before anything has changed: a write that was not the heap's has changed its
//! headers. To continue would mean to write where those headers say, so nothing is tried again and nothing is unwound.

use crate::kernel::line::Line;
use crate::kernel::parts::DETAILS;
use crate::kernel::sys;
use core::fmt;

/// An invariant that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Corruption {
    /// Its number: 3 for I3. `src/README.md` lists them.
    pub invariant: u8,
    /// The span, header or other address where it was seen.
    pub address: usize,
}

impl Corruption {
    /// What does not hold.
    fn text(self) -> &'static str {
        match self.invariant {
            1 => "spans do not tile the heap in address order",
            2 => "a header is not the record of its span's first page",
            3 => "two neighbouring spans are free",
            4 => "a free span is not where best fit would find it",
            5 => "the page map does not answer with the page's owner",
            6 => "a slab's constants do not belong to its size class",
            7 => "a slab's bitmap and its count of free slots disagree",
            8 => "a size class and the word it has taken over disagree",
            9 => "a slab is not on the list its state says",
            10 => "an empty slab is not empty",
            11 => "the heap's end, its last span and the top disagree",
            12 => "the counters disagree with the spans",
            13 => "a span that is not a slab has a reciprocal",
            14 => "memory known to be zero is not, or is in use",
            15 => "the heap or a region does not start with metadata",
            16 => "the heap ends above the break",
            _ => "an unknown invariant does not hold",
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{} at {:#x}: {}", self.invariant, self.address, self.text())
    }
}

impl core::error::Error for Corruption {}

/// Ends the process because an invariant does not hold. Allocates nothing and never returns.
#[cold]
#[inline(never)]
pub(crate) fn corrupt(invariant: u8, address: usize) -> ! {
    let mut line = Line::new();
    line.text("hmalloc: the heap is corrupt: I").decimal(invariant.into()).text(" at ").address(address);
    if DETAILS {
        line.text(": ").text(Corruption { invariant, address }.text());
    }
    line.text("\n");
    sys::die(line.as_bytes())
}

#[cfg(test)]
mod tests;
