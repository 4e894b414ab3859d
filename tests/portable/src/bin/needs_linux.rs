//! A program that must not compile where there is no Linux: each static is refused with the reason in words.
#![no_std]
#![no_main]

use hmalloc::brk::{Arena, Bytes, Linux, OwnBreak};
use hmalloc::{Futex, Heap, Hmalloc, Policy, SingleThreaded};

#[global_allocator]
static HEAP: Hmalloc = Hmalloc::new();

static POLITE: Hmalloc = Hmalloc::with_policy(Policy::Report);

// SAFETY: never run.
static ALONE: Hmalloc<SingleThreaded> = unsafe { Hmalloc::single_threaded() };

static ARENA: Arena<65536> = Arena::new();

// Its bytes need no kernel; threads that wait for each other do.
static SHARED: Hmalloc<Futex, Bytes> = Hmalloc::with_source(Bytes::new(&ARENA));

static BREAK: Option<Heap<Linux>> = None;

static OWN: Option<Heap<OwnBreak>> = None;
