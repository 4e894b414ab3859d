//! One of the programs in `refused`, which the compiler must not accept. The variable names its file.
#![forbid(unsafe_code)]
#![allow(unused, reason = "what is wrong is what counts")]

use company as _;
use core::alloc::Layout;
use core::mem::MaybeUninit;
use hmalloc::brk::{Arena, Automatic, Brk, Bytes, Emulated, Linux, OwnBreak, Refused};
use hmalloc::{Futex, Heap, Hmalloc, LocalHeap, Lock, SingleThreaded};

include!(env!("HMALLOC_REFUSED"));
