//! How many cycles the processor does in a nanosecond of this thread's time, by counting cycles that are known.

/// Cycles per nanosecond now, or `None` where no loop of known length is written down for the architecture.
pub(crate) fn cycles_per_nanosecond() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    return Some((0..8).map(|_| x86_64::sample()).fold(0.0, f64::max));
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use crate::base::kernel;
    use std::arch::asm;

    const REPEATS: u64 = 4_000;
    /// Additions in one turn of the loop below.
    const CHAIN: u64 = 64;

    /// Each addition waits for the one before and takes one cycle on every x86_64 of the last decades; the operands are
    /// registers because some processors add constants without a cycle. Counting down runs beside the chain.
    pub(super) fn sample() -> f64 {
        let begin = kernel::processor_time();
        // SAFETY: only the named registers and the flags change, and no memory is touched.
        unsafe {
            asm!(
                "2:",
                ".rept 64",
                "add {sum}, {step}",
                ".endr",
                "dec {turns}",
                "jnz 2b",
                sum = inout(reg) 0_u64 => _,
                step = in(reg) 3_u64,
                turns = inout(reg) REPEATS => _,
                options(nomem, nostack),
            );
        }
        (REPEATS * CHAIN) as f64 / (kernel::processor_time() - begin) as f64
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_clock_is_one_that_a_processor_can_have() {
        let first = super::cycles_per_nanosecond().unwrap();
        assert!((0.5..8.0).contains(&first), "{first} cycles per nanosecond");
    }
}
