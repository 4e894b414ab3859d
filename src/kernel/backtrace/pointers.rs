//! Stacks by frame pointers.

use super::{Frames, read_two_words};
use crate::kernel::tasks;

/// The frame pointer of the caller, or 0 where frames are not laid out in a way that is known.
#[allow(unused, reason = "0 stays where no line below is for the architecture")]
#[inline(always)]
fn frame_pointer() -> usize {
    let mut pointer = 0_usize;
    // SAFETY: reads a register.
    #[cfg(not(miri))]
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov {}, rbp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("mov {}, x29", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "riscv64")]
        core::arch::asm!("mv {}, s0", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// From a frame pointer to the saved one and the return address after it.
const SAVED: usize = if cfg!(target_arch = "riscv64") { 2 * size_of::<usize>() } else { 0 };

#[inline(never)]
pub(super) fn follow(frames: &mut Frames<'_>) {
    let (mut pointer, process) = (frame_pointer(), tasks::process_id());
    while pointer != 0 && pointer.is_multiple_of(align_of::<usize>()) {
        let Some([saved, address]) = read_two_words(process, pointer.wrapping_sub(SAVED)) else { return };
        // Frames are in order on a stack, so this ends.
        if !frames.add(address) || saved <= pointer {
            return;
        }
        pointer = saved;
    }
}
