//! Weak references to what a libc may bring: null where there is none, and nothing is linked in for them.
//!
//! Rust has no stable weak reference; the assembler has. A word in read-only data holds the symbol's address, or 0.
//! Exported for `capi`, whose words are its own. Where there is no Linux nothing is asked for: assemblers for other formats of
//! object files know other directives.

#[cfg(target_pointer_width = "64")]
#[doc(hidden)]
#[macro_export]
macro_rules! word_directive {
    () => {
        ".quad"
    };
}
#[cfg(target_pointer_width = "32")]
#[doc(hidden)]
#[macro_export]
macro_rules! word_directive {
    () => {
        ".long"
    };
}

/// Declares `$word`, a static that holds the address of `$symbol` as an `Option<$type>`, or `None`.
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
#[doc(hidden)]
#[macro_export]
macro_rules! weak {
    ($word:ident, $symbol:literal, $type:ty) => {
        core::arch::global_asm!(
            concat!(".weak ", $symbol),
            // Two copies of this library may become one module: of a word that says the same one is enough.
            concat!(".ifndef ", stringify!($word)),
            concat!(".pushsection .data.rel.ro.", stringify!($word), ", \"aw\""),
            ".balign 8",
            concat!(".weak ", stringify!($word)),
            concat!(".hidden ", stringify!($word)),
            concat!(stringify!($word), ":"),
            concat!($crate::word_directive!(), " ", $symbol),
            ".popsection",
            ".endif",
        );
        unsafe extern "C" {
            static $word: Option<$type>;
        }
    };
}

#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
macro_rules! weak {
    ($word:ident, $symbol:literal, $type:ty) => {
        #[allow(non_upper_case_globals, reason = "a static's name is in its place")]
        const $word: Option<$type> = None;
    };
}

/// Reads what `weak!` declares. Volatile, for the linker or the loader fills the word behind the compiler's back.
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
#[doc(hidden)]
#[macro_export]
macro_rules! linked {
    ($word:ident) => {
        // An interpreter links nothing.
        if cfg!(miri) {
            None
        } else {
            // SAFETY: the word holds 0, which is `None`, or the address of a symbol of that type.
            unsafe { (&raw const $word).read_volatile() }
        }
    };
}

#[cfg(not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))))]
macro_rules! linked {
    ($word:ident) => {
        $word
    };
}
