//! Loads, stores and atomic additions of a machine word at any address.
//!
//! They are assembly because a misaligned access is undefined in Rust: the compiler could split it, leave it out or
//! check it. The question is what the machine does.

use core::arch::asm;

/// The kinds of access. The command line has the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Load,
    Store,
    Atomic,
}

/// How many bytes an access may touch.
pub(crate) const BYTES: usize = 8;

impl Access {
    pub(crate) const ALL: [Self; 3] = [Self::Load, Self::Store, Self::Atomic];

    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"load" => Some(Self::Load),
            b"store" => Some(Self::Store),
            b"atomic" => Some(Self::Atomic),
            _ => None,
        }
    }

    /// Accesses the word at `place`. Returns whether the access had the right effect.
    ///
    /// # Safety
    ///
    /// [`BYTES`] bytes at `place` may be read and written, however `place` is aligned.
    pub(crate) unsafe fn perform(self, place: *mut usize) -> bool {
        const VALUE: usize = 0x5a17_c3d2_u32 as usize;
        // SAFETY: the caller's promise. This access assumes no alignment.
        unsafe { place.write_unaligned(VALUE) };
        // SAFETY: the caller's promise. `black_box` hides from the compiler what the word holds.
        let (seen, expected) = unsafe {
            let place = core::hint::black_box(place);
            match self {
                Self::Load => (load(place), VALUE),
                Self::Store => {
                    store(place, !VALUE);
                    (place.read_unaligned(), !VALUE)
                }
                Self::Atomic => {
                    add_one(place);
                    (place.read_unaligned(), VALUE + 1)
                }
            }
        };
        seen == expected
    }
}

/// Defines the three accesses from one instruction each, or from a loop where an atomic addition needs one.
macro_rules! accesses {
    ($arch:meta, load $load:literal, store $store:literal, base $base:ident, value $value:ident,
     add [$($add:literal),*], $(new $new:ident,)? $(zero $zero:tt,)?) => {
        #[cfg($arch)]
        unsafe fn load(place: *mut usize) -> usize {
            let value;
            // SAFETY: the caller's promise.
            unsafe { asm!($load, v = out($value) value, p = in($base) place, options(nostack)) };
            value
        }

        #[cfg($arch)]
        unsafe fn store(place: *mut usize, value: usize) {
            // SAFETY: the caller's promise.
            unsafe { asm!($store, v = in($value) value, p = in($base) place, options(nostack)) };
        }

        #[cfg($arch)]
        unsafe fn add_one(place: *mut usize) {
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    $($add,)*
                    p = in($base) place,
                    v = inout($value) 1usize => _,
                    $(n = out($new) _,)?
                    $(out($zero) _,)?
                    options(nostack),
                );
            }
        }
    };
}

accesses!(target_arch = "x86_64", load "mov {v}, [{p}]", store "mov [{p}], {v}", base reg, value reg,
    add ["lock xadd [{p}], {v}"],);
accesses!(target_arch = "x86", load "mov {v}, [{p}]", store "mov [{p}], {v}", base reg, value reg,
    add ["lock xadd [{p}], {v}"],);
accesses!(target_arch = "aarch64", load "ldr {v}, [{p}]", store "str {v}, [{p}]", base reg, value reg,
    add ["2:", "ldxr {v}, [{p}]", "add {v}, {v}, #1", "stxr {n:w}, {v}, [{p}]", "cbnz {n:w}, 2b"], new reg,);
accesses!(target_arch = "riscv64", load "ld {v}, 0({p})", store "sd {v}, 0({p})", base reg, value reg,
    add ["amoadd.d {v}, {v}, ({p})"],);
accesses!(target_arch = "loongarch64", load "ld.d {v}, {p}, 0", store "st.d {v}, {p}, 0", base reg, value reg,
    add ["amadd.d {n}, {v}, {p}"], new reg,);
accesses!(target_arch = "s390x", load "lg {v}, 0({p})", store "stg {v}, 0({p})", base reg_addr, value reg,
    add ["2:", "lg {v}, 0({p})", "lgr {n}, {v}", "aghi {n}, 1", "csg {v}, {n}, 0({p})", "jne 2b"], new reg,);
accesses!(target_arch = "powerpc", load "lwz {v}, 0({p})", store "stw {v}, 0({p})", base reg_nonzero, value reg_nonzero,
    add ["2:", "lwarx {v}, 0, {p}", "addi {v}, {v}, 1", "stwcx. {v}, 0, {p}", "bne- 2b"], zero "cr0",);
accesses!(target_arch = "powerpc64", load "ld {v}, 0({p})", store "std {v}, 0({p})", base reg_nonzero, value reg_nonzero,
    add ["2:", "ldarx {v}, 0, {p}", "addi {v}, {v}, 1", "stdcx. {v}, 0, {p}", "bne- 2b"], zero "cr0",);
accesses!(target_arch = "mips", load "lw {v}, 0({p})", store "sw {v}, 0({p})", base reg, value reg,
    add ["2:", "ll {v}, 0({p})", "addiu {v}, {v}, 1", "sc {v}, 0({p})", "beqz {v}, 2b", "nop"],);
accesses!(target_arch = "mips64", load "ld {v}, 0({p})", store "sd {v}, 0({p})", base reg, value reg,
    add ["2:", "lld {v}, 0({p})", "daddiu {v}, {v}, 1", "scd {v}, 0({p})", "beqz {v}, 2b", "nop"],);

/// On arm, load and store access a double word, as a compiler does for a `u64`: a single word may be misaligned there.
/// The atomic addition is of a word.
#[cfg(target_arch = "arm")]
mod arm {
    use core::arch::asm;

    pub(super) unsafe fn load(place: *mut usize) -> usize {
        let value;
        // SAFETY: the caller's promise, for two words.
        unsafe { asm!("ldrd r2, r3, [{p}]", p = in(reg) place, out("r2") value, out("r3") _, options(nostack)) };
        value
    }

    pub(super) unsafe fn store(place: *mut usize, value: usize) {
        // SAFETY: the caller's promise, for two words.
        unsafe { asm!("strd r2, r3, [{p}]", p = in(reg) place, in("r2") value, in("r3") value, options(nostack)) };
    }

    pub(super) unsafe fn add_one(place: *mut usize) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "2:", "ldrex {v}, [{p}]", "add {v}, {v}, #1", "strex {n}, {v}, [{p}]", "cmp {n}, #0", "bne 2b",
                p = in(reg) place, v = out(reg) _, n = out(reg) _, options(nostack),
            );
        }
    }
}

#[cfg(target_arch = "arm")]
use arm::{add_one, load, store};
