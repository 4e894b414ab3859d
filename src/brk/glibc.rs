//! Keeping glibc, where there is one, informed about the break.
//!
//! glibc remembers where the break is, in `__curbrk`, and its `sbrk` and `malloc` move it from there without asking the
//! kernel. In a program that also has this heap they would lower the break into the heap's own pages. So the heap keeps
//! that word in step. The reference is weak: in a program without glibc it is null, and nothing is linked in for it.
//!
//! What remains is a race that only a libc could close: one of its threads inside `sbrk` while the heap moves the break.

#[cfg(target_pointer_width = "64")]
macro_rules! word_directive {
    () => {
        ".quad"
    };
}
#[cfg(target_pointer_width = "32")]
macro_rules! word_directive {
    () => {
        ".long"
    };
}

// Rust has no stable weak reference; the assembler has. The word holds the symbol's address, or 0.
core::arch::global_asm!(
    ".weak __curbrk",
    ".pushsection .data.rel.ro.hmalloc_curbrk, \"aw\"",
    ".balign 8",
    ".weak hmalloc_curbrk",
    ".hidden hmalloc_curbrk",
    "hmalloc_curbrk:",
    concat!(word_directive!(), " __curbrk"),
    ".popsection",
);

unsafe extern "C" {
    static hmalloc_curbrk: *mut usize;
}

/// Notes that the break is at `to` now.
pub(super) fn tell(to: usize) {
    // SAFETY: the linker or the loader has filled the word; volatile, for the compiler does not know that.
    let word = unsafe { (&raw const hmalloc_curbrk).read_volatile() };
    if !word.is_null() {
        // SAFETY: glibc's own word for where the break is, which it never gives up.
        unsafe { word.write_volatile(to) }
    }
}
