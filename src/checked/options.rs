//! Which checks a program wants.

/// Checked mode: which checks beyond those of pointers a heap makes. For [`Hmalloc::with_checks`](crate::Hmalloc::with_checks)
/// and [`Hmalloc::set_checks`](crate::Hmalloc::set_checks).
///
/// In checked mode a heap also finds
///
/// - **writes past the end** of a block, from its first byte on, whatever size was asked for: when it is freed or resized, or by
///   [`check_contents`](crate::Hmalloc::check_contents);
/// - **writes before its start**, likewise, of the last 16 bytes before it that no other block has or had. What had another is
///   said of that one, unless the very byte before the block was written, too. Not of a block of 8 to 56 KiB
///   that is alone in its slab;
/// - **writes into a freed block**: when its memory is used again, or by `check_contents`, as long as its
///   slab stands. A large block is inaccessible for a while, so that reading it is found, too;
/// - **any use of a block of 0 bytes**: such a block is inaccessible. On x86_64, aarch64 and riscv64 a handler for SIGSEGV and SIGBUS
///   writes one line about a fault there, or in a large block that was freed; then the program's own handler runs, if it was there
///   before, or the process dies. A program that sets one later has that alone;
/// - **a wrong size or alignment** where it is named, to the byte.
///
/// What was freed is overwritten, so a block that is not zeroed never has the content of an older one, but for blocks above 256 MiB,
/// which are not set aside. Slots of a size are handed out in an order that cannot be foreseen. `usable_size` is exactly what was asked for.
///
/// Nothing is [sampled or guarded](crate::Hmalloc::start_profile) in this mode: it is refused to a heap whose requests are sampled, and
/// a heap in this mode begins no profile.
///
/// What is found is a [`Misuse`](crate::Misuse) of the kind [`Overwritten`](crate::MisuseKind::Overwritten), and the policy
/// decides as about any other. The block stays as it was found: it is not freed, and never handed out again.
///
/// ```
/// use core::alloc::Layout;
/// use hmalloc::{Checks, Hmalloc, MisuseKind, Policy};
///
/// static HEAP: Hmalloc = Hmalloc::with_policy(Policy::Report).with_checks(Checks::new());
/// let block = HEAP.allocate(Layout::new::<[u8; 20]>())?.as_ptr();
/// // SAFETY: a mistake, which stays inside the block's slot of 32 bytes.
/// unsafe { block.add(20).write(0) };
/// // SAFETY: the block is not used any more.
/// let misuse = unsafe { HEAP.free_sized(block, Layout::new::<[u8; 20]>()) }.unwrap_err();
/// assert!(matches!(misuse.kind, MisuseKind::Overwritten(damage) if (damage.first, damage.bytes) == (20, 1)));
/// // 1 byte after the block of 20 bytes at 0x… was overwritten (at offset 20), allocated by the first thread
/// println!("{misuse}");
/// # Ok::<(), hmalloc::OutOfMemory>(())
/// ```
///
/// # Cost
///
/// 1.1 to 2 times the processor time of real programs: SQLite 1.1, gcc 1.1, Perl 1.3, Python 2.0 (28 November 2026, two cores, a
/// virtual machine with other work). For a program that does nothing but allocate and free small blocks it is 9 times: 84 ns for a
/// pair of calls against 9 without it, and 154 ns against 18 with 10,000 blocks live of 8 to 1,007 bytes. Each of a block's bytes is
/// written when it is freed, and looked at when its slot is used again: that is a third of the instructions, and most of the
/// waiting for memory. Two system calls for a large block, and a page fault for each kernel page of the next one. 16 bytes of memory
/// for each slot, and 16 KiB of addresses for each large block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checks {
    bits: u8,
}

impl Default for Checks {
    fn default() -> Self {
        Self::new()
    }
}

impl Checks {
    const ON: u8 = 1;
    const ZERO: u8 = 2;
    const CALLERS: u8 = 4;

    /// All checks.
    #[must_use]
    pub const fn new() -> Self {
        Self { bits: Self::ON }
    }

    /// As these, and what is freed is overwritten with zeros instead of a pattern, so that a block which is not zeroed reads as
    /// zero. Programs that read what they have not written do the same in each run then. Costs one more write of each block.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::{Checks, Hmalloc};
    ///
    /// static HEAP: Hmalloc = Hmalloc::new().with_checks(Checks::new().zeroing());
    /// let block = HEAP.allocate(Layout::new::<u64>())?.cast::<u64>();
    /// // SAFETY: a live block of 8 bytes, and in this mode they are initialised.
    /// assert_eq!(unsafe { block.read() }, 0);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub const fn zeroing(self) -> Self {
        Self { bits: self.bits | Self::ZERO }
    }

    /// As these, and where each block was allocated and freed is noted: the line about an [`Overwritten`](crate::MisuseKind::Overwritten)
    /// block, and about one that is freed again, has the innermost frames of both stacks, as `FILE+0xADDRESS`, for `addr2line`.
    /// [`Policy::apply`](crate::Policy::apply) writes them; [`Misuse`](crate::Misuse) itself has the threads alone.
    ///
    /// Stacks are seen as those of a [`Profile`](crate::Profile) are, 12 frames of each, of which some six are the heap's own. Each call
    /// takes some 15,000 instructions more; on x86_64 some 1,000 if the same frames were on the stack of that thread before, at the same
    /// addresses (the whole of SQLite then takes 1.5 times its time, Perl 2.1, gcc 5). A function whose frame has no fixed size
    /// (`alloca`) may be shown with a caller that it had before. Each slot takes 8 bytes, and the process a table of 1.7 MiB, of
    /// which only what is used takes memory. It tells 16,384 stacks apart; of others, and of those that cannot be seen, a line has the thread alone.
    /// It has no effect where there is no Linux.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::{Checks, Hmalloc, Policy};
    ///
    /// static HEAP: Hmalloc = Hmalloc::new().with_checks(Checks::new().callers());
    /// let block = HEAP.allocate(Layout::new::<u64>())?.as_ptr();
    /// // SAFETY: the second one is a mistake, which the heap notices.
    /// let [first, twice] = [0; 2].map(|_| unsafe { HEAP.free_sized(block, Layout::new::<u64>()) });
    /// // hmalloc: free: 0x… is already free: …, allocated by the first thread at shop+0x1169 < …, freed by …
    /// Policy::Report.apply("free", &twice.unwrap_err());
    /// assert!(first.is_ok());
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub const fn callers(self) -> Self {
        Self { bits: self.bits | Self::CALLERS }
    }

    /// Whether [callers](Self::callers) are noted.
    #[doc(hidden)]
    #[must_use]
    pub const fn notes_callers(self) -> bool {
        self.bits & Self::CALLERS != 0
    }

    /// As these without callers: there is no memory for them.
    pub(crate) const fn without_callers(self) -> Self {
        Self { bits: self.bits & !Self::CALLERS }
    }

    /// Whether what is freed is overwritten with zeros.
    #[inline]
    pub(crate) const fn zeroes(self) -> bool {
        self.bits & Self::ZERO != 0
    }

    /// As a number that is not 0.
    pub(crate) const fn bits(self) -> u8 {
        self.bits
    }

    /// The checks that a number stands for, if it is not 0.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        if bits == 0 { None } else { Some(Self { bits }) }
    }

    /// The checks for which words ask that are separated by commas: `1` for all, `zero` for [`zeroing`](Self::zeroing), `callers`
    /// for [`callers`](Self::callers). `0`, or nothing, for none. `Err` if one is another word; what the others ask for is in it.
    pub(crate) fn of_words(words: &[u8]) -> Result<Option<Self>, Option<Self>> {
        let (mut bits, mut unknown) = (0, false);
        for word in words.split(|&byte| byte == b',') {
            match word {
                b"" | b"0" => {}
                b"1" => bits |= Self::ON,
                b"zero" => bits |= Self::ON | Self::ZERO,
                b"callers" => bits |= Self::ON | Self::CALLERS,
                _ => unknown = true,
            }
        }
        let checks = Self::from_bits(bits);
        if unknown { Err(checks) } else { Ok(checks) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ask_for_checks() {
        let (all, zero) = (Some(Checks::new()), Some(Checks::new().zeroing()));
        for (words, checks) in [("", None), ("0", None), ("1", all), ("zero", zero), ("1,zero", zero), ("1,", all)] {
            assert_eq!(Checks::of_words(words.as_bytes()), Ok(checks), "{words}");
        }
        let callers = [Checks::new(), Checks::new().zeroing()].map(|checks| Some(checks.callers()));
        for (words, checks) in ["callers", "zero,callers"].iter().zip(callers) {
            assert_eq!(Checks::of_words(words.as_bytes()), Ok(checks), "{words}");
        }
        for (words, checks) in [("yes", None), ("1,calls", all), ("Zero", None), (" 1", None)] {
            assert_eq!(Checks::of_words(words.as_bytes()), Err(checks), "{words}");
        }
    }
}
