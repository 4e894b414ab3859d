//! Which source a heap has, where it chooses and where the program does.

use crate::build::{For, finishes, program, with};
use hmalloc::brk::{Arena, Bytes, Emulated, Linux, OwnBreak, Source};
use hmalloc::{Futex, Heap, Hmalloc};
use std::mem::MaybeUninit;
use std::process::Command;
use support::programs;

#[test]
fn a_libc_leads_to_a_break_of_the_heaps_own() {
    for kind in [For::Glibc, For::MuslStatic, For::MuslDynamic] {
        let said = finishes(&mut with(program("source", kind), &["automatic"]));
        assert!(said.starts_with("OwnBreak\n"), "{kind:?}: {said}");
    }
}

#[test]
fn a_program_without_libc_has_the_program_break() {
    for pie in [false, true] {
        let output = programs::run(Command::new(programs::program("probe", pie)).arg("source"), b"");
        assert_eq!(programs::stdout(&output), "ProgramBreak\nsurvived\n", "{}", programs::stderr(&output));
    }
}

#[test]
fn a_source_is_what_it_says() {
    static ARENA: Arena<4096> = Arena::new();
    static HEAP: Hmalloc<Futex, Bytes> = Hmalloc::with_source(Bytes::new(&ARENA));
    let mut arena = [MaybeUninit::uninit(); 4096];
    assert_eq!(Heap::new(Emulated::new(&mut arena)).stats().source, Source::Emulated);
    assert_eq!(Heap::new(Linux).stats().source, Source::ProgramBreak);
    assert_eq!(Heap::new(OwnBreak::new()).stats().source, Source::OwnBreak);
    assert_eq!(HEAP.stats().source, Source::Other);
}

#[test]
fn a_program_brings_a_break_in_a_file() {
    for kind in [For::Glibc, For::MuslStatic] {
        finishes(&mut with(program("source", kind), &["own"]));
    }
}
