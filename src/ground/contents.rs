//! The contents of blocks: filled and copied here, and nowhere else. The time is proportional to a block's size, so it is
//! done after the lock is released: nothing here needs the heap. What an emulated kernel or a byte array clears when memory
//! is taken from it is the source's work, as it is a kernel's.

use crate::ground::units::UNIT;
use core::ptr::NonNull;

/// From this size on, in bytes, a copy skips zeros.
const SKIP_MIN: usize = 1 << 20;

/// A block that was requested zeroed, and whose first `dirty` bytes are not zero yet.
#[must_use]
pub(crate) struct Unfilled {
    payload: NonNull<u8>,
    dirty: usize,
}

impl Unfilled {
    /// # Safety
    ///
    /// The block at `payload` is new, at least `dirty` bytes long, and not handed out yet.
    pub(crate) unsafe fn new(payload: NonNull<u8>, dirty: usize) -> Self {
        Self { payload, dirty }
    }

    /// The block, without the zeros.
    pub(crate) fn leave(self) -> NonNull<u8> {
        self.payload
    }

    /// Writes the zeros, and returns the block.
    pub(crate) fn fill(self) -> NonNull<u8> {
        // SAFETY: by the promise that was made to `new`.
        unsafe { self.payload.write_bytes(0, self.dirty) };
        self.payload
    }
}

/// The content of a block that moves. The old block is no longer live, and its memory stays until it is copied.
#[must_use]
pub(crate) struct Move {
    pub(crate) from: NonNull<u8>,
    pub(crate) to: NonNull<u8>,
    pub(crate) bytes: usize,
    /// From this address on the new block reads as zero.
    pub(crate) zero_from: usize,
}

impl Move {
    /// Copies the content, but writes no zeros where the new block reads as zero.
    ///
    /// # Safety
    ///
    /// Both blocks are live and at least `bytes` long, and nothing else uses them meanwhile.
    pub(crate) unsafe fn copy(&self) {
        let skips = self.bytes >= SKIP_MIN && !cfg!(miri);
        let before_zeros = self.zero_from.saturating_sub(self.to.addr().get());
        let dirty = if skips { before_zeros.min(self.bytes) } else { self.bytes };
        // SAFETY: the blocks are disjoint, and the caller's promise.
        unsafe { self.to.copy_from_nonoverlapping(self.from, dirty) };
        for at in (dirty..self.bytes).step_by(UNIT) {
            let unit = UNIT.min(self.bytes - at);
            // SAFETY: as above.
            unsafe {
                let from = self.from.add(at);
                if !is_zero(from.as_ptr(), unit) {
                    self.to.add(at).copy_from_nonoverlapping(from, unit);
                }
            }
        }
    }
}

/// Whether `bytes` bytes from `start` on are all zero. Some may be padding, which no Rust program may read: `black_box`
/// hides that from the compiler, and an interpreter does not get here.
///
/// # Safety
///
/// The bytes may be read, `start` is a multiple of 16, and nothing writes to them meanwhile.
unsafe fn is_zero(start: *const u8, bytes: usize) -> bool {
    let words = core::hint::black_box(start).cast::<u64>();
    // SAFETY: the caller's promise.
    let zero = (0..bytes / 8).all(|word| unsafe { words.add(word).read() } == 0);
    // SAFETY: as above.
    zero && (bytes / 8 * 8..bytes).all(|byte| unsafe { start.add(byte).read() } == 0)
}
