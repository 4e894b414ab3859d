//! What the recorder writes: a header, then one record for each call, all of fixed size and in the machine's byte order.
//! The recorder and the converter compile this same file.
//!
//! ```text
//!  byte   0        8         16        20        24                 64
//!         +--------+---------+---------+---------+------------------+
//! header | magic  | started | process | parent  | zero             |
//!         +--------+---------+---------+---------+------------------+
//!
//!  byte   0      1       2      4        8       16          24          32
//!         +------+-------+------+--------+-------+-----------+-----------+
//! record | kind | align | zero | thread | size  | old       | new       |
//!         +------+-------+------+--------+-------+-----------+-----------+
//! ```
//!
//! `started` is monotonic time in nanoseconds, `align` the alignment's logarithm where it was asked for, `old` the
//! address that was given to the call and `new` its answer, 0 where there is none. A record whose kind is 0 has not been
//! written: it is the end, and whatever follows is zero as well.

use bytemuck::{Pod, Zeroable};

/// The first bytes of a file. The last one is the format's version.
pub(crate) const MAGIC: [u8; 8] = *b"hmalraw\x01";

/// `malloc`.
pub(crate) const ALLOCATE: u8 = 1;
/// `calloc`: `size` is the product.
pub(crate) const ZEROED: u8 = 2;
/// Every call with an alignment of its own.
pub(crate) const ALIGNED: u8 = 3;
/// `realloc` and `reallocarray`.
pub(crate) const RESIZE: u8 = 4;
/// `free` of anything but null.
pub(crate) const FREE: u8 = 5;

/// Stands for calls that are not recorded, as a signal handler's that has interrupted one: a refused request of all there is, which
/// changes nothing for those who follow blocks.
#[allow(dead_code, reason = "only the recorder writes it: the converter takes it for any refused request")]
pub(crate) const MISSED: Record =
    Record { kind: ALLOCATE, align: 0, zero: 0, thread: 0, size: u64::MAX, old: 0, new: 0 };

/// What a file begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) started: u64,
    pub(crate) process: u32,
    pub(crate) parent: u32,
    pub(crate) zero: [u64; 5],
}

/// One call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    pub(crate) align: u8,
    pub(crate) zero: u16,
    pub(crate) thread: u32,
    pub(crate) size: u64,
    pub(crate) old: u64,
    pub(crate) new: u64,
}

const _: () = assert!(size_of::<Header>() == 64 && size_of::<Record>() == 32);
