//! The journal: five milestones of a heap, each in one file, each a heap that runs.
//!
//! Read them in order. Every file says what it adds to the one before and what is still wrong with it; the next one
//! repairs some of that, and the production heap ([`Heap`](crate::Heap)) is the last page.
//!
//! | stage | what it adds |
//! |---|---|
//! | [`s1_minimal::Minimal`] | a header before every payload; first fit; freed blocks are used again |
//! | [`s2_aligned::Aligned`] | payloads that any type can live in |
//! | [`s3_linked::Linked`] | a list of headers: frees are verified, and the last block is returned to the kernel |
//! | [`s4_splitting::Splitting`] | links both ways; blocks are split, and the top is trimmed as far down as it is free |
//! | [`s5_coalescing::Coalescing`] | free neighbours become one block; calloc, realloc, reallocarray |
//!
//! The stages stand beside the production heap, not under it: they use nothing but `core` and the
//! [`Brk`] seam, and nothing uses them but tests, the tour and the probe. All of them have one owner
//! and no lock.
//!
//! # What each of them promises
//!
//! `tests/stages/table.rs` looks for a broken promise in every cell of this table, and has to find one where it says so.
//! The last column is the production heap.
//!
//! | promise                                     | s1     | s2     | s3     | s4     | s5     | heap   |
//! |---------------------------------------------|--------|--------|--------|--------|--------|--------|
//! | payloads are aligned                        | broken | kept   | kept   | kept   | kept   | kept   |
//! | blocks are disjoint                         | kept   | kept   | kept   | kept   | kept   | kept   |
//! | freed space is used again                   | kept   | kept   | kept   | kept   | kept   | kept   |
//! | the break is lowered                        | broken | broken | kept   | kept   | kept   | kept   |
//! | no free block is left on top                | broken | broken | broken | kept   | kept   | kept   |
//! | an invalid free is ignored or reported      | broken | broken | kept   | kept   | kept   | kept   |
//! | a double free is ignored or reported        | kept   | kept   | kept   | kept   | kept   | kept   |
//! | the rest of a large block is split off      | broken | broken | broken | kept   | kept   | kept   |
//! | free neighbours are joined                  | broken | broken | broken | broken | kept   | kept   |
//! | a refused brk changes nothing               | kept   | kept   | kept   | kept   | kept   | kept   |
//! | a size that overflows is answered with null | kept   | kept   | kept   | kept   | kept   | kept   |
//!
//! # What they do when somebody else moves the break
//!
//! The break is the process's, and others may move it (a libc's `sbrk`, a second heap). Raised by others, stages 1 and
//! 2 give null from then on, until it is back where they left it: their blocks have to lie end to end. Stages 3 to 5
//! go on above the neighbour's bytes, because a list can jump over them. No stage lowers a break that is not
//! its own end. Lowered by others below a stage's end, its blocks are gone, and nothing at this level helps: that
//! is the one thing which the contract of `hmalloc` forbids.

pub mod s1_minimal;
pub mod s2_aligned;
pub mod s3_linked;
pub mod s4_splitting;
pub mod s5_coalescing;

use crate::brk::Brk;

/// One block of a stage's heap, in numbers: what a drawing of the heap needs.
///
/// ```text
///     header            payload                payload + size: the next header, or the break
///        v                 v                      v
///        +-----------------+----------------------+
///        | size, free, ... | what the caller got  |
///        +-----------------+----------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageBlock {
    /// Address of the header.
    pub header: usize,
    /// Address of the payload.
    pub payload: usize,
    /// Bytes of the payload.
    pub size: usize,
    /// Whether the block waits to be used again.
    pub free: bool,
}

/// What all five stages can do, for those who compare them.
pub trait Stage {
    /// Where the stage gets its memory.
    type Source: Brk;

    /// Bytes from a block's header to its payload.
    const HEADER: usize;

    /// The break under this heap.
    fn brk(&self) -> &Self::Source;

    /// The break under this heap, to set its faults.
    fn brk_mut(&mut self) -> &mut Self::Source;

    /// `size` bytes, or null.
    ///
    /// # Safety
    ///
    /// As for the stage's own `hmalloc`.
    unsafe fn hmalloc(&mut self, size: usize) -> *mut u8;

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// As for the stage's own `hfree`.
    unsafe fn hfree(&mut self, payload: *mut u8);

    /// Every block from the heap's start to its end.
    fn blocks(&self) -> impl Iterator<Item = StageBlock>;
}

/// The parts that are the same for every stage and no part of its lesson: access to the break, and [`Stage`].
macro_rules! stage {
    ($($module:ident::$name:ident)*) => {$(
        impl<B: Brk> $module::$name<B> {
            /// The break under this heap.
            pub const fn brk(&self) -> &B {
                &self.brk
            }

            /// The break under this heap, to set its faults.
            pub const fn brk_mut(&mut self) -> &mut B {
                &mut self.brk
            }
        }

        impl<B: Brk> core::fmt::Debug for $module::$name<B> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        impl<B: Brk> Stage for $module::$name<B> {
            type Source = B;

            const HEADER: usize = $module::HEADER;

            fn brk(&self) -> &B {
                &self.brk
            }

            fn brk_mut(&mut self) -> &mut B {
                &mut self.brk
            }

            unsafe fn hmalloc(&mut self, size: usize) -> *mut u8 {
                // SAFETY: the caller's promise is the same.
                unsafe { self.hmalloc(size) }
            }

            unsafe fn hfree(&mut self, payload: *mut u8) {
                // SAFETY: the caller's promise is the same.
                unsafe { self.hfree(payload) }
            }

            fn blocks(&self) -> impl Iterator<Item = StageBlock> {
                self.walk().map(|(header, size, free)| {
                    StageBlock { header: header.addr(), payload: header.addr() + $module::HEADER, size, free }
                })
            }
        }
    )*};
}

stage! {
    s1_minimal::Minimal
    s2_aligned::Aligned
    s3_linked::Linked
    s4_splitting::Splitting
    s5_coalescing::Coalescing
}
