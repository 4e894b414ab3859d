//! What is done to memory besides asking for it.

use crate::base::kernel;

/// Sees every block come and go.
pub(crate) trait Probe {
    /// A fresh block, or the part `from..size` by which a block grew.
    ///
    /// # Safety
    ///
    /// `payload` may be written for `size` bytes.
    unsafe fn fresh(&mut self, payload: *mut u8, from: usize, size: usize);
    /// `bytes` fewer are live.
    fn gone(&mut self, bytes: usize);
}

/// For timing: the first word is written, and nothing else.
pub(crate) struct FirstWord;

impl Probe for FirstWord {
    #[inline(always)]
    unsafe fn fresh(&mut self, payload: *mut u8, from: usize, size: usize) {
        // SAFETY: the caller's promise; every request here is of 8 bytes at least.
        unsafe { payload.add(from).cast::<u64>().write_unaligned(size as u64) };
    }

    #[inline(always)]
    fn gone(&mut self, _: usize) {}
}

/// For the footprint: every page of the block is written, live bytes are counted, and resident memory is sampled.
pub(crate) struct Footprint {
    base: usize,
    live: usize,
    calls: usize,
    /// Live bytes from which the next new peak is sampled.
    next_sample: usize,
    pub(crate) peak_live: usize,
    pub(crate) peak_resident: usize,
}

impl Footprint {
    pub(crate) fn new() -> Self {
        Self { base: kernel::resident(), live: 0, calls: 0, next_sample: 0, peak_live: 0, peak_resident: 0 }
    }

    /// To be called between rounds too: what a last sample missed is still resident then.
    pub(crate) fn sample(&mut self) {
        self.peak_resident = self.peak_resident.max(kernel::resident().saturating_sub(self.base));
    }
}

impl Probe for Footprint {
    unsafe fn fresh(&mut self, payload: *mut u8, from: usize, size: usize) {
        for offset in (from..size).step_by(1024).chain([size - 1]) {
            // SAFETY: the caller's promise; `offset` is below `size`.
            unsafe { payload.add(offset).write(1) };
        }
        self.live += size - from;
        self.peak_live = self.peak_live.max(self.live);
        self.calls += 1;
        // The kernel walks every resident page for one answer, so samples get rarer as memory grows: a new peak counts
        // when it is 1/128 and a page above the last one sampled, and what grows without a new peak is seen every so
        // many calls.
        let is_peak = self.live >= self.next_sample;
        if is_peak {
            self.next_sample = self.live + (self.live / 128).max(4096);
        }
        if is_peak || self.calls.is_multiple_of(4096 + self.peak_live / 1024) {
            self.sample();
        }
    }

    fn gone(&mut self, bytes: usize) {
        self.live -= bytes;
    }
}
