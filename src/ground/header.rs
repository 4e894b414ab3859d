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
//! | `Owner`, in a slab | the tier that owns the slab, through a [`Slab`]; the central part, when it cuts the slab | all parts |
//! | `Pages`, in any other span | the central part, through a [`Span`] | the central part |
//! | `Central` | the central part, through a [`Span`] | the central part, and a tier about its slabs |
//!
//! ```text
//! one record, 192 bytes = three cache lines (64-bit)
//! +-------------------------------+--------------------------------------------------------+-------------------------+
//! | shared                        | owner: in a slab                                       | central                 |
//! | start | reciprocal | slot_    | until_ | opened, | zero_ | live: 16 words, | links on  | prev | next | pages,    |
//! |       |            | size,    | review | place   | units | one bit a slot, | its       |      |      | capacity, |
//! |       |            | slack    |        |         |       | 1 = held        | class's   |      |      | kind      |
//! |       |            |          |        |         |       |                 | list      |      |      |           |
//! +-------------------------------+--------------------------------------------------------+-------------------------+
//! 0       8            12         16       18        20      24                152         168    176    184       192
//!                                 +------------------------------+-------------------------+
//!                                 | pages: in any other span     | links in the index of free spans, the break that a |
//!                                 | (not used)                   | foreign owner left, pages that are zero or dirty   |
//!                                 +------------------------------+-------------------------+
//!                                 16                             128                       168
//! ```
//!
//! What a free reads and writes lies in the first cache line, if the slab has no more than 320 slots; what coalescing
//! reads and writes, except for `start`, lies in the third.

#[cfg(test)]
mod fields;
mod page;
mod record;
mod slab;
mod span;

pub use page::PAGE;
pub(crate) use page::{PAGE_SHIFT, pages_of};
pub(crate) use record::{Header, Kind, MAX_SLOTS, Place, Slab, Span};
pub(crate) use slab::Shape;
