//! Two words, which are written and compared in one step where the processor has registers for them.

/// Two words: what one store writes where registers are so long. Compilers make of a pair of numbers two stores.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Pair(core::arch::x86_64::__m128i);

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
impl Pair {
    #[inline(always)]
    pub(super) fn of(word: u64) -> Self {
        // SAFETY: the target has SSE2, as below.
        Self(unsafe { core::arch::x86_64::_mm_set1_epi64x(word.cast_signed()) })
    }

    /// With a bit set for each one in which `found` and `expected` differ.
    #[inline(always)]
    pub(super) fn with_changes(self, found: Self, expected: Self) -> Self {
        use core::arch::x86_64::{_mm_or_si128, _mm_xor_si128};
        // SAFETY: as above.
        Self(unsafe { _mm_or_si128(self.0, _mm_xor_si128(found.0, expected.0)) })
    }

    #[inline(always)]
    pub(super) fn is_zero(self) -> bool {
        use core::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_setzero_si128};
        // SAFETY: as above.
        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, _mm_setzero_si128())) == 0xffff }
    }
}

/// Two words.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Pair([u64; 2]);

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
impl Pair {
    #[inline(always)]
    pub(super) fn of(word: u64) -> Self {
        Self([word; 2])
    }

    /// With a bit set for each one in which `found` and `expected` differ.
    #[inline(always)]
    pub(super) fn with_changes(self, found: Self, expected: Self) -> Self {
        Self([0, 1].map(|at| self.0[at] | found.0[at] ^ expected.0[at]))
    }

    #[inline(always)]
    pub(super) fn is_zero(self) -> bool {
        self.0[0] | self.0[1] == 0
    }
}

const _: () = assert!(size_of::<Pair>() == 16, "a slot is a number of pairs");
