//! Heaps to compare with.

use crate::heap::{Heap, Kernel, Seen};
use core::alloc::Layout;
use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};
use hmalloc::stages::StageBlock;
use hmalloc::{BlockState, Heap as Shipped};

/// The alignment of a request that does not say which.
const ALIGN: usize = hmalloc::stages::s2_aligned::ALIGN;

/// The production heap.
pub struct Production<B: Kernel>(Shipped<B>);

impl<B: Kernel> Production<B> {
    /// An untouched heap.
    pub const fn new(brk: B) -> Self {
        Self(Shipped::new(brk))
    }
}

fn address(answer: Option<NonNull<u8>>) -> *mut u8 {
    answer.map_or(null_mut(), NonNull::as_ptr)
}

impl<B: Kernel> Heap for Production<B> {
    fn malloc(&mut self, size: usize) -> *mut u8 {
        let layout = Layout::from_size_align(size, ALIGN).ok();
        address(layout.and_then(|layout| self.0.allocate(layout).ok()))
    }

    fn free_and_hear(&mut self, payload: *mut u8, answer: Seen<'_>) {
        // SAFETY: the payload is not used again.
        if let Err(misuse) = unsafe { self.0.free(payload) } {
            answer(format_args!("{:?}", misuse.kind));
        }
    }

    fn realloc(&mut self, payload: *mut u8, size: usize) -> *mut u8 {
        if payload.is_null() {
            return self.malloc(size);
        }
        let layout = Layout::from_size_align(size, ALIGN).ok();
        // SAFETY: the payload is not used again if the answer is another.
        address(layout.and_then(|layout| unsafe { self.0.resize(payload, layout) }.ok()))
    }

    fn can_realloc(&self) -> bool {
        true
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        let bytes = count.checked_mul(size).and_then(|bytes| Layout::from_size_align(bytes, ALIGN).ok());
        address(bytes.and_then(|layout| self.0.allocate_zeroed(layout).ok()))
    }

    fn trim(&mut self) -> usize {
        self.0.trim(0)
    }

    fn blocks(&self, see: &mut dyn FnMut(StageBlock)) {
        for block in self.0.blocks() {
            // Metadata is drawn as a header without a payload.
            let (size, header) = match block.state {
                BlockState::Used | BlockState::Free => (block.size, block.address),
                _ => (0, block.address),
            };
            let payload = header + block.size - size;
            see(StageBlock { header, payload, size, free: block.state == BlockState::Free });
        }
    }

    fn header(&self) -> usize {
        0
    }

    fn kernel(&mut self) -> &mut dyn Kernel {
        self.0.brk_mut()
    }
}

/// A header of the first fit below.
#[repr(C)]
struct Unit {
    next: *mut Unit,
    /// In units, with the header.
    size: usize,
}

const UNIT: usize = size_of::<Unit>();
/// So many units are taken from the kernel at a time, at least.
const STEP: usize = 4096;

/// First fit as a small teaching kernel has it: a circular list of free blocks in address order, the search goes on where
/// the last one ended, neighbours are joined at a free, and nothing is verified or returned.
pub struct FirstFit<B: Kernel> {
    brk: B,
    base: Unit,
    /// Where the next search begins; null before the first call.
    start: *mut Unit,
    first: usize,
    end: usize,
}

impl<B: Kernel> FirstFit<B> {
    /// A heap without blocks.
    pub const fn new(brk: B) -> Self {
        Self { brk, base: Unit { next: null_mut(), size: 0 }, start: null_mut(), first: 0, end: 0 }
    }

    /// Puts a free block into the list.
    unsafe fn insert(&mut self, block: *mut Unit) {
        // SAFETY: headers of the list; the caller's block has its size.
        unsafe {
            let mut at = self.start;
            while !(block > at && block < (*at).next) {
                // At the end of the list, where it turns back to its beginning.
                if at >= (*at).next && (block > at || block < (*at).next) {
                    break;
                }
                at = (*at).next;
            }
            if block.add((*block).size) == (*at).next {
                (*block).size += (*(*at).next).size;
                (*block).next = (*(*at).next).next;
            } else {
                (*block).next = (*at).next;
            }
            if at.add((*at).size) == block {
                (*at).size += (*block).size;
                (*at).next = (*block).next;
            } else {
                (*at).next = block;
            }
            self.start = at;
        }
    }

    /// Takes memory from the kernel. `None` if there is none.
    fn raise(&mut self, units: usize) -> Option<()> {
        let now = self.brk.query().ok()?;
        let begin = now.checked_next_multiple_of(UNIT)?;
        let units = units.max(STEP);
        let end = begin.checked_add(units.checked_mul(UNIT)?)?;
        // SAFETY: raising takes nothing away.
        unsafe { self.brk.move_break(now, end) }.ok()?;
        if self.first == 0 {
            self.first = begin;
        }
        self.end = end;
        let block = with_exposed_provenance_mut::<Unit>(begin);
        // SAFETY: the bytes were just raised.
        unsafe {
            block.write(Unit { next: null_mut(), size: units });
            self.insert(block);
        }
        Some(())
    }
}

impl<B: Kernel> Heap for FirstFit<B> {
    fn malloc(&mut self, size: usize) -> *mut u8 {
        let Some(units) = size.checked_add(UNIT - 1).map(|bytes| bytes / UNIT + 1) else { return null_mut() };
        if self.start.is_null() {
            self.start = &raw mut self.base;
            self.base.next = self.start;
        }
        // SAFETY: headers of the list.
        unsafe {
            let mut before = self.start;
            loop {
                let at = (*before).next;
                if (*at).size >= units {
                    self.start = before;
                    if (*at).size == units {
                        (*before).next = (*at).next;
                        return at.add(1).cast();
                    }
                    (*at).size -= units;
                    let block = at.add((*at).size);
                    (*block).size = units;
                    return block.add(1).cast();
                }
                before = at;
                if at == self.start {
                    if self.raise(units).is_none() {
                        return null_mut();
                    }
                    before = self.start;
                }
            }
        }
    }

    fn free_and_hear(&mut self, payload: *mut u8, _: Seen<'_>) {
        if !payload.is_null() {
            // SAFETY: it believes that a header lies in front of the payload.
            unsafe { self.insert(payload.cast::<Unit>().sub(1)) }
        }
    }

    fn realloc(&mut self, _: *mut u8, _: usize) -> *mut u8 {
        null_mut()
    }

    fn blocks(&self, see: &mut dyn FnMut(StageBlock)) {
        let mut at = with_exposed_provenance_mut::<Unit>(self.first);
        while !at.is_null() && at.addr() < self.end {
            // SAFETY: from the first header on, sizes lead to the next one.
            let size = unsafe { (*at).size };
            let mut listed = self.base.next;
            while listed < at && listed.addr() >= self.first {
                // SAFETY: a header of the list.
                listed = unsafe { (*listed).next };
            }
            let header = at.addr();
            see(StageBlock { header, payload: header + UNIT, size: (size - 1) * UNIT, free: listed == at });
            at = at.wrapping_add(size);
        }
    }

    fn header(&self) -> usize {
        UNIT
    }

    fn kernel(&mut self) -> &mut dyn Kernel {
        &mut self.brk
    }
}
