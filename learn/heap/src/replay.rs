//! A recorded trace, done again.

/// Whatever has malloc and its kin: a heap of the course, or the C library.
pub trait Replayed {
    /// `size` bytes, or null.
    fn malloc(&mut self, size: usize) -> *mut u8;

    /// Frees a live block.
    fn free(&mut self, payload: *mut u8);

    /// The block with `size` bytes instead of `old`, or null.
    fn realloc(&mut self, payload: *mut u8, old: usize, size: usize) -> *mut u8;

    /// Bytes taken from the kernel and not returned.
    fn held(&mut self) -> usize;
}

/// A call of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Step {
    /// Which block, as a place in a table.
    pub place: u32,
    /// The bytes it has afterwards; 0 for a free.
    pub size: u32,
    /// The bytes it had before; 0 for a new block.
    pub old: u32,
}

/// Does `steps`, with `blocks` as its table, and returns the most bytes that were held at once; or which step had no answer.
///
/// # Errors
///
/// The number of the step that was refused.
pub fn replay(heap: &mut impl Replayed, steps: &[Step], blocks: &mut [*mut u8]) -> Result<usize, usize> {
    let mut most = 0;
    for (number, step) in steps.iter().enumerate() {
        let block = &mut blocks[step.place as usize];
        let (old, size) = (step.old as usize, step.size as usize);
        if size == 0 {
            heap.free(*block);
            continue;
        }
        *block = if old == 0 { heap.malloc(size) } else { heap.realloc(*block, old, size) };
        if block.is_null() {
            return Err(number);
        }
        // SAFETY: it has at least one byte. A program writes to what it asks for.
        unsafe { block.write(1) };
        if number.is_multiple_of(16) {
            most = most.max(heap.held());
        }
    }
    Ok(most.max(heap.held()))
}
