//! The header of a span: one record out of line for each, and the handles through which it is reached.
//!
//! A header lies in a metadata page, never beside payload bytes. Its record is found by the number of the span's
//! first page, so making or dropping a header allocates nothing.
//!
//! Its fields are in groups, by the part of the heap that writes them, and each is reached through methods named after
//! what is done:
//!
//! | group | written by | read by |
//! |---|---|---|
//! | `Shared` | the central part, when it makes a span, cuts it into a slab, or retires that; the page map's [marks](Span::mark) in unused records | all parts, on each free |
//! | `State` | the owner's word: the central part, and other threads that free; the kind: the central part; the rest: the tier that owns the slab | all parts |
//! | `Owner`, in a slab | the tier that owns the slab, through a [`Slab`]; the central part, when it cuts the slab | all parts |
//! | `Pages`, in any other span | the central part, through a [`Span`] | the central part |
//! | `Central` | the central part, through a [`Span`]; the zero units: the slab's owner | the central part, and a tier about its slabs |
//!
//! ```text
//! one record, 192 bytes = three cache lines (64-bit)
//! +-------------------------------+------------------------------+------------------------+------------------------+
//! | shared                        | state                        | owner: in a slab       | central                |
//! | start | reciprocal | slot_    | owner | kind | until_ | open-| live: 16 words,| links | prev | next | pages,   |
//! |       |            | size,    |       |      | review | ed,  | one bit a slot,| on its|      |      | zero     |
//! |       |            | slack    |       |      |        | place| 1 = held       | list  |      |      | units    |
//! +-------------------------------+------------------------------+------------------------+------------------------+
//! 0       8            12         16      18     20       22     24               152     168    176    184      192
//!                                                                +----------------+-------+
//!                                                                | in other spans | links in the index of free
//!                                                                | a sampled block| spans, the break that a foreign
//!                                                                |                | owner left, pages that are zero
//!                                                                +----------------+ or dirty
//!                                                                24               128     168
//! ```
//!
//! What other threads may read without the lock are atomics, loaded and stored in the relaxed way; the orderings that make
//! that right are in the handles of the [page map](crate::ground::page_map) and in [`freed`](crate::ground::freed).
//!
//! What a free reads and writes lies in the first cache line, if the slab has no more than 320 slots; what coalescing
//! reads and writes, except for `start`, lies in the third.

#[cfg(test)]
mod fields;
mod owned;
mod page;
mod record;
mod sample;
mod slab;
mod span;

pub use page::PAGE;
pub(crate) use page::{PAGE_SHIFT, pages_of};
pub(crate) use record::{BITMAP_WORDS, Handle, Header, Kind, MAX_SLOTS, Place, RECORD_OFFSETS, Slab, Span};
pub(crate) use sample::Shot;
pub(crate) use slab::Shape;
