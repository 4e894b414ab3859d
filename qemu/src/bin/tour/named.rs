//! The blocks of the tour by their names.

/// How many names the script has, from `a` on.
pub(crate) const NAMES: usize = 6;

/// A payload that the tour allocated, and its name.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    pub(crate) name: char,
    pub(crate) payload: *mut u8,
    /// How many bytes were requested.
    pub(crate) requested: usize,
    pub(crate) live: bool,
}

impl Named {
    /// Whether its bytes are still what the tour wrote.
    pub(crate) fn is_intact(&self) -> bool {
        // SAFETY: live, and all its bytes were written.
        let bytes = unsafe { core::slice::from_raw_parts(self.payload, self.requested) };
        bytes.iter().all(|&byte| char::from(byte) == self.name)
    }

    pub(crate) fn write(&self) {
        // SAFETY: live, with at least as many bytes as were requested.
        unsafe { self.payload.write_bytes(self.name as u8, self.requested) };
    }
}
