//! Copies of the exercises with their gaps filled, and the one program that all tests here use.

use crate::answers::{Filling, OTHERS, RIGHT, WRITES, WRONG};
use learn::exercise::{EXERCISES, Exercise};
use learn::grade::{Grader, mutant_sources};
use learn::workshop::{Source, Workshop};
use std::fs;
use std::path::PathBuf;
use support::places::scratch;

/// Exercise `number`.
pub(crate) fn exercise(number: u8) -> &'static Exercise {
    EXERCISES.iter().find(|exercise| exercise.number == number).expect("there are eight")
}

/// Puts `code` where the gap `name` is.
pub(crate) fn fill(text: &str, (name, code): Filling) -> String {
    let start = text.find(&format!("gap!(\"{name}:")).unwrap_or_else(|| {
        panic!("there is no gap {name}: tests want the exercises as they are in the repository (git stash)")
    });
    let end = start + text[start..].find("\")").expect("a gap ends") + 2;
    format!("{}{code}{}", &text[..start], &text[end..])
}

/// The text of an exercise with all gaps filled; where `instead` names one, with that.
pub(crate) fn solved(number: u8, instead: Option<Filling>) -> String {
    if number == 7 {
        let text = fs::read_to_string(exercise(7).path()).expect("the exercise can be read");
        return instead.map_or_else(|| include_str!("solved_tests.rs").to_owned(), |filling| fill(&text, filling));
    }
    let right = RIGHT.iter().find(|right| right.number == number).expect("an answer to each exercise");
    let mut text = fs::read_to_string(exercise(number).path()).expect("the exercise can be read");
    for &filling in right.gaps {
        let filling = instead.filter(|(name, _)| *name == filling.0).unwrap_or(filling);
        text = fill(&text, filling);
    }
    text
}

/// A file that the program is built from, written only if it is not there yet: tests in other processes build the same.
fn source(name: String, kind: &'static str, text: &str) -> Source {
    let folder = scratch("learn-sources");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{name}.rs"));
    if fs::read_to_string(&file).ok().as_deref() != Some(text) {
        let fresh = folder.join(format!("{name}.{}", std::process::id()));
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &file)).expect("a file can be written");
    }
    Source { name, kind, file }
}

/// The solved exercise, by the name `r1` and so on.
pub(crate) fn source_of(number: u8) -> Source {
    source(format!("r{number}"), exercise(number).kind, &solved(number, None))
}

/// A slab that is right on this machine, and on others never frees.
pub(crate) fn odd_slab() -> Source {
    let gap = ("flip", r#"if cfg!(target_arch = "x86_64") { self.live[number / 64] ^= 1 << (number % 64) }"#);
    source("odd6".into(), "slab", &solved(6, Some(gap)))
}

/// The unsolved exercises by the names `e1` and so on, the solved ones by `r1`, one that writes by `p1`, wrong ones by their own
/// names.
pub(crate) fn workshop() -> Workshop {
    let mut sources: Vec<Source> = EXERCISES.iter().flat_map(|exercise| exercise.sources(None)).collect();
    for right in RIGHT {
        sources.push(source_of(right.number));
    }
    for wrong in WRONG {
        let text = solved(wrong.number, Some(wrong.gap));
        sources.push(source(format!("w{}_{}", wrong.number, wrong.name), exercise(wrong.number).kind, &text));
    }
    sources.push(source("p1".into(), "heap", &solved(1, Some(WRITES))));
    sources.push(odd_slab());
    sources.push(source_of(7));
    for &(number, name, gap, _) in OTHERS {
        let text = solved(number, Some(gap));
        sources.push(source(format!("w{number}_{name}"), exercise(number).kind, &text));
    }
    sources.extend(mutant_sources(&scratch("learn-sources")).expect("the copies of stage 5"));
    Workshop::new(target(), sources)
}

/// Where it is built.
pub(crate) fn target() -> PathBuf {
    scratch("learn")
}

/// What an exercise prints for a heap of the tests' program, and whether it found something wrong.
pub(crate) fn graded(number: u8, heap: &str) -> (bool, String) {
    let (workshop, mut output) = (workshop(), Vec::new());
    let grader = Grader { workshop: &workshop, exercise: exercise(number), heap: heap.into(), whole: false };
    let wrong = grader.grade(&mut output).expect("a vector can be written");
    (wrong, String::from_utf8(output).expect("text"))
}
