//! A program's heap over time, in one HTML file that needs no network.
//!
//! What is shown are the program's calls, recorded in their order, and a heap on which they are made again: on one tier, whatever
//! thread made them, with a microsecond for each call. So two pages of the same record are the same. The addresses are not those
//! of the recorded run, nor is what other threads' tiers held there.
//!
//! ```text
//! recorder ---> record: a file for each process ---> replay / stages: Timeline ---> page: HTML
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`record`] | reads what the recorder of `bench/recorder` wrote: addresses become numbers of blocks |
//! | [`replay`] | makes the calls on a [`Heap`](hmalloc::Heap), and looks at it some hundred times |
//! | [`stages`] | the same on one of the five heaps of the journal |
//! | [`source`] | memory for the heap, which counts what is asked of it |
//! | [`timeline`] | what was seen |
//! | [`page`], [`encode`] | the page, and how its numbers are written in few bytes |

pub mod encode;
pub mod page;
pub mod record;
pub mod replay;
pub mod source;
pub mod stages;
pub mod timeline;
