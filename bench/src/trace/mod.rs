//! Recorded allocations of real programs, as they are kept.
//!
//! The recorder (`recorder/`) writes what a process asked for, call by call, with addresses. [`convert`] turns that into
//! [`event::Event`]s, in which a block is called by its number: how many blocks its process had asked for before it.
//! [`mod@file`] keeps events in few bytes. [`steps`] lays them out for the replay, with every size at hand.
//!
//! A file is a header of 64 bytes and one zstd frame with its checksum. Numbers are little-endian:
//!
//! ```text
//! byte  0       8       16      24      32       36       40         44                    64
//!       +-------+-------+-------+-------+--------+--------+----------+---------------------+-------------
//!       | magic | calls | steps | peak  | blocks | threads| processes| lengths of columns  | zstd frame
//!       +-------+-------+-------+-------+--------+--------+----------+---------------------+-------------
//!
//! frame: +-------+--------+------------+---------+---------+
//!        | kinds | sizes  | alignments | objects | threads |    one after the other, each of the length in the header
//!        +-------+--------+------------+---------+---------+
//!
//! kinds       1 byte each: 0 end of a process, 1 another thread, 2 allocate, 3 allocate zeroed, 4 allocate aligned,
//!             5 resize, 6 free
//! sizes       for kinds 2 to 5, the bytes asked for
//! alignments  for kind 4, 1 byte: its logarithm
//! objects     for kinds 5 and 6, which block: its number less that of the block that was named before
//! threads     for kind 1, whose calls follow; a process begins with thread 0
//! ```
//!
//! Sizes, objects and threads are numbers of 7 bits a byte, the lowest first, all bytes but the last with the highest bit
//! set; objects are folded first (0, -1, 1, -2 are 0, 1, 2, 3). `calls` counts kinds 2 to 6, `steps` what the replay makes
//! of them, `peak` the most bytes and `blocks` the most blocks that are live at once. What is live at the end of a process
//! is freed there.

mod convert;
pub(crate) mod event;
pub(crate) mod file;
#[path = "../../recorder/src/raw.rs"]
mod raw;
pub(crate) mod steps;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tool;
