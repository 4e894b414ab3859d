//! A hint to the processor, which saves waiting for memory that is used a little later.

/// Prefetches the cache line at `address`, which need not be the heap's, nor be mapped.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // By hand, so that an address which is computed for another use, too, is computed once.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing and cannot fault.
    unsafe {
        core::arch::asm!("prefetcht0 [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
