//! Fields that one thread writes while others may read them: what `Cell` is where there is only one.
//!
//! All are loaded and stored with relaxed ordering, which costs what a plain access costs. What a reader may conclude from
//! one depends on what it has read before with a stronger one; the places that need this name their partner.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicUsize};

macro_rules! shared {
    ($name:ident, $atomic:ident, $number:ident, $text:literal) => {
        #[doc = $text]
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        #[allow(dead_code, reason = "each has all operations")]
        impl $name {
            pub(crate) const fn new(number: $number) -> Self {
                Self($atomic::new(number))
            }

            #[inline(always)]
            pub(crate) fn get(&self) -> $number {
                self.0.load(Relaxed)
            }

            #[inline(always)]
            pub(crate) fn set(&self, number: $number) {
                self.0.store(number, Relaxed);
            }

            /// Loads what [`publish`](Self::publish) stored, and sees what was written before that.
            #[inline(always)]
            pub(crate) fn observe(&self) -> $number {
                self.0.load(Acquire)
            }

            /// Stores after all that was written before.
            #[inline(always)]
            pub(crate) fn publish(&self, number: $number) {
                self.0.store(number, Release);
            }

            #[cfg(test)]
            pub(crate) fn update(&self, change: impl FnOnce($number) -> $number) {
                self.set(change(self.get()));
            }
        }
    };
}

shared!(SharedU8, AtomicU8, u8, "Eight bits that several threads may read.");
shared!(SharedU16, AtomicU16, u16, "Sixteen bits that several threads may read.");
shared!(SharedU32, AtomicU32, u32, "32 bits that several threads may read.");
shared!(SharedUsize, AtomicUsize, usize, "A word that several threads may read.");

impl SharedUsize {
    /// `number` minus the word. One instruction of x86_64, of which compilers make two where the word is an atomic.
    #[inline(always)]
    pub(crate) fn taken_from(&self, number: usize) -> usize {
        #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
        {
            let mut rest = number;
            // SAFETY: reads the word.
            unsafe {
                core::arch::asm!("sub {rest}, [{word}]", rest = inout(reg) rest, word = in(reg) self.0.as_ptr(),
                    options(pure, readonly, nostack));
            }
            rest
        }
        #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
        number.wrapping_sub(self.get())
    }
}

/// 64 bits that several threads may read: those of one half together, and on 64-bit machines all of them.
#[cfg(target_pointer_width = "64")]
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct SharedBits(core::sync::atomic::AtomicU64);

#[cfg(target_pointer_width = "64")]
impl SharedBits {
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, bits: u64) {
        self.0.store(bits, Relaxed);
    }
}

/// 64 bits that several threads may read: those of one half together.
#[cfg(not(target_pointer_width = "64"))]
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SharedBits([AtomicU32; 2]);

#[cfg(not(target_pointer_width = "64"))]
impl SharedBits {
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        u64::from(self.0[0].load(Relaxed)) | u64::from(self.0[1].load(Relaxed)) << 32
    }

    #[inline(always)]
    pub(crate) fn set(&self, bits: u64) {
        self.0[0].store(bits as u32, Relaxed);
        self.0[1].store((bits >> 32) as u32, Relaxed);
    }
}

#[cfg(test)]
impl SharedBits {
    pub(crate) fn update(&self, change: impl FnOnce(u64) -> u64) {
        self.set(change(self.get()));
    }
}
