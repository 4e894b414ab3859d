//! A heap whose state can be saved, compared and restored: its value, and the bytes of its metadata. Payloads are never written
//! here, so there is nothing else.

use hmalloc::brk::Emulated;
use hmalloc::{Heap, SpanInfo, SpanKind};
use std::mem::MaybeUninit;
use std::ptr::{copy_nonoverlapping, with_exposed_provenance_mut};

pub(super) type Tried<'a> = Heap<Emulated<'a>>;

/// A heap at a fixed place, so that its value is bytes that can be compared.
pub(super) struct Place<'a>(Box<MaybeUninit<Tried<'a>>>);

/// A state of the heap.
pub(super) struct Saved {
    value: Box<[MaybeUninit<u8>]>,
    pieces: Vec<(usize, Box<[MaybeUninit<u8>]>)>,
}

fn bytes_at(address: usize, bytes: usize) -> Box<[MaybeUninit<u8>]> {
    let mut copy = Box::new_uninit_slice(bytes);
    // SAFETY: the callers name memory of the arena, or the heap's value.
    unsafe { copy_nonoverlapping(with_exposed_provenance_mut::<MaybeUninit<u8>>(address), copy.as_mut_ptr(), bytes) };
    copy
}

impl<'a> Place<'a> {
    pub(super) fn new(heap: Tried<'a>) -> Self {
        let mut place = Box::new(MaybeUninit::zeroed());
        place.write(heap);
        let place = Self(place);
        place.0.as_ptr().expose_provenance();
        place
    }

    pub(super) fn heap(&mut self) -> &mut Tried<'a> {
        // SAFETY: written when it was made, and restored only to values that it had.
        unsafe { self.0.assume_init_mut() }
    }

    fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The heap as it is. `spans` are those that stand.
    pub(super) fn save(&self, spans: &[SpanInfo]) -> Saved {
        let metadata = spans.iter().filter(|span| span.kind == SpanKind::Metadata);
        let pieces = metadata.map(|span| (span.address, bytes_at(span.address, span.bytes))).collect();
        Saved { value: bytes_at(self.address(), size_of::<Tried<'a>>()), pieces }
    }

    /// Makes the heap what it was.
    pub(super) fn restore(&mut self, saved: &Saved) {
        let value = (self.address(), &saved.value);
        for (address, bytes) in saved.pieces.iter().map(|(address, bytes)| (*address, bytes)).chain([value]) {
            let to = with_exposed_provenance_mut::<MaybeUninit<u8>>(address);
            // SAFETY: these bytes were copied from there, the heap's value and metadata at one moment. Nobody holds on to
            // anything in them: blocks of later moments are forgotten.
            unsafe { copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
    }

    /// Whether the heap is what it was, byte for byte.
    pub(super) fn is(&self, saved: &Saved) -> bool {
        let value = (self.address(), &saved.value);
        let mut pieces = saved.pieces.iter().map(|(address, bytes)| (*address, bytes)).chain([value]);
        pieces.all(|(address, bytes)| {
            let now = with_exposed_provenance_mut::<libc::c_void>(address);
            // SAFETY: both are as long. A padding byte is whatever it is, in both.
            unsafe { libc::memcmp(now, bytes.as_ptr().cast(), bytes.len()) == 0 }
        })
    }
}
