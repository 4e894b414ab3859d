//! Giving a whole heap back to the kernel: by its mappings, whatever number of blocks is in them.

use crate::central::spans::Spans;
use crate::kernel::brk::Brk;

impl<B: Brk> Spans<B> {
    /// Returns all memory to the kernel and begins anew, as a heap that was never used. What the kernel refuses to take back
    /// is lost. On the program break, so is what lies below memory over which others have raised it.
    ///
    /// Takes one system call for each region; and either one more for all the rest, or one for the break, one or two for
    /// metadata aside, and one for each guard where an emulator needs that.
    ///
    /// # Safety
    ///
    /// Nothing in the heap is used again, by no thread.
    pub(crate) unsafe fn give_all_back(&mut self) {
        for region in self.map.regions().iter() {
            // SAFETY: the mapping is one that `map` returned, and by the caller's promise nothing in it is used.
            let _ = unsafe { self.brk.unmap(region.mapping, region.mapping_bytes) };
        }
        // SAFETY: the caller's promise.
        if unsafe { self.brk.release() }.is_err() && self.map.base().is_some() {
            // SAFETY: as above.
            unsafe { self.give_back_by_parts() };
        }
        let policy = self.policy;
        // SAFETY: `brk` is moved out of the old value, which is then overwritten and has nothing else to drop.
        unsafe {
            let brk = (&raw const self.brk).read();
            (self as *mut Self).write(Self::new(brk, policy));
        }
    }

    /// # Safety
    ///
    /// As for [`give_all_back`](Self::give_all_back).
    unsafe fn give_back_by_parts(&mut self) {
        let (base, end) = (self.map.base().unwrap_or(0), self.map.end());
        // SAFETY: the caller's promise. Headers of pages below are aside, too, and not looked at any more.
        unsafe { self.map.return_all_aside(&mut self.brk) };
        if self.counters.foreign_pages == 0 && self.brk.query() == Ok(end) {
            // SAFETY: the heap ends at `end`, and nothing in it is used. Refused, the break stays where it is.
            let _ = unsafe { self.lower_over_guards(end, base) };
        }
    }
}
