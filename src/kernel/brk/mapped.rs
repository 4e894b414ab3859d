//! What [`OwnBreak`](super::OwnBreak) and [`Reserved`](super::Reserved) have in common: all their memory is mappings, also what lies
//! below their breaks.

/// The functions of [`Brk`](super::Brk) that treat all memory alike, as mappings. Where this stands, `memory`, `Area` and `Refused`
/// are imported.
macro_rules! of_mappings {
    () => {
        fn map(&mut self, bytes: usize) -> Result<usize, Refused> {
            memory::map(bytes)
        }

        unsafe fn discard(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
            // SAFETY: the caller's promise.
            unsafe { memory::discard(start, bytes, Area::Mapping) }
        }

        unsafe fn relocate(&mut self, from: usize, to: usize, bytes: usize) -> Result<(), Refused> {
            // SAFETY: the caller's promise.
            unsafe { memory::relocate(from, to, bytes, Area::Mapping) }
        }

        unsafe fn seal(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
            // SAFETY: the caller's promise.
            unsafe { memory::seal(start, bytes, Area::Mapping) }
        }

        unsafe fn reopen(&mut self, start: usize, bytes: usize) -> Result<(), Refused> {
            // SAFETY: the caller's promise. What was sealed is a mapping of its own, without content.
            unsafe { memory::open(start, bytes) }
        }

        fn expect_use(&mut self, start: usize, bytes: usize) {
            memory::expect_use(start, bytes);
        }

        fn is_locked(&mut self, start: usize) -> bool {
            memory::is_locked(start, self.page_size(), Area::Mapping)
        }

        fn is_resident(&mut self, start: usize) -> bool {
            memory::is_resident(start, Area::Mapping)
        }

        fn now(&self) -> Option<u64> {
            crate::kernel::tasks::milliseconds()
        }

        fn page_size(&self) -> usize {
            super::page_size::page_size()
        }
    };
}

pub(super) use of_mappings;
