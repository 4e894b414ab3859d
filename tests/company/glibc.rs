//! Programs on glibc, whose malloc and sbrk work at the program break in other threads; and several heaps in a process.

use crate::build::{For, finishes, plugin, program, times, with};
use support::installed::{Installed, describe, run};

fn beside(mode: &str, rounds: usize) {
    finishes(&mut with(program("beside", For::Glibc), &[mode, &times(rounds)]));
}

#[test]
fn its_malloc_works_in_another_thread() {
    beside("malloc", 300);
}

#[test]
fn both_heaps_are_trimmed_at_once() {
    beside("trim", 60);
}

#[test]
fn its_break_goes_up_and_down_in_another_thread() {
    beside("sbrk", 60);
}

#[test]
fn the_kernels_break_goes_up_and_down_in_another_thread() {
    beside("raw", 60);
}

#[test]
fn directories_threads_and_children() {
    let crowd = program("crowd", For::Glibc);
    for (mode, count) in [("directories", 1000), ("threads", 200), ("forks", 60)] {
        finishes(&mut with(&crowd, &[mode, &times(count)]));
    }
}

/// A heap of the program's own, and one for the C library's malloc.
#[test]
fn the_preloaded_library_is_a_second_heap() {
    let installed = Installed::new();
    let preloaded = |program, arguments: &[&str]| {
        let mut command = with(program, arguments);
        command.env("LD_PRELOAD", installed.shared()).env("HMALLOC_CHECK", "64").env("HMALLOC_STATS", "1");
        let output = run(&mut command);
        let (said, reported) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.ends_with("finished from OwnBreak\n"), "{}", describe(&output));
        assert!(reported.contains(" blocks in use"), "the library was there: {}", describe(&output));
    };
    for (mode, count) in [("malloc", 30), ("sbrk", 30)] {
        preloaded(program("beside", For::Glibc), &[mode, &times(count)]);
    }
    preloaded(program("crowd", For::Glibc), &["forks", &times(30)]);
    let library = plugin(For::Glibc).display().to_string();
    preloaded(program("loader", For::Glibc), &[&library, &times(20)]);
}

/// When it is unloaded, what it has registered to be called around each fork is gone, too.
#[test]
fn a_library_with_its_own_heap_comes_and_goes() {
    let library = plugin(For::Glibc).display().to_string();
    finishes(&mut with(program("loader", For::Glibc), &[&library, &times(60)]));
}

#[test]
fn heaps_in_threads_share_the_program_break() {
    let shared = program("shared_break", For::Glibc);
    finishes(&mut with(&shared, &["storm", "4", &times(100)]));
    finishes(&mut with(&shared, &["storm", "16", &times(20)]));
}

#[test]
fn no_two_threads_raise_the_break_over_the_same_bytes() {
    let shared = program("shared_break", For::Glibc);
    ["2", "8"].iter().for_each(|threads| drop(finishes(&mut with(&shared, &["moves", threads, &times(20_000)]))));
}

#[test]
fn a_heap_moves_the_break_while_another_one_is_about_to() {
    finishes(&mut with(program("shared_break", For::Glibc), &["interleaved"]));
}

#[test]
fn a_move_from_where_the_break_is_not_is_refused() {
    finishes(&mut with(program("shared_break", For::Glibc), &["elsewhere"]));
}
