//! Making a heap that comes and goes.

use super::{LocalHeap, SharedHeap};
use crate::global::Hmalloc;
use crate::global::alone::Unshared;
use crate::global::futex::Futex;
use crate::ground::policy::Policy;
use crate::kernel::brk::{Brk, Limited, Reserved};

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl LocalHeap {
    /// An empty heap for one thread at a time. Takes nothing from the kernel before its first block.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_source(Reserved::new())
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl LocalHeap<Limited<Reserved>> {
    /// [`new`](LocalHeap::new), with a limit in bytes on what the heap takes from the kernel: [`Limited`] says what counts.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use hmalloc::LocalHeap;
    ///
    /// let heap = LocalHeap::with_limit(1 << 20);
    /// let layout = Layout::new::<[u8; 1000]>();
    /// let blocks = (0..2000).take_while(|_| heap.allocate(layout).is_ok()).count();
    /// assert!(blocks > 900 && blocks < 1049, "{blocks}");
    /// assert!(heap.stats().heap_bytes <= 1 << 20);
    /// ```
    #[must_use]
    pub const fn with_limit(bytes: usize) -> Self {
        Self::with_source(Limited::new(Reserved::new(), bytes))
    }
}

impl<B: Brk> LocalHeap<B> {
    /// An empty heap for one thread at a time that takes its memory from `source`.
    ///
    /// ```
    /// use hmalloc::{LocalHeap, brk::Emulated};
    ///
    /// let mut arena = [const { core::mem::MaybeUninit::uninit() }; 1 << 18];
    /// let heap = LocalHeap::with_source(Emulated::new(&mut arena));
    /// assert!(heap.allocate(core::alloc::Layout::new::<u64>()).is_ok());
    /// ```
    #[must_use]
    pub const fn with_source(source: B) -> Self {
        Self { heap: Hmalloc::assemble(Unshared::new(), source, Policy::Abort, None) }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl SharedHeap {
    /// An empty heap for any number of threads. Takes nothing from the kernel before its first block.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_source(Reserved::new())
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl SharedHeap<Limited<Reserved>> {
    /// [`new`](SharedHeap::new), with a limit in bytes, as [`LocalHeap::with_limit`].
    #[must_use]
    pub const fn with_limit(bytes: usize) -> Self {
        Self::with_source(Limited::new(Reserved::new(), bytes))
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl<B: Brk> SharedHeap<B> {
    /// An empty heap for any number of threads that takes its memory from `source`.
    #[must_use]
    pub const fn with_source(source: B) -> Self {
        Self { heap: Hmalloc::assemble(Futex::without_tiers(), source, Policy::Abort, None) }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl Default for LocalHeap {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl Default for SharedHeap {
    fn default() -> Self {
        Self::new()
    }
}
