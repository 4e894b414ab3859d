//! Exercises 6 and 7: the slab, and the tests that have to kill copies of stage 5. And what is graded beside correctness.

use crate::answers::OTHERS;
use crate::solved::{graded, odd_slab, source_of, target, workshop};
use learn::grade::{MUTANTS, death, slab_difference};
use learn::workshop::Workshop;
use support::toolchain;

/// Exercise 1 dies where an atomic addition has to be aligned, and is told where; exercise 2 does not. A slab has to answer there as
/// it does here.
#[test]
fn a_machine_shows_where_a_misaligned_heap_dies() {
    let _ = (toolchain::way("aarch64-unknown-linux-gnu"), toolchain::emulator("qemu-aarch64"));
    // Few heaps, for that machine: the program for this one has all of them.
    let there = Workshop::new(target(), vec![source_of(1), source_of(2), source_of(6), odd_slab()]);
    let died = |heap| death(&there, "aarch64", heap).expect("it runs");
    let how = died("r1").expect("it dies");
    assert!(how.starts_with("SIGBUS at the atomic of the first word of malloc("), "{how}");
    assert_eq!([died("r2"), died("heap")], [None, None]);
    let differs = |heap| slab_difference(&workshop(), &there, "aarch64", heap).expect("it runs");
    assert_eq!(differs("r6"), None);
    let how = differs("odd6").expect("it differs");
    assert!(how.starts_with("`f 112` is answered with `= ok`, and with `= AlreadyFree` on this machine"), "{how}");
}

#[test]
fn the_right_slab_passes() {
    let (wrong, text) = graded(6, "r6");
    assert!(!wrong && text.contains("correct: "), "{text}");
}

#[test]
fn the_right_tests_kill_all_copies() {
    let (wrong, text) = graded(7, "r7");
    println!("{text}");
    assert!(!wrong, "{text}");
    assert!(text.contains(&format!("killed: {0} of {0}", MUTANTS.len())), "{text}");
}

#[test]
fn wrong_answers_fail() {
    for (number, name, _, said) in OTHERS {
        let (wrong, text) = graded(*number, &format!("w{number}_{name}"));
        println!("{name}: {text}");
        assert!(wrong && text.contains(said), "{name} has to be told: {said}\n{text}");
    }
}
