//! A heap for Linux over raw system calls: no libc needed, and every pointer given to `free` is checked exactly, in
//! constant time, in release builds.
//!
//! ```no_run
//! #[global_allocator]
//! static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
//! # fn main() {}
//! ```
//!
//! # A guided tour
//!
//! [`Hmalloc`] is a lock, a [`Policy`] and a [`Heap`] over [`brk::Automatic`]: the program break, or where a libc is
//! linked a break of its own. The same `Heap` over [`brk::Emulated`] lives in a byte array, where tests can refuse its
//! system calls and move the break as another user would.
//!
//! A heap is a row of **spans**, each a run of 16 KiB [pages](PAGE) with a **header** out of line. A request of up to
//! 56 KiB gets a **slot** of a **slab**: a span cut into equal pieces for one **size class**, with one bit a slot in
//! its header. A larger request gets a span of its own. Free spans coalesce; the last one, the **top**, is where the
//! break is raised and lowered.
//!
//! The **page map** leads from an address to the header of its page, and from there arithmetic and one bit tell whether
//! a live payload starts exactly at the address. If not, that is a [`Misuse`], which says what was found instead.
//!
//! # Ways in
//!
//! | | |
//! |---|---|
//! | [`Hmalloc`] | the program's allocator; with a [hook](Hmalloc#method.with_hook) before a request fails, and over any source: a static array ([`brk::Bytes`]), a [limit](brk::Limited), a [lock](Lock) of the program's own |
//! | [`LocalHeap`], [`SharedHeap`] | heaps that come and go, one for each request or tenant |
//! | [`Hmalloc::thread`] | a thread's own part of a heap, chosen by hand |
//! | [`Heap`] | one owner, and errors instead of a policy |
//! | `Allocator` | for `&` of the first three: of the crate `allocator-api2` by the cargo features `allocator-api2` (version 0.2: hashbrown) and `allocator-api2-04` (version 0.4), of nightly Rust with `RUSTFLAGS="--cfg hmalloc_nightly"` |
//! | [`Stats`], [`Histogram`], [`Hmalloc::map`] | what a heap says of itself: for people, as JSON, for Prometheus |
//!
//! [`internals`] draws all of it in bytes and numbers the invariants that [`Heap::check`] asserts.
//!
//! # What to expect
//!
//! - **Alignment**: every payload is aligned to 16 bytes or to what the layout asks for, if that is more.
//! - **Size**: a block is up to 1/8 larger than its request (up to 15 bytes below 128), above 1 KiB up to 1/4, and above
//!   56 KiB up to a page larger. The first few of a size, and one that was resized, may have up to half of it to spare. A
//!   request of 0 bytes gets a block.
//! - **Running out** is an answer: [`OutOfMemory`], or null. The heap is unchanged. Running out never panics.
//! - **Beside a libc** nothing is shared with its `malloc`: the heap has a range of addresses of its own. On the
//!   program break ([`brk::Linux`]) what others raise it over is left alone, and it is lowered only from where this
//!   heap left it. If a break cannot be raised, memory comes from mappings.
//! - **Across `fork`**, in programs with threads, in signal handlers: see [`Hmalloc`].
//! - **Zeroed requests**: memory fresh from the kernel is zero already and is not written again.
//! - **Cargo features**: eight are on by default, and a small program [can leave them out](#leaving-parts-out).
//!   `stages` adds the journal, `linux` is for
//!   targets like x86_64-unknown-none. With `valgrind` memcheck sees each block of a Rust program, its leaks and accesses after
//!   a free, and with `heaptrack` that tool does; each tells of calls through `GlobalAlloc`, and none is in a program without it.
//! - **Without Linux** there is a [`Heap`] over [bytes](brk::Bytes) of the program's own, or over a source that it brings, and
//!   [`Hmalloc::single_threaded_with_source`] as a global allocator for one thread. What needs Linux does not compile, and
//!   says why. A target that names no operating system counts as Linux if the program says so by the feature `linux`.
//! - **Architectures**: x86, x86_64, arm, aarch64, riscv64 and loongarch64 on stable Rust; mips, mips64, powerpc,
//!   powerpc64 and s390x where the compiler's experimental assembly is enabled.
//!
//! # Leaving parts out
//!
//! With `default-features = false` a program names those cargo features that it needs. Every pointer is checked just as exactly
//! without them, and the lines about misuse, [`Heap::check`] and [`Heap::trim`] stay. A small program that is linked statically,
//! without a libc, and optimized for size is 27 KB longer with such a heap than with the least that can be called an
//! allocator, and 197 KB longer with the whole one. If it has one thread
//! (`Hmalloc::single_threaded_with_source(brk::Linux)`), that is 21 KB, and 16 KB if it is linked without the tables that only
//! unwinding reads: with the linker's option `--no-eh-frame-hdr` and the script
//! `SECTIONS { /DISCARD/ : { *(.eh_frame) } } INSERT AFTER .text;`.
//!
//! | feature | without it |
//! |---|---|
//! | `threads` | threads take turns in all that they do, [handles](Hmalloc::thread), too; signal handlers must not use the heap if they may have interrupted a call to it; no requests are sampled |
//! | `checked` | [`Checks`] have no effect: only pointers are checked, and not contents |
//! | `libc` | for programs without one. Where a libc is linked the heap has a break of its own as ever, but threads take turns, and it is not prepared for `fork`: call [`Hmalloc::before_fork`] |
//! | `mappings` | the break has to be the heap's alone: where it cannot be raised, or another user has moved it, memory is out; one that was lowered below the heap's end ends the process with a line. Large blocks that move are copied, and fewer can grow in place, as parts of the page map lie between them. The pages around the heap's own data stay accessible |
//! | `returns` | unasked, only what is free at the heap's end is returned, and only if that is more than a MiB and an eighth of the heap as it was together; a trim returns what is free there, and nothing between blocks. No huge pages; zeroed blocks are written also where memory is fresh; reports take all free memory for held |
//! | `speed` | each call takes more instructions, large blocks are found in a tree, and those that are resized are copied, while other threads wait, unless they shrink by less than half; slabs are as short as their slots allow, and none that is empty is kept. The text about a wrong pointer takes a look at each page from it down to its block's start |
//! | `limits` | a request fails if the kernel does not grant what it needs: no smaller slab is tried, the last free slots of slabs that are nearly full are not looked for, and there is no [hook](Hmalloc#method.with_hook) |
//! | `details` | lines about misuse end without the program's, the process's and the thread's name, those about a corrupt heap without the invariant's text, and gdb's command `hmalloc` does not find the heap |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_debug_implementations)]
// Assembly for these is not stable in all compilers; the `syscalls` crate needs it as much as this crate does.
#![cfg_attr(
    any(target_arch = "mips", target_arch = "mips64", target_arch = "powerpc", target_arch = "powerpc64"),
    feature(asm_experimental_arch)
)]
#![cfg_attr(hmalloc_nightly, feature(allocator_api))]
// What only the constructors that need Linux use is compiled all the same: it is what they would use.
#![cfg_attr(
    not(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux"))),
    allow(dead_code, unused_imports, reason = "its users are for Linux")
)]

#[cfg(not(target_has_atomic = "ptr"))]
compile_error!(
    "hmalloc needs atomic read-modify-writes of a word: this target has none, as thumbv6m and riscv32i have none"
);

#[cfg(test)]
extern crate std;

#[macro_use]
mod kernel;

mod central;
mod checked;
mod door;
mod global;
mod ground;
mod heap;
mod look;
mod resize;
mod scoped;
#[cfg(feature = "stages")]
pub mod stages;
mod threads;
mod tier;
mod work;

pub use central::spans::OutOfMemory;
pub use checked::options::Checks;
pub use door::block::{Block, BlockState};
pub use door::damage::Damage;
pub use door::misuse::{Misuse, MisuseKind};
pub use global::alone::{SingleThreaded, Unshared};
pub use global::futex::Futex;
pub use global::lock::{Lock, Turn};
pub use global::{HeapMap, Hmalloc, Sampling, ThreadHeap};
elsewhere! {
    pub use global::OnLinux;
}
pub use ground::corrupt::Corruption;
pub use ground::header::PAGE;
pub use ground::policy::Policy;
pub use heap::Heap;
pub use kernel::brk;
pub use look::blocks::{Blocks, SpanInfo, SpanInfos, SpanKind};
pub use look::histogram::{Histogram, SizeBand};
pub use look::map::Map;
pub use look::profile::{Profile, Snapshot, Value};
pub use look::report::{ClassShare, FreeRun, Kept, Pin, Report, TierOwner, TierShare, Trimmable};
pub use look::stats::Stats;
pub use resize::ResizeError;
pub use scoped::{LocalHeap, ScopedHeap, SharedHeap};

/// How a line gets out, how the process dies and what a libc brings, for the packages `capi` and `runtime`: no part of the
/// crate's contract.
#[doc(hidden)]
pub mod process {
    pub use crate::kernel::line::Text;
    on_linux! {
        pub use crate::global::environment::{POLICIES, checks_of, policy_of};
        pub use crate::kernel::backtrace::{use_unwinder, without_stacks};
        pub use crate::kernel::environment::{leave_out_own_code, read, settings};
        pub use crate::look::profile::files::write as write_profile;
        pub use crate::kernel::line::say;
        pub use crate::kernel::sys::{STDERR, abort, write_line};
        pub use crate::{linked, weak};
    }
}

#[cfg(doc)]
#[doc = include_str!("README.md")]
pub mod internals {}

/// The README's examples are compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
