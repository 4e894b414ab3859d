//! The memory functions that compiled Rust calls and a libc would define.
//!
//! Loops use volatile accesses (on x86_64, string instructions), because the compiler would turn an ordinary loop into
//! a call of the very function that it is part of.

#[cfg(target_arch = "x86_64")]
use core::arch::asm;

const WORD: usize = size_of::<usize>();

/// How many bytes lie between `address` and the next word boundary.
fn to_boundary(address: *const u8) -> usize {
    address.addr().wrapping_neg() % WORD
}

/// Copies the first and the last `T` of a range, which cover it. Both are read before either is written.
///
/// # Safety
///
/// Both ranges of `count` bytes are valid, and `count` is at least the size of `T`, a register's.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_ends<T>(to: *mut u8, from: *const u8, count: usize) {
    let last = count - size_of::<T>();
    // SAFETY: both places lie in the ranges. Unaligned moves of register size are single instructions on x86_64.
    unsafe {
        let (head, tail) = (from.cast::<T>().read_unaligned(), from.wrapping_add(last).cast::<T>().read_unaligned());
        to.cast::<T>().write_unaligned(head);
        to.wrapping_add(last).cast::<T>().write_unaligned(tail);
    }
}

/// # Safety
///
/// Both ranges of `count` bytes are valid, and `to` does not lie within `from..from + count`.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_up(to: *mut u8, from: *const u8, count: usize) {
    // A string instruction takes dozens of cycles to start: more than a short copy by registers takes in all.
    match count {
        // SAFETY: the range is as long as both accesses, which may overlap each other.
        16..=32 => unsafe { copy_ends::<u128>(to, from, count) },
        // SAFETY: as above.
        8..=15 => unsafe { copy_ends::<u64>(to, from, count) },
        // SAFETY: as above.
        4..=7 => unsafe { copy_ends::<u32>(to, from, count) },
        // SAFETY: as above.
        2..=3 => unsafe { copy_ends::<u16>(to, from, count) },
        // SAFETY: the ranges are valid, and the direction flag is clear on entry by the ABI.
        _ => unsafe {
            asm!(
                "rep movsb",
                inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags),
            );
        },
    }
}

/// # Safety
///
/// Both ranges of `count` bytes are valid, and `to` does not lie within `from..from + count`.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy_up(to: *mut u8, from: *const u8, count: usize) {
    let mut done = 0;
    if to_boundary(to) == to_boundary(from) {
        let head = to_boundary(to).min(count);
        while done < head {
            // SAFETY: `done < count`.
            unsafe { to.wrapping_add(done).write_volatile(from.wrapping_add(done).read_volatile()) };
            done += 1;
        }
        while count - done >= WORD {
            let (to, from) = (to.wrapping_add(done).cast::<usize>(), from.wrapping_add(done).cast::<usize>());
            // SAFETY: a whole word is left, and both addresses are word-aligned now.
            unsafe { to.write_volatile(from.read_volatile()) };
            done += WORD;
        }
    }
    while done < count {
        // SAFETY: `done < count`.
        unsafe { to.wrapping_add(done).write_volatile(from.wrapping_add(done).read_volatile()) };
        done += 1;
    }
}

/// # Safety
///
/// Both ranges of `count` bytes are valid.
unsafe fn copy_down(to: *mut u8, from: *const u8, count: usize) {
    let mut left = count;
    if to_boundary(to.wrapping_add(count)) == to_boundary(from.wrapping_add(count)) {
        while left > 0 && to_boundary(to.wrapping_add(left)) != 0 {
            left -= 1;
            // SAFETY: `left < count`.
            unsafe { to.wrapping_add(left).write_volatile(from.wrapping_add(left).read_volatile()) };
        }
        while left >= WORD {
            left -= WORD;
            let (to, from) = (to.wrapping_add(left).cast::<usize>(), from.wrapping_add(left).cast::<usize>());
            // SAFETY: a whole word was left, and both addresses are word-aligned.
            unsafe { to.write_volatile(from.read_volatile()) };
        }
    }
    while left > 0 {
        left -= 1;
        // SAFETY: `left < count`.
        unsafe { to.wrapping_add(left).write_volatile(from.wrapping_add(left).read_volatile()) };
    }
}

/// # Safety
///
/// As C's `memcpy`.
// SAFETY: no libc is linked, so the name is free.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise: valid, disjoint ranges.
    unsafe { copy_up(to, from, count) };
    to
}

/// # Safety
///
/// As C's `memmove`.
// SAFETY: no libc is linked, so the name is free.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= count {
        // SAFETY: valid ranges, and `to` is not inside the source.
        unsafe { copy_up(to, from, count) };
    } else {
        // SAFETY: valid ranges.
        unsafe { copy_down(to, from, count) };
    }
    to
}

/// # Safety
///
/// As C's `memset`.
// SAFETY: no libc is linked, so the name is free.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    let byte = byte as u8;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the range is valid, and the direction flag is clear on entry by the ABI.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") count => _, inout("rdi") to => _, in("al") byte,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // The byte in every place of a word. (The compiler would fill an array of it by `memset`.)
        let word = usize::MAX / 255 * usize::from(byte);
        let mut done = 0;
        while done < count {
            let at = to.wrapping_add(done);
            if to_boundary(at) == 0 && count - done >= WORD {
                // SAFETY: a whole word is left, at an aligned address.
                unsafe { at.cast::<usize>().write_volatile(word) };
                done += WORD;
            } else {
                // SAFETY: `done < count`.
                unsafe { at.write_volatile(byte) };
                done += 1;
            }
        }
    }
    to
}

/// # Safety
///
/// As C's `memcmp`.
// SAFETY: no libc is linked, so the name is free.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut done = 0;
    // Unaligned words cost nothing extra on x86_64. The loop below finds the byte that differs.
    #[cfg(target_arch = "x86_64")]
    while count - done >= WORD {
        let (left, right) = (left.wrapping_add(done).cast::<u64>(), right.wrapping_add(done).cast::<u64>());
        // SAFETY: a whole word is left in both ranges, which are valid by the caller's promise.
        if unsafe { left.read_unaligned() != right.read_unaligned() } {
            break;
        }
        done += WORD;
    }
    while done < count {
        // SAFETY: `done < count`, and both ranges are valid by the caller's promise.
        let (a, b) = unsafe { (left.wrapping_add(done).read_volatile(), right.wrapping_add(done).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        done += 1;
    }
    0
}

/// # Safety
///
/// As C's `bcmp`.
// SAFETY: no libc is linked, so the name is free.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the same promise.
    unsafe { memcmp(left, right, count) }
}

/// # Safety
///
/// As C's `strlen`.
// SAFETY: no libc is linked, so the name is free.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the text ends with a zero byte, which has not been passed.
    while unsafe { text.wrapping_add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
