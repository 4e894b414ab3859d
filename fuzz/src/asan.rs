//! AddressSanitizer's poison, as a veil over what is not the heap's to look at.

use core::ffi::c_void;
use support::hooked::Veil;

unsafe extern "C" {
    fn __asan_poison_memory_region(address: *const c_void, bytes: usize);
    fn __asan_unpoison_memory_region(address: *const c_void, bytes: usize);
}

/// Any access to hidden bytes is a finding.
pub(crate) const POISON: Veil = Veil { hide, show };

fn hide(address: usize, bytes: usize) {
    // SAFETY: only the sanitizer's own notes change. Whoever reads hidden bytes dies of it, which is what it is for.
    unsafe { __asan_poison_memory_region(std::ptr::without_provenance(address), bytes) }
}

fn show(address: usize, bytes: usize) {
    // SAFETY: only the sanitizer's own notes change, to what they are for all memory at first.
    unsafe { __asan_unpoison_memory_region(std::ptr::without_provenance(address), bytes) }
}
