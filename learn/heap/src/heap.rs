//! What all heaps of the course can do.

use hmalloc::brk::{Brk, Emulated, OwnBreak};
use hmalloc::stages::{Stage, StageBlock};

/// The kernel under a heap, as far as a script tells it what to do.
pub trait Kernel: Brk {
    /// Refuses raises, or grants them again.
    fn refuse_raises(&mut self, refuse: bool) {
        let _ = refuse;
    }

    /// Refuses lowering, or grants it again.
    fn refuse_lowering(&mut self, refuse: bool) {
        let _ = refuse;
    }

    /// Somebody else raises the break.
    fn raise_by_others(&mut self, bytes: usize) {
        let _ = bytes;
    }
}

impl Kernel for Emulated<'_> {
    fn refuse_raises(&mut self, refuse: bool) {
        self.fail_after(if refuse { 0 } else { usize::MAX });
    }

    fn refuse_lowering(&mut self, refuse: bool) {
        Emulated::refuse_lowering(self, refuse);
    }

    fn raise_by_others(&mut self, bytes: usize) {
        self.foreign_move(bytes.cast_signed());
    }
}

impl Kernel for OwnBreak {}

/// What a wrong free was answered with, where a heap answers at all.
pub type Seen<'s> = &'s mut dyn FnMut(core::fmt::Arguments<'_>);

/// A heap that scripts, traces and tests can use.
///
/// Its functions are not `unsafe`, because each heap runs in a process of its own and what a wrong call does there is the
/// lesson. A payload that was freed is not to be used again.
pub trait Heap {
    /// `size` bytes, or null.
    fn malloc(&mut self, size: usize) -> *mut u8;

    /// Frees a block. `answer` is told what a heap says of a pointer that is none.
    fn free_and_hear(&mut self, payload: *mut u8, answer: Seen<'_>);

    /// Frees a block.
    fn free(&mut self, payload: *mut u8) {
        self.free_and_hear(payload, &mut |_| ());
    }

    /// The block with `size` bytes, moved if need be; or null, and it stays as it was.
    fn realloc(&mut self, payload: *mut u8, size: usize) -> *mut u8;

    /// Whether `realloc` is there.
    fn can_realloc(&self) -> bool {
        false
    }

    /// `count` times `size` zero bytes, or null.
    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let _ = (count, size);
        core::ptr::null_mut()
    }

    /// Returns to the kernel what is free. Returns how many bytes that were.
    fn trim(&mut self) -> usize {
        0
    }

    /// Every block in address order, as the heap itself walks over them.
    fn blocks(&self, see: &mut dyn FnMut(StageBlock));

    /// Bytes of the header in front of each payload; 0 if headers lie elsewhere.
    fn header(&self) -> usize;

    /// The break under the heap.
    fn kernel(&mut self) -> &mut dyn Kernel;

    /// Where the break stands.
    fn current_break(&mut self) -> usize {
        self.kernel().query().unwrap_or(0)
    }
}

/// A stage of the journal as a [`Heap`].
pub struct OfStage<S>(pub S);

impl<S: Stage<Source: Kernel>> Heap for OfStage<S> {
    fn malloc(&mut self, size: usize) -> *mut u8 {
        // SAFETY: whoever plays a heap writes to payloads only, and nothing lowers the break below it.
        unsafe { self.0.hmalloc(size) }
    }

    fn free_and_hear(&mut self, payload: *mut u8, _: Seen<'_>) {
        // SAFETY: the payload is not used again. What a stage does that believes a wrong one is what is to be seen.
        unsafe { self.0.hfree(payload) }
    }

    fn realloc(&mut self, _: *mut u8, _: usize) -> *mut u8 {
        core::ptr::null_mut()
    }

    fn blocks(&self, see: &mut dyn FnMut(StageBlock)) {
        self.0.blocks().for_each(see);
    }

    fn header(&self) -> usize {
        S::HEADER
    }

    fn kernel(&mut self) -> &mut dyn Kernel {
        self.0.brk_mut()
    }
}

/// Implements [`Heap`] for the type of an exercise, or of a stage's file: `candidate!(module::Type)`. With `resizing` it
/// has `hrealloc` and `hcalloc`, too.
#[macro_export]
macro_rules! candidate {
    ($module:ident :: $name:ident $($resizing:ident)?) => {
        impl<B: $crate::Kernel> $crate::Heap for $module::$name<B> {
            fn malloc(&mut self, size: usize) -> *mut u8 {
                // SAFETY: whoever plays a heap writes to payloads only, and nothing lowers the break below it.
                unsafe { self.hmalloc(size) }
            }

            fn free_and_hear(&mut self, payload: *mut u8, _: $crate::Seen<'_>) {
                // SAFETY: the payload is not used again.
                unsafe { self.hfree(payload) }
            }

            $crate::candidate!(@ $($resizing)?);

            fn blocks(&self, see: &mut dyn FnMut(hmalloc::stages::StageBlock)) {
                for (header, size, free) in self.walk() {
                    let header = header.addr();
                    see(hmalloc::stages::StageBlock { header, payload: header + $module::HEADER, size, free });
                }
            }

            fn header(&self) -> usize {
                $module::HEADER
            }

            fn kernel(&mut self) -> &mut dyn $crate::Kernel {
                &mut self.brk
            }
        }
    };
    (@) => {
        fn realloc(&mut self, _: *mut u8, _: usize) -> *mut u8 {
            core::ptr::null_mut()
        }
    };
    (@ resizing) => {
        fn realloc(&mut self, payload: *mut u8, size: usize) -> *mut u8 {
            // SAFETY: as for `free`, if the answer is another address.
            unsafe { self.hrealloc(payload, size) }
        }

        fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
            // SAFETY: as for `malloc`.
            unsafe { self.hcalloc(count, size) }
        }

        fn can_realloc(&self) -> bool {
            true
        }
    };
}
