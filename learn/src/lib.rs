//! Learning how a heap works: exercises with grades, and a heap that one can watch.
//!
//! | file | what it does |
//! |---|---|
//! | `exercise.rs` | the eight exercises, and their gaps |
//! | `script.rs`, `parse.rs` | a script of calls, as one writes it |
//! | `workshop.rs`, `played.rs` | builds the program in which heaps run, plays scripts there, and what was seen |
//! | `model.rs`, `judge.rs` | the oracle: what is right to answer |
//! | `search.rs`, `shrink.rs` | looks for a script that goes wrong, and shortens it |
//! | `draw.rs`, `sim.rs` | the heap drawn; a script of one's own |
//! | `timeline.rs` | the same script as a page to move through |
//! | `grade/` | the grade of an exercise |
//!
//! Heaps run in `candidate/`, a program without a libc, and on what is in `heap/`. Nothing here is imported by the production
//! heap.

pub mod counterexample;
pub mod draw;
pub mod exercise;
pub mod grade;
pub mod judge;
pub mod level;
mod model;
mod parse;
pub mod played;
pub mod script;
pub mod search;
mod shrink;
pub mod sim;
pub mod timeline;
pub mod workshop;

use exercise::EXERCISES;
use std::io::{self, Write};
use workshop::Workshop;

const HELP: &str = "\
Learning how a heap works. The pages are in learn/book/src, the files to fill in
learn/exercises.

  cargo run -p learn -- list               the exercises, and how far they are
  cargo run -p learn -- grade 3            the grade of exercise 3
  cargo run -p learn -- grade 3 --quick    its correctness alone, in seconds
  cargo run -p learn -- sim --stage 4 'a=malloc(24) b=malloc(100) free(a)'
                                           a script of your own, drawn call by call;
                                           with --timeline OUT.html as a page, too
";

/// Does what the words say, and returns the status.
pub fn run(words: &[&str], output: &mut dyn Write) -> u8 {
    let done = match words {
        [] | ["help" | "--help" | "-h"] => output.write_all(HELP.as_bytes()).map(|()| 0),
        ["list"] => list(output),
        ["sim", rest @ ..] => sim::sim(&users(rest), rest, output),
        ["grade", which, rest @ ..] if rest.is_empty() || *rest == ["--quick"] => grade(which, rest.is_empty(), output),
        _ => write!(output, "learn: that is no command: {}\n{HELP}", words.join(" ")).map(|()| 1),
    };
    done.unwrap_or(1)
}

/// Where a user's programs are built: with the exercises that are asked for and no others, so that one that does not compile
/// stops no other.
fn users(words: &[&str]) -> Workshop {
    let is_asked = |number: u8| words.windows(2).any(|pair| pair[0] == "--exercise" && pair[1] == number.to_string());
    let asked = EXERCISES.iter().filter(|exercise| is_asked(exercise.number));
    let sources = asked.flat_map(|exercise| exercise.sources(None)).collect();
    Workshop::new(workshop::own_target().join("learn"), sources)
}

fn list(output: &mut dyn Write) -> io::Result<u8> {
    for exercise in &EXERCISES {
        let gaps = exercise.gaps()?;
        let left = match gaps.len() {
            0 => "no gap is left".to_owned(),
            1 => "1 gap".to_owned(),
            count => format!("{count} gaps"),
        };
        writeln!(output, "{}  {:<44} learn/exercises/{:<20} {left}", exercise.number, exercise.title, exercise.file)?;
    }
    Ok(0)
}

fn grade(which: &str, whole: bool, output: &mut dyn Write) -> io::Result<u8> {
    let Some(exercise) = EXERCISES.iter().find(|exercise| exercise.number.to_string() == which) else {
        writeln!(output, "learn: there is no exercise {which}: 1 to 8 are")?;
        return Ok(1);
    };
    let target = workshop::own_target().join("learn");
    let mut sources = exercise.sources(None);
    if exercise.kind == "tests" {
        match grade::mutant_sources(&target.join("mutants")) {
            Ok(mutants) => sources.extend(mutants),
            Err(what) => return writeln!(output, "learn: {what}").map(|()| 1),
        }
    }
    let workshop = Workshop::new(target, sources);
    let grader = grade::Grader { workshop: &workshop, exercise, heap: format!("e{which}"), whole };
    grader.grade(output).map(u8::from)
}
