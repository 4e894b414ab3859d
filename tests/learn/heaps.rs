//! Exercises 1 to 5: the oracle, and the grade of a heap.

use crate::answers::{RIGHT, WRONG};
use crate::solved::{exercise, graded, solved, workshop};
use learn::exercise::gaps;
use learn::judge::Reason;
use learn::level::Level;
use learn::search::{CASES, search};
use std::fs;
use support::places::repository;

/// As many scripts as a grade plays, so that what passes here passes there; `HMALLOC_TEST_SCRIPTS` is another number.
fn cases() -> u32 {
    std::env::var("HMALLOC_TEST_SCRIPTS").map_or(CASES, |text| text.parse().expect("a number"))
}

#[test]
fn right_answers_pass() {
    let workshop = workshop();
    for number in 1..=5 {
        let found = search(&workshop, &format!("r{number}"), Level(number), cases()).expect("it builds");
        assert!(found.is_none(), "exercise {number}: {found:#?}");
    }
}

/// Each stage is right in its own exercise, and the production heap in the first two, which do not look where it has its free
/// blocks.
#[test]
fn stages_pass() {
    let workshop = workshop();
    for (heap, level) in [("s1", 1), ("s2", 2), ("s3", 3), ("s4", 4), ("s5", 5)] {
        let found = search(&workshop, heap, Level(level), cases()).expect("it builds");
        assert!(found.is_none(), "{heap}: {found:#?}");
    }
}

/// What a stage does not do yet is found out by the next exercise.
#[test]
fn a_stage_fails_the_next_exercise() {
    let workshop = workshop();
    for (heap, level, reasons) in [
        ("s1", 2, &[Reason::Misaligned][..]),
        ("s2", 3, &[Reason::NotLowered, Reason::Null]),
        ("s3", 4, &[Reason::NotLowered, Reason::NotReused]),
        ("s4", 5, &[Reason::Null, Reason::NotReused]),
    ] {
        let found = search(&workshop, heap, Level(level), cases()).expect("it builds").expect("a fault");
        println!("{heap} in exercise {level}: {} ({})", found.script, found.fault.what);
        assert!(
            reasons.contains(&found.fault.reason),
            "{heap} in exercise {level}: {} {:?}",
            found.script,
            found.fault
        );
    }
}

fn wrong_answers_fail(number: u8) {
    let workshop = workshop();
    let of_it: Vec<_> = WRONG.iter().filter(|wrong| wrong.number == number).collect();
    assert!(of_it.len() >= 3);
    for wrong in of_it {
        let heap = format!("w{number}_{}", wrong.name);
        let found = search(&workshop, &heap, Level(number), cases()).expect("it builds");
        let found = found.unwrap_or_else(|| panic!("{} passes", wrong.name));
        println!("{}: {} ({})", wrong.name, found.script, found.fault.what);
        assert!(wrong.reasons.contains(&found.fault.reason), "{}: {} {:?}", wrong.name, found.script, found.fault);
        // What hangs takes its time with each script that is tried.
        let short = found.script.calls.len() <= 10 || found.fault.reason == Reason::Hung;
        assert!(short, "{}: {} is not short", wrong.name, found.script);
    }
}

#[test]
fn wrong_answers_to_1_fail() {
    wrong_answers_fail(1);
}

#[test]
fn wrong_answers_to_2_fail() {
    wrong_answers_fail(2);
}

#[test]
fn wrong_answers_to_3_fail() {
    wrong_answers_fail(3);
}

#[test]
fn wrong_answers_to_4_fail() {
    wrong_answers_fail(4);
}

#[test]
fn wrong_answers_to_5_fail() {
    wrong_answers_fail(5);
}

#[test]
fn an_unsolved_exercise_is_told_what_is_missing() {
    for number in 1..=7 {
        let (wrong, text) = graded(number, &format!("e{number}"));
        println!("{text}");
        assert!(wrong && text.contains("Not finished yet, and that is fine"), "{text}");
        let gaps = gaps(&fs::read_to_string(exercise(number).path()).expect("an exercise"));
        assert!(gaps.iter().any(|gap| text.contains(&format!(":{}: {}", gap.line, gap.hint))), "{text}");
        assert!(text.contains(&format!("exercise-{number}.md")), "{text}");
    }
}

#[test]
fn a_counterexample_is_drawn_before_and_after() {
    let (wrong, text) = graded(4, "w4_nothing_is_split");
    println!("{text}");
    assert!(wrong && text.contains("before the last call:") && text.contains("\nafter "), "{text}");
    // Both pictures have their headers and end at the break, and the line can be typed.
    assert_eq!(
        text.lines().filter(|line| line.trim_start().starts_with('#') && line.ends_with('|')).count(),
        2,
        "{text}"
    );
    assert!(text.contains("cargo run -p learn -- sim --exercise 4 '"), "{text}");
}

/// The answers are the stages' own lines.
#[test]
fn the_right_answers_stand_in_the_sources() {
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    for right in RIGHT.iter().filter(|right| !right.source.is_empty()) {
        let source = fs::read_to_string(repository(right.source)).expect("a source file");
        let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code: String = code.iter().map(|line| plain(line.split(" // ").next().unwrap_or(line))).collect();
        for (name, filling) in right.gaps {
            assert!(
                code.contains(plain(filling).trim_end_matches(')')),
                "exercise {}, gap {name}: {filling} is not in {}",
                right.number,
                right.source
            );
        }
        assert!(gaps(&solved(right.number, None)).is_empty(), "exercise {} has other gaps", right.number);
    }
}
