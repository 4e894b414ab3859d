//! The allocator the program is built with, set up as its users do.

#[cfg(feature = "bump")]
pub(crate) use bump::prepare;
#[cfg(feature = "linked_list_allocator")]
pub(crate) use linked_list::prepare;

/// Runs before the first allocation.
#[cfg(not(any(feature = "bump", feature = "linked_list_allocator")))]
pub(crate) fn prepare() {}

/// What an allocator that cannot ask the kernel for memory gets. Untouched pages of it cost nothing.
#[cfg(any(feature = "bump", feature = "linked_list_allocator", feature = "talc"))]
const ARENA: usize = 1 << 20;

/// The reference: memory is handed out from one end, and is all free again once nothing is live.
#[cfg(feature = "bump")]
mod bump {
    use super::ARENA;
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::{Cell, UnsafeCell};

    #[repr(align(64))]
    struct Bump {
        arena: UnsafeCell<[u8; ARENA]>,
        used: Cell<usize>,
        live: Cell<usize>,
    }

    // SAFETY: the program has one thread.
    unsafe impl Sync for Bump {}

    #[global_allocator]
    static BUMP: Bump = Bump { arena: UnsafeCell::new([0; ARENA]), used: Cell::new(0), live: Cell::new(0) };

    // SAFETY: blocks are disjoint, inside the arena and aligned, because the arena is to 64 and no block is to
    // more.
    unsafe impl GlobalAlloc for Bump {
        // Neither is inlined nor without effect, so that the program around them is as with other allocators.
        #[inline(never)]
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let start = self.used.get().next_multiple_of(layout.align());
            if layout.align() > 64 || layout.size() > ARENA - start.min(ARENA) {
                return core::ptr::null_mut();
            }
            self.used.set(start + layout.size());
            self.live.set(self.live.get() + 1);
            self.arena.get().cast::<u8>().wrapping_add(start)
        }

        #[inline(never)]
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
            self.live.set(self.live.get() - 1);
            if self.live.get() == 0 {
                self.used.set(0);
            }
        }
    }

    pub(crate) fn prepare() {}
}

#[cfg(any(feature = "hmalloc", feature = "hmalloc-turns", feature = "hmalloc-small"))]
#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

// SAFETY: this program starts no threads and handles no signals.
#[cfg(feature = "hmalloc-alone")]
#[global_allocator]
static HEAP: hmalloc::Hmalloc<hmalloc::SingleThreaded> = unsafe { hmalloc::Hmalloc::single_threaded() };

// SAFETY: as above. No libc moves the program break.
#[cfg(feature = "hmalloc-smallest")]
#[global_allocator]
static HEAP: hmalloc::Hmalloc<hmalloc::SingleThreaded, hmalloc::brk::Linux> =
    unsafe { hmalloc::Hmalloc::single_threaded_with_source(hmalloc::brk::Linux) };

#[cfg(feature = "rustix-dlmalloc")]
#[global_allocator]
static HEAP: rustix_dlmalloc::GlobalDlmalloc = rustix_dlmalloc::GlobalDlmalloc;

// It declares the global allocator itself.
#[cfg(feature = "picoalloc")]
use picoalloc as _;

#[cfg(feature = "talc")]
#[global_allocator]
static HEAP: talc::TalcLock<spinning_top::RawSpinlock, talc::source::Claim> = {
    static mut HEAP_ARENA: [u8; ARENA] = [0; ARENA];
    // SAFETY: nothing else knows the arena.
    talc::TalcLock::new(unsafe { talc::source::Claim::array(&raw mut HEAP_ARENA) })
};

#[cfg(feature = "linked_list_allocator")]
mod linked_list {
    use super::ARENA;

    #[global_allocator]
    static HEAP: linked_list_allocator::LockedHeap = linked_list_allocator::LockedHeap::empty();

    pub(crate) fn prepare() {
        static mut HEAP_ARENA: [u8; ARENA] = [0; ARENA];
        // SAFETY: called once, before the first allocation; nothing else knows the arena.
        unsafe { HEAP.lock().init((&raw mut HEAP_ARENA).cast(), ARENA) };
    }
}

/// Writes a line for each span of the heap: start, length and use. Allocates nothing, so it touches no further page.
#[cfg(all(feature = "spans", any(feature = "hmalloc", feature = "hmalloc-turns", feature = "hmalloc-alone")))]
pub(crate) fn name_spans() {
    use core::fmt::{self, Write};

    struct Output;

    impl Write for Output {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            crate::runtime::say(text.as_bytes());
            Ok(())
        }
    }

    HEAP.inspect(|heap| {
        for span in heap.spans() {
            let _ = writeln!(Output, "span {} {} {:?}", span.address, span.bytes, span.kind);
        }
    });
}

/// Not asked for.
#[cfg(not(all(feature = "spans", any(feature = "hmalloc", feature = "hmalloc-turns", feature = "hmalloc-alone"))))]
pub(crate) fn name_spans() {}
