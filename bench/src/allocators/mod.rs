//! Every allocator behind the same boundary: three functions that are never inlined, called through pointers.

mod arena;
mod c;
mod own;

pub(crate) use own::stats;

/// An allocator under comparison. Payloads are aligned to 8 bytes at least; no size is 0.
trait Candidate {
    const NAME: &'static str;
    const NOTE: &'static str;

    /// Runs before the first allocation, outside what is measured.
    fn prepare() {}

    /// # Safety
    ///
    /// `size` is not 0, and the process has one thread.
    unsafe fn allocate(size: usize) -> *mut u8;

    /// # Safety
    ///
    /// `payload` is a live block of `size` bytes, and the process has one thread.
    unsafe fn free(payload: *mut u8, size: usize);

    /// # Safety
    ///
    /// `payload` is a live block of `old` bytes, `new` is not 0, and the process has one thread.
    unsafe fn resize(payload: *mut u8, old: usize, new: usize) -> *mut u8;
}

/// A candidate at run time: which one is called is known only then, so that nothing of it reaches into a workload.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) note: &'static str,
    pub(crate) prepare: fn(),
    pub(crate) allocate: unsafe fn(usize) -> *mut u8,
    pub(crate) free: unsafe fn(*mut u8, usize),
    pub(crate) resize: unsafe fn(*mut u8, usize, usize) -> *mut u8,
}

const fn entry<C: Candidate>() -> Entry {
    Entry {
        name: C::NAME,
        note: C::NOTE,
        prepare: C::prepare,
        allocate: allocate::<C>,
        free: free::<C>,
        resize: resize::<C>,
    }
}

#[inline(never)]
unsafe fn allocate<C: Candidate>(size: usize) -> *mut u8 {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::allocate(size) }
}

#[inline(never)]
unsafe fn free<C: Candidate>(payload: *mut u8, size: usize) {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::free(payload, size) }
}

#[inline(never)]
unsafe fn resize<C: Candidate>(payload: *mut u8, old: usize, new: usize) -> *mut u8 {
    // SAFETY: the caller's promises are the candidate's.
    unsafe { C::resize(payload, old, new) }
}

pub(crate) static ALL: [Entry; 9] = [
    entry::<own::SingleThreaded>(),
    entry::<own::Locked>(),
    entry::<c::Mimalloc>(),
    entry::<c::Jemalloc>(),
    entry::<c::System>(),
    entry::<arena::Talc>(),
    entry::<arena::Rlsf>(),
    entry::<arena::Dlmalloc>(),
    entry::<arena::LinkedList>(),
];
