//! Uses the first words of payloads as programs do: loads, stores and atomic additions. A machine that demands aligned ones
//! ends the process where a heap hands out others.

use crate::access::{Access, BYTES};
use core::fmt::{self, Write};
use core::mem::MaybeUninit;
use hmalloc::brk::Emulated;
use hmalloc_runtime::Output;
use learn_heap::Make;

/// Requests, so that their sum is a multiple of nothing for a while.
const SIZES: [usize; 6] = [24, 21, 100, 9, 64, 37];

/// Allocates a few blocks, and uses the first word of each. What is about to happen is written first.
pub(crate) fn use_all(make: Make<'_>, arena: &mut [MaybeUninit<u8>], output: &mut Output) -> fmt::Result {
    let base = arena.as_ptr().addr();
    let mut result = Ok(());
    make(Emulated::new(arena), &mut |heap| {
        result = SIZES.iter().try_for_each(|&size| {
            let payload = heap.malloc(size.max(BYTES));
            if payload.is_null() {
                return writeln!(output, "null");
            }
            for access in Access::ALL {
                writeln!(output, "{size} {} {access:?}", payload.addr().wrapping_sub(base).cast_signed())?;
                let _ = output.flush();
                // SAFETY: the payload has at least so many bytes, unless the heap lies, which this process then shows.
                if !unsafe { access.perform(payload.cast()) } {
                    writeln!(output, "changed")?;
                }
            }
            Ok(())
        });
    });
    result?;
    writeln!(output, "survived")
}
