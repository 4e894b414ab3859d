//! Exercises 6 and 7: the slab, and the tests that have to kill copies of stage 5.

use crate::answers::OTHERS;
use crate::solved::graded;
use learn::grade::MUTANTS;

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
