//! What an allocator is to the comparison: a type at compile time, six pointers at run time.

use serde::{Deserialize, Serialize};
use std::alloc::Layout;
use std::cell::UnsafeCell;

/// Whose an entry is, which decides what it is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// This repository's heap.
    Ours,
    /// An allocator that others made.
    Peer,
    /// No allocator: the cost of the boundary. It is never the best of anything.
    Boundary,
}

/// What a thread does for an allocator when it begins, and when it ends.
#[derive(Clone, Copy)]
pub(crate) struct Threads {
    pub(crate) begin: fn(),
    pub(crate) end: fn(),
}

impl Threads {
    /// Nothing: a thread only makes its calls.
    pub(super) const UNANNOUNCED: Self = Self { begin: || (), end: || () };
}

/// An allocator under comparison. No size is 0.
pub(super) trait Candidate {
    const NAME: &'static str;
    const NOTE: &'static str;
    /// Its package in the lockfile.
    const PACKAGE: Option<&'static str>;
    const KIND: Kind = Kind::Peer;

    /// Of an allocator that several threads may call.
    const THREADS: Option<Threads> = None;

    /// Returns free memory to the kernel, where a program can ask for that.
    const TRIM: Option<fn()> = None;

    /// Runs before the first allocation, outside what is measured.
    fn prepare() {}

    /// # Safety
    ///
    /// The size is not 0, and the process has one thread unless there are `THREADS`.
    unsafe fn allocate(layout: Layout) -> *mut u8;

    /// # Safety
    ///
    /// As for `allocate`.
    #[inline(always)]
    unsafe fn allocate_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises; a block that is not null has the size of `layout`.
        unsafe {
            let payload = Self::allocate(layout);
            if !payload.is_null() {
                payload.write_bytes(0, layout.size());
            }
            payload
        }
    }

    /// # Safety
    ///
    /// `payload` is a live block that was asked for with this layout, and the process has one thread unless there are
    /// `THREADS`.
    unsafe fn free(payload: *mut u8, layout: Layout);

    /// # Safety
    ///
    /// `payload` is a live block that was asked for with `old`, `new` is not 0, and the process has one thread unless
    /// there are `THREADS`.
    #[inline(always)]
    unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
        // SAFETY: the caller's promises.
        unsafe { Self::relocate(payload, old, new) }
    }

    /// Allocates, copies and frees.
    ///
    /// # Safety
    ///
    /// As for `resize`.
    #[inline(always)]
    unsafe fn relocate(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
        // SAFETY: `payload` has the old size and the fresh block the new; the old one is used no more after its free.
        unsafe {
            let fresh = Self::allocate(layout(new, old.align()));
            if !fresh.is_null() {
                fresh.copy_from_nonoverlapping(payload, old.size().min(new));
                Self::free(payload, old);
            }
            fresh
        }
    }
}

/// An allocator by its calls, each an expression of the arguments that are named. What is left out is the trait's own.
macro_rules! candidate {
    (
        $type:ident, $package:expr, $name:literal, $note:expr,
        $(kind: $kind:expr,)?
        $(threads: $threads:expr,)?
        $(trim: $trim:expr,)?
        $(prepare: $prepare:expr,)?
        allocate($layout:ident): $allocate:expr,
        $(zeroed($zeroed:ident): $zero:expr,)?
        free($payload:ident, $freed:pat): $free:expr
        $(, resize($block:ident, $old:pat, $new:ident): $resize:expr)? $(,)?
    ) => {
        pub(super) struct $type;

        #[allow(unused_unsafe, reason = "the boundary's own calls are safe")]
        impl Candidate for $type {
            const NAME: &'static str = $name;
            const NOTE: &'static str = $note;
            const PACKAGE: Option<&'static str> = $package;
            $(const KIND: Kind = $kind;)?
            $(const THREADS: Option<Threads> = Some($threads);)?
            $(const TRIM: Option<fn()> = Some($trim);)?

            $(fn prepare() {
                // SAFETY: called once, before any other call; memory that is handed over is fresh and never unmapped.
                unsafe { $prepare };
            })?

            #[inline(always)]
            unsafe fn allocate($layout: Layout) -> *mut u8 {
                // SAFETY: the size is not 0, and no other reference to a global is held.
                unsafe { $allocate }.cast()
            }

            $(#[inline(always)]
            unsafe fn allocate_zeroed($zeroed: Layout) -> *mut u8 {
                // SAFETY: as for `allocate`.
                unsafe { $zero }.cast()
            })?

            #[inline(always)]
            unsafe fn free($payload: *mut u8, $freed: Layout) {
                // SAFETY: the caller's block is live, not null, and was asked for here with this layout.
                unsafe { $free };
            }

            $(#[inline(always)]
            unsafe fn resize($block: *mut u8, $old: Layout, $new: usize) -> *mut u8 {
                // SAFETY: as for `free`, and the new size is not 0.
                unsafe { $resize }.cast()
            })?
        }
    };
}

pub(super) use candidate;

/// A candidate at run time: which one is called is known only then, so that nothing of it reaches into a workload.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    pub(crate) package: Option<&'static str>,
    pub(crate) kind: Kind,
    /// Of an allocator that several threads may call.
    pub(crate) threads: Option<Threads>,
    pub(crate) prepare: fn(),
    /// Payloads of the first two are aligned to 8 bytes at least.
    pub(crate) allocate: unsafe fn(usize) -> *mut u8,
    pub(crate) allocate_zeroed: unsafe fn(usize) -> *mut u8,
    pub(crate) allocate_aligned: unsafe fn(usize, usize) -> *mut u8,
    /// Takes what the first two and `resize` gave, with its size.
    pub(crate) free: unsafe fn(*mut u8, usize),
    /// Takes what `allocate_aligned` gave, with its size and alignment.
    pub(crate) free_aligned: unsafe fn(*mut u8, usize, usize),
    /// Takes a block and its old size, then the new size.
    pub(crate) resize: unsafe fn(*mut u8, usize, usize) -> *mut u8,
    /// Returns free memory to the kernel, where a program can ask for that.
    pub(crate) trim: Option<fn()>,
}

pub(super) const fn entry<C: Candidate>() -> Entry {
    Entry {
        name: C::NAME,
        note: C::NOTE,
        package: C::PACKAGE,
        kind: C::KIND,
        threads: C::THREADS,
        prepare: C::prepare,
        allocate: allocate::<C>,
        allocate_zeroed: allocate_zeroed::<C>,
        allocate_aligned: allocate_aligned::<C>,
        free: free::<C>,
        free_aligned: free_aligned::<C>,
        resize: resize::<C>,
        trim: C::TRIM,
    }
}

impl Entry {
    /// The package that is compared and its version in the lockfile.
    pub(crate) fn version(&self) -> Option<String> {
        let package = self.package?;
        let (_, rest) = include_str!("../../Cargo.lock").split_once(&format!("name = \"{package}\"\nversion = \""))?;
        let version = rest.split(['"', '+']).next()?;
        Some(format!("{package} {version}"))
    }
}

/// The alignment of a request that asks for none.
pub(crate) const WORD: usize = 8;

#[inline(always)]
pub(super) fn layout(size: usize, align: usize) -> Layout {
    // SAFETY: every alignment here is a power of two, and the workloads' sizes are far below the limit.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

/// The functions of the boundary.
macro_rules! boundary {
    ($($name:ident($($argument:ident: $type:ty),+) $(-> $answer:ty)?: $call:expr;)+) => {$(
        #[inline(never)]
        unsafe fn $name<C: Candidate>($($argument: $type),+) $(-> $answer)? {
            // SAFETY: the caller's promises are the candidate's.
            unsafe { $call }
        }
    )+};
}

boundary! {
    allocate(size: usize) -> *mut u8: C::allocate(layout(size, WORD));
    allocate_zeroed(size: usize) -> *mut u8: C::allocate_zeroed(layout(size, WORD));
    allocate_aligned(size: usize, align: usize) -> *mut u8: C::allocate(layout(size, align));
    free(payload: *mut u8, size: usize): C::free(payload, layout(size, WORD));
    free_aligned(payload: *mut u8, size: usize, align: usize): C::free(payload, layout(size, align));
    resize(payload: *mut u8, old: usize, new: usize) -> *mut u8: C::resize(payload, layout(old, WORD), new);
}

/// A global without a lock, for entries without `THREADS`.
pub(super) struct Lone<T>(UnsafeCell<T>);

// SAFETY: only processes of one thread call an entry without `THREADS`.
unsafe impl<T> Sync for Lone<T> {}

impl<T> Lone<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// No other reference from this function is in use.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that it is the only one")]
    #[inline(always)]
    pub(super) unsafe fn get(&self) -> &mut T {
        // SAFETY: the caller's promise; an entry without `THREADS` is called by one thread.
        unsafe { &mut *self.0.get() }
    }
}
