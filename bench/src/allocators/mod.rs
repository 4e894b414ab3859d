//! Every allocator behind the same boundary: six functions that are never inlined, called through pointers.

mod arena;
mod boundary;
mod c;
mod dl;
mod own;

pub(crate) use own::stats;

use std::alloc::Layout;

/// Whose an entry is, which decides what it is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This repository's heap.
    Ours,
    /// An allocator that others made.
    Peer,
    /// No allocator: the cost of the boundary. It is never the best of anything.
    Boundary,
}

/// An allocator under comparison. No size is 0.
trait Candidate {
    const NAME: &'static str;
    const NOTE: &'static str;
    /// Its package in the lockfile.
    const PACKAGE: Option<&'static str>;
    const KIND: Kind = Kind::Peer;

    /// Gives free memory back to the kernel, where a program can ask for that.
    const TRIM: Option<fn()> = None;

    /// Runs before the first allocation, outside what is measured.
    fn prepare() {}

    /// # Safety
    ///
    /// The size is not 0, and the process has one thread.
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
    /// `payload` is a live block that was asked for with this layout, and the process has one thread.
    unsafe fn free(payload: *mut u8, layout: Layout);

    /// # Safety
    ///
    /// `payload` is a live block that was asked for with `old`, `new` is not 0, and the process has one thread.
    #[inline(always)]
    unsafe fn resize(payload: *mut u8, old: Layout, new: usize) -> *mut u8 {
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

/// A candidate at run time: which one is called is known only then, so that nothing of it reaches into a workload.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    pub(crate) package: Option<&'static str>,
    pub(crate) kind: Kind,
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
    /// Gives free memory back to the kernel, where a program can ask for that.
    pub(crate) trim: Option<fn()>,
}

const fn entry<C: Candidate>() -> Entry {
    Entry {
        name: C::NAME,
        note: C::NOTE,
        package: C::PACKAGE,
        kind: C::KIND,
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
fn layout(size: usize, align: usize) -> Layout {
    // SAFETY: every alignment here is a power of two, and the workloads' sizes are far below the limit.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

#[inline(never)]
unsafe fn allocate<C: Candidate>(size: usize) -> *mut u8 {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::allocate(layout(size, WORD)) }
}

#[inline(never)]
unsafe fn allocate_zeroed<C: Candidate>(size: usize) -> *mut u8 {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::allocate_zeroed(layout(size, WORD)) }
}

#[inline(never)]
unsafe fn allocate_aligned<C: Candidate>(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::allocate(layout(size, align)) }
}

#[inline(never)]
unsafe fn free<C: Candidate>(payload: *mut u8, size: usize) {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::free(payload, layout(size, WORD)) }
}

#[inline(never)]
unsafe fn free_aligned<C: Candidate>(payload: *mut u8, size: usize, align: usize) {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::free(payload, layout(size, align)) }
}

#[inline(never)]
unsafe fn resize<C: Candidate>(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::resize(payload, layout(old, WORD), new) }
}

pub(crate) static ALL: [Entry; 17] = [
    entry::<own::SingleThreaded>(),
    entry::<own::Locked>(),
    entry::<own::OnBreak>(),
    entry::<own::LockedOnBreak>(),
    entry::<c::Mimalloc>(),
    entry::<c::Jemalloc>(),
    entry::<c::Snmalloc>(),
    entry::<c::Rpmalloc>(),
    entry::<c::System>(),
    entry::<arena::Talc>(),
    entry::<arena::Rlsf>(),
    entry::<arena::Picoalloc>(),
    entry::<dl::Dlmalloc>(),
    entry::<dl::RustixDlmalloc>(),
    entry::<arena::Buddy>(),
    entry::<arena::LinkedList>(),
    entry::<boundary::Empty>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_a_version() {
        for entry in ALL.iter().filter(|entry| entry.package.is_some()) {
            let version = entry.version().expect(entry.name);
            let (_, number) = version.split_once(' ').unwrap();
            assert!(number.split('.').count() == 3 && number.starts_with(|first: char| first.is_ascii_digit()));
        }
    }

    #[test]
    fn names_differ_and_there_is_one_boundary() {
        let mut names: Vec<&str> = ALL.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(ALL.iter().filter(|entry| entry.kind == Kind::Boundary).count(), 1);
    }
}
