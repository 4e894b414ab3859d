//! What a signal handler does that has interrupted its own thread in the central part, so that it cannot take the lock: its
//! blocks are mappings of their own, and what it frees is freed when the thread goes on.
//!
//! In any other place a handler finds the lock free or held by another thread, and gets a spare tier.

use crate::kernel::brk::{map_alone, unmap_alone};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// How many blocks can be mapped alone at the same time.
const ALONE_MAX: usize = 512;
/// How many frees can be put off.
const PUT_OFF_MAX: usize = 512;
/// In place of an address: the entry is being written.
const TAKEN: usize = 1;

/// The blocks and the frees of handlers. All zeros: none.
#[repr(C)]
pub(crate) struct Handlers {
    alone: [Alone; ALONE_MAX],
    /// Addresses of blocks that are to be freed.
    put_off: [AtomicUsize; PUT_OFF_MAX],
    /// How many blocks are mapped alone.
    alone_count: AtomicUsize,
    put_off_count: AtomicUsize,
    /// 1 while what was put off is being done.
    under_way: AtomicUsize,
}

/// A block that is a mapping.
struct Alone {
    address: AtomicUsize,
    bytes: AtomicUsize,
}

impl Handlers {
    /// A zeroed block of at least `size` bytes at a multiple of `align`, which is at most a kernel page.
    pub(crate) fn allocate(&self, size: usize, align: usize, kernel_page: usize) -> Option<usize> {
        let bytes = size.max(1).checked_next_multiple_of(kernel_page).filter(|_| align <= kernel_page)?;
        let free = |entry: &&Alone| entry.address.compare_exchange(0, TAKEN, Acquire, Relaxed).is_ok();
        let entry = self.alone.iter().find(free)?;
        let mapped = map_alone(bytes).ok();
        entry.bytes.store(bytes, Relaxed);
        entry.address.store(mapped.unwrap_or(0), Release);
        if mapped.is_some() {
            self.alone_count.fetch_add(1, AcqRel);
        }
        mapped
    }

    /// Bytes of the block at `address`, if it is mapped alone.
    pub(crate) fn bytes_of(&self, address: usize) -> Option<usize> {
        Some(self.find(address)?.bytes.load(Relaxed))
    }

    /// Frees the block at `address`, if it is mapped alone.
    pub(crate) fn free(&self, address: usize) -> bool {
        let Some(entry) = self.find(address) else { return false };
        let bytes = entry.bytes.load(Relaxed);
        let mine = entry.address.compare_exchange(address, TAKEN, AcqRel, Relaxed).is_ok();
        if mine {
            // SAFETY: mapped by `allocate` with this length, and its entry is taken.
            unsafe { unmap_alone(address, bytes) };
            self.alone_count.fetch_sub(1, AcqRel);
            entry.address.store(0, Release);
        }
        mine
    }

    fn find(&self, address: usize) -> Option<&Alone> {
        if self.alone_count.load(Acquire) == 0 || address <= TAKEN {
            return None;
        }
        self.alone.iter().find(|entry| entry.address.load(Acquire) == address)
    }

    /// How many blocks are mapped alone, and their bytes.
    pub(crate) fn sum(&self) -> (usize, usize) {
        let live = self.alone.iter().filter(|entry| entry.address.load(Acquire) > TAKEN);
        live.fold((0, 0), |(blocks, bytes), entry| (blocks + 1, bytes + entry.bytes.load(Relaxed)))
    }

    /// Has the block at `address` freed by the next who takes the lock. False if there is no room for it.
    pub(crate) fn put_off(&self, address: usize) -> bool {
        let noted = self.put_off.iter().any(|place| place.compare_exchange(0, address, Release, Relaxed).is_ok());
        self.put_off_count.fetch_add(noted as usize, AcqRel);
        noted
    }

    /// Begins to do what was put off, and to report what was found late. Not if that is being done already.
    pub(crate) fn begin(&self) -> bool {
        self.under_way.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.under_way.store(0, Release);
    }

    /// Whether any free was put off.
    #[inline(always)]
    pub(crate) fn has_put_off(&self) -> bool {
        self.put_off_count.load(Relaxed) != 0
    }

    /// The address of a block whose free was put off.
    pub(crate) fn take_put_off(&self) -> Option<usize> {
        let address = self.put_off.iter().map(|place| place.swap(0, Acquire)).find(|&address| address != 0)?;
        self.put_off_count.fetch_sub(1, AcqRel);
        Some(address)
    }
}
