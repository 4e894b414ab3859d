//! What a header says of a sampled block: a block with a span of its own, of which it may be a part.

use super::page::PAGE;
use super::record::{Kind, Others, Sample, Span};
use crate::ground::company::SAMPLES;
use crate::ground::sites::Counted;

/// The profile counts the block.
const COUNTED: u32 = 1;
/// The block was freed, and is kept inaccessible for a while.
const HELD: u32 = 2;

/// Where in its span a sampled block is, and what it counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shot {
    /// Bytes from the span's start to the payload.
    pub(crate) offset: usize,
    /// Bytes that the caller may use.
    pub(crate) bytes: usize,
    /// Its number among the [guarded](crate::ground::guards) blocks, if it is one.
    pub(crate) guard: Option<u32>,
    pub(crate) counted: Counted,
}

impl Span {
    #[inline]
    fn sample<'a>(self) -> &'a Sample {
        let others: &'a Others = self.others();
        &others.sample
    }

    /// Makes a large span that of a sampled block, which nothing counts yet.
    pub(crate) fn begin_sample(self, shot: Shot) {
        let sample = self.sample();
        sample.offset.set(shot.offset);
        sample.bytes.set(shot.bytes);
        sample.request.set(shot.counted.request);
        sample.slot.set(shot.counted.slot);
        sample.site.set(shot.counted.site);
        sample.guard.set(shot.guard.map_or(0, |number| number + 1));
        sample.state.set(0);
        self.change_kind(Kind::Large, Kind::Sampled);
    }

    /// Makes it a large span again.
    pub(crate) fn end_sample(self) {
        self.change_kind(Kind::Sampled, Kind::Large);
    }

    /// Whether this is the span of a sampled block.
    #[inline]
    pub(crate) fn is_sampled(self) -> bool {
        SAMPLES && self.is(Kind::Sampled)
    }

    /// Whether a sampled block is all of its span, so that this is as good as a large block's.
    pub(crate) fn is_sampled_whole(self) -> bool {
        self.sample_bytes() == self.bytes() && self.guard().is_none()
    }

    /// Whether the payload of a sampled block that is not held starts at `address`.
    pub(crate) fn sample_at(self, address: usize) -> bool {
        self.is_sampled() && self.sample_payload() == address && !self.is_held()
    }

    /// Address of the payload of a sampled block.
    pub(crate) fn sample_payload(self) -> usize {
        // Whoever reads this in the record of another kind of span gets some address.
        self.start().wrapping_add(self.sample().offset.get())
    }

    /// Bytes that the caller of a sampled block may use.
    pub(crate) fn sample_bytes(self) -> usize {
        self.sample().bytes.get()
    }

    /// Pages after the first one, up to the one in which the payload starts.
    pub(crate) fn sample_lead(self) -> usize {
        self.sample().offset.get() / PAGE
    }

    /// What a sampled block counts for.
    pub(crate) fn counted(self) -> Counted {
        let sample = self.sample();
        Counted { site: sample.site.get(), request: sample.request.get(), slot: sample.slot.get() }
    }

    /// Notes that a sampled block, which is not counted now, is for a request of so many bytes from now on.
    pub(crate) fn set_request(self, bytes: usize) {
        self.sample().request.set(bytes);
    }

    /// The number of a sampled block among the guarded ones, if it is one.
    pub(crate) fn guard(self) -> Option<u32> {
        self.sample().guard.get().checked_sub(1)
    }

    /// Notes where a sampled block was allocated, and that the profile counts it.
    pub(crate) fn set_site(self, site: u32) {
        self.sample().site.set(site);
        self.sample().state.set(self.sample().state.get() | COUNTED);
    }

    /// Whether the profile counts the block; from now on it does not.
    pub(crate) fn end_count(self) -> bool {
        let state = self.sample().state.get();
        self.sample().state.set(state & !COUNTED);
        state & COUNTED != 0
    }

    /// Whether a sampled block was freed, and is kept inaccessible.
    pub(crate) fn is_held(self) -> bool {
        self.sample().state.get() & HELD != 0
    }

    /// Notes that a sampled block was freed, and is kept inaccessible.
    pub(crate) fn hold(self) {
        self.sample().state.set(self.sample().state.get() | HELD);
    }
}
