//! A stack for what a handler does: the alternate stack, which a program or `std` has made for handlers of its own, may have no more
//! than four KiB beyond what the kernel puts there. Unoptimized code that writes a line needs more.

use crate::kernel::brk::{map_alone, page_alone, unmap_alone};
use crate::kernel::call::{Sysno, syscall};
use crate::kernel::sys::NoSignals;
use crate::kernel::tasks::is_filtered;
use core::ffi::c_void;

/// What unoptimized code needs, several times over.
const BYTES: usize = 64 << 10;
/// `PROT_NONE`.
const INACCESSIBLE: usize = 0;

/// Calls `work` on a stack of its own, or where there is no memory for one, on the present one. Signals are blocked meanwhile: the
/// kernel would take the alternate stack for unused, and begin another handler over the frame of this one.
///
/// Work that needs more than the stack has faults below it, in a page that is inaccessible if the kernel makes it so, and not in
/// what lies there. Where system calls are filtered there is no such page.
pub(super) fn with_room<R>(mut work: impl FnMut() -> R) -> Option<R> {
    let _quiet = NoSignals::new();
    let mut result = None;
    let mut call = || result = Some(work());
    let guard = page_alone();
    match map_alone(guard + BYTES) {
        Ok(mapped) => {
            // If this is refused the page stays as it is. A new mapping in its place, if refused, could leave a gap. Not asked for where
            // a filter may end the process for it.
            if !is_filtered() {
                // SAFETY: the mapping is this call's, and its first page is not used.
                let _ = unsafe { syscall!(Sysno::mprotect, mapped, guard, INACCESSIBLE) };
            }
            // SAFETY: the rest of it is the call's, and ends at a multiple of 16.
            unsafe { call_on(mapped + guard + BYTES, &mut call) };
            // SAFETY: mapped above, and nothing runs there any more.
            unsafe { unmap_alone(mapped, guard + BYTES) };
        }
        Err(_) => call(),
    }
    result
}

/// Calls `work` with the stack pointer at `top`.
///
/// # Safety
///
/// Below `top`, a multiple of 16, there is memory that nothing else uses, as much as `work` needs.
unsafe fn call_on<F: FnMut()>(top: usize, work: &mut F) {
    extern "C" fn enter<F: FnMut()>(work: *mut c_void) {
        // SAFETY: what `call_on` passes, which is borrowed until it returns.
        (unsafe { &mut *work.cast::<F>() })();
    }
    let (enter, work) = (enter::<F> as extern "C" fn(*mut c_void), core::ptr::from_mut(work).cast::<c_void>());
    // SAFETY: a call as the convention has it, on a stack that the caller vouches for. The old stack pointer waits in a register that
    // the called function preserves.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "mov r12, rsp", "mov rsp, {top}", "call {enter}", "mov rsp, r12",
            top = in(reg) top, enter = in(reg) enter, in("rdi") work, out("r12") _, clobber_abi("C"),
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "mov x20, sp", "mov sp, {top}", "blr {enter}", "mov sp, x20",
            top = in(reg) top, enter = in(reg) enter, in("x0") work, out("x20") _, clobber_abi("C"),
        );
        #[cfg(target_arch = "riscv64")]
        core::arch::asm!(
            "mv s2, sp", "mv sp, {top}", "jalr {enter}", "mv sp, s2",
            top = in(reg) top, enter = in(reg) enter, in("a0") work, out("s2") _, clobber_abi("C"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::string::String;
    use std::vec::Vec;

    /// Where a mapping starts and ends, and what may be done there.
    fn mapping(line: &str) -> Option<([usize; 2], String)> {
        let (addresses, rest) = line.split_once(' ')?;
        let (start, end) = addresses.split_once('-')?;
        let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).ok());
        Some(([start?, end?], rest.get(..4)?.into()))
    }

    #[test]
    #[cfg_attr(miri, ignore = "it changes the stack pointer")]
    fn below_the_stack_nothing_is_accessible() {
        let seen = with_room(|| {
            let local = core::hint::black_box(0u8);
            let here = core::ptr::from_ref(&local).addr();
            (here, fs::read_to_string("/proc/self/maps").expect("a text"))
        });
        let (here, maps) = seen.expect("it was called");
        let mappings: Vec<_> = maps.lines().filter_map(mapping).collect();
        let at = mappings.iter().position(|([start, end], _)| (start..end).contains(&&here)).expect("a mapping");
        let ([_, end], access) = &mappings[at - 1];
        let is_guarded = *end == mappings[at].0[0] && access == "---p";
        assert_eq!(is_guarded, !is_filtered(), "{maps}");
    }
}
