//! Exercise 8: the orderings, in all interleavings. The checker is built once, and each right choice is weakened in it.

use crate::solved::{exercise, graded};
use learn::exercise::gaps;
use learn::grade::run_orderings;
use std::fs;
use std::process::Command;
use support::places::{repository, scratch};

/// The shipped ones, as the documentation of `src/ground/freed.rs` has them, and what breaks without each.
const RIGHT: [(&str, &str, &str); 6] = [
    ("FREE_LOAD", "Acquire", "of two frees 0 were accused"),
    ("FREE_SWAP", "Release", "used by two threads at once"),
    ("FREE_AGAIN", "Acquire", ""),
    ("TAKE_LOAD", "Acquire", "used by two threads at once"),
    ("TAKE_SWAP", "Release", "of two frees 0 were accused"),
    ("TAKE_AGAIN", "Acquire", "used by two threads at once"),
];

#[test]
fn the_shipped_orderings_are_right_and_each_is_needed() {
    let mut text = fs::read_to_string(exercise(8).path()).expect("the exercise");
    for (name, choice, _) in RIGHT {
        text = text.replace(
            &format!("pub const {name}: Choice = Choice::Blank"),
            &format!("pub const {name}: Choice = Choice::{choice}"),
        );
    }
    assert!(gaps(&text).is_empty(), "a blank is left: {text}");
    let file = scratch("learn-orderings.rs");
    fs::write(&file, text).expect("a file can be written");
    // The models' folder: the checker is built there already, with the same versions of everything.
    let target = scratch("models");
    let (wrong, said) = run_orderings(&target, &file).expect("it builds");
    println!("{said}");
    assert!(!wrong && said.contains("each ordering is as weak as can be"), "{said}");
    for (name, _, broken) in RIGHT {
        let output = Command::new(target.join("release/orderings")).env("HMALLOC_LEARN_WEAKENED", name).output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{name}: {said}");
        assert!(!output.status.success() && said.contains(broken), "{name}: {said}");
        assert!(
            said.contains("The interleaving that loses:") && said.contains("swaps in: generation"),
            "{name}: {said}"
        );
    }
}

/// The code around the blanks is the product's: the same six orderings, in the same order.
#[test]
fn the_exercise_has_the_blanks_where_the_product_has_its_orderings() {
    let product = fs::read_to_string(repository("src/ground/freed.rs")).expect("a source file");
    let code: Vec<&str> =
        product.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains("use ")).collect();
    let words = code.iter().flat_map(|line| line.split(|sign: char| !sign.is_alphanumeric()));
    let shipped: Vec<&str> = words.filter(|word| ["Acquire", "Release"].contains(word)).collect();
    assert_eq!(shipped, RIGHT.map(|(_, choice, _)| choice));
}

#[test]
fn blanks_are_told() {
    let (wrong, text) = graded(8, "e8");
    assert!(wrong && text.contains("6 orderings are to be chosen") && text.contains("exercise-8.md"), "{text}");
}
