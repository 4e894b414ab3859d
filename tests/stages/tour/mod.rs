//! The tour: every stage shows in its drawings what the journal says of it.

mod read;

use crate::subject::MAX_ALIGN;
use object::{Object, ObjectSection};
use read::{Step, distance, read};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use support::places::repository;
use support::programs::{program, stderr, stdout};

/// Built once for this process.
static TOUR: LazyLock<PathBuf> = LazyLock::new(|| program("tour", false));

fn run(arguments: &[&str], out: Stdio) -> Output {
    Command::new(&*TOUR).args(arguments).stdin(Stdio::null()).stdout(out).output().expect("the tour starts")
}

/// One tour, as printed and as understood.
fn tour(which: &str) -> BTreeMap<usize, Step> {
    let output = run(&[which, "--play"], Stdio::piped());
    assert!(output.status.success() && output.stderr.is_empty(), "{which}: {output:?}");
    let text = stdout(&output);
    println!("{text}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(longest <= 110, "a line of {longest} characters");
    read(&text)
}

/// The tours of the stages, in order.
fn stages() -> Vec<BTreeMap<usize, Step>> {
    let tours: Vec<_> = ["1", "2", "3", "4", "5"].map(tour).into();
    for (stage, steps) in (1..).zip(&tours) {
        assert_eq!(steps.len(), 14, "stage {stage}");
        steps.values().for_each(|step| check(stage, step));
    }
    tours
}

/// What is true of every drawing of a stage: blocks lie end to end up to the break, and the picture is to scale.
fn check(stage: usize, step: &Step) {
    let mut end = step.rows.first().map_or(step.break_at, |row| row.at);
    for row in &step.rows {
        assert_eq!(row.at, end, "stage {stage}: {step:#?}");
        assert!(row.header > 0, "stage {stage}: {step:#?}");
        end += row.header + row.size;
    }
    assert_eq!(end, step.break_at, "stage {stage}: {step:#?}");
    // Whatever the scale, each letter is drawn as many times as its block has parts of that size, give or take one.
    let scale = step.rows.first().map_or(16, |row| row.header.min(16));
    for row in step.rows.iter().filter(|row| row.name != "free") {
        let signs = step.picture.matches(&row.name).count();
        assert!(signs.abs_diff(row.size / scale) <= 1, "stage {stage}, {row:?}: {step:#?}");
    }
    assert_eq!(step.picture.matches('|').count(), 1, "stage {stage}: {step:#?}");
}

fn rounded(size: usize) -> usize {
    size.next_multiple_of(MAX_ALIGN)
}

#[test]
fn every_tour_makes_the_same_calls() {
    let calls = |steps: &BTreeMap<usize, Step>| steps.values().map(|step| step.call.clone()).collect::<Vec<_>>();
    let tours = stages();
    let production = calls(&tour("heap"));
    for steps in &tours {
        assert_eq!(calls(steps), production[..14]);
    }
    assert_eq!(&production[14..], ["trim(0)"]);
    assert_eq!(production[..2], ["a = hmalloc(21)", "b = hmalloc(200)"]);
    let answers = tours.iter().flat_map(|steps| steps.values().filter(|step| step.call.contains('=')));
    for step in answers {
        let row = step.row(&step.call[..1]);
        assert_eq!(distance(&step.answer), Some(row.at + row.header), "{step:#?}");
    }
}

/// The simulator's script of the tour, which becomes a page with a timeline, is the tour; and the tour says so.
#[test]
fn the_simulator_has_the_same_calls() {
    let script =
        learn::script::Script::parse(&std::fs::read_to_string(repository("learn/tour.txt")).expect("a script"));
    let script = script.expect("a script");
    let plain = |call: &str| call.replace("hmalloc", "malloc").replace("hfree", "free").replace(' ', "");
    let calls: Vec<String> = tour("heap").values().map(|step| plain(&step.call).replace("trim(0)", "trim()")).collect();
    assert_eq!(calls, script.calls.iter().map(|&call| script.say(call)).collect::<Vec<_>>());
    for which in ["1", "heap"] {
        let said = stdout(&run(&[which, "--play"], Stdio::piped()));
        let command =
            format!("    cargo run -p learn -- sim --stage {which} --timeline tour.html --file learn/tour.txt\n");
        assert!(said.contains(&command), "{said}");
    }
}

#[test]
fn only_stage_1_shows_a_payload_that_is_not_aligned() {
    for (stage, steps) in (1..).zip(stages()) {
        let b = steps[&2].row("b");
        let multiple = (b.at + b.header).is_multiple_of(MAX_ALIGN);
        assert_eq!((multiple, steps[&2].notes("does not start at a multiple")), (stage > 1, stage == 1), "{stage}");
    }
}

#[test]
fn stages_1_to_3_show_a_block_that_is_not_split() {
    for (stage, steps) in (1..).zip(stages()) {
        let (before, after) = (steps[&2].row("b").size, steps[&6].row("e").size);
        if stage <= 3 {
            assert_eq!((after, steps[&6].notes("is not split")), (before, true), "stage {stage}");
        } else {
            let rest = steps[&6].row("free");
            assert_eq!((after, steps[&6].notes("is not split")), (rounded(24), false), "stage {stage}");
            assert_eq!(after + rest.header + rest.size, before, "stage {stage}");
        }
    }
}

#[test]
fn only_stage_5_shows_free_neighbours_as_one_block() {
    for (stage, steps) in (1..).zip(stages()) {
        let free = steps[&8].rows.iter().filter(|row| row.name == "free").count();
        assert_eq!(free == 1, stage == 5, "stage {stage}");
        assert_eq!(steps[&8].notes("are not joined"), stage < 5, "stage {stage}");
        // So a request that neither of them could meet does not raise the break.
        assert_eq!(steps[&9].break_at == steps[&8].break_at, stage == 5, "stage {stage}");
    }
}

#[test]
fn the_break_is_trimmed_as_far_as_the_stage_knows_how() {
    for (stage, steps) in (1..).zip(stages()) {
        let (before, after) = (&steps[&10], &steps[&11]);
        let end_of_a = steps[&1].break_at;
        match stage {
            1 | 2 => assert_eq!((after.break_at, after.notes("are left on top")), (before.break_at, true)),
            3 => {
                // The last block is gone, and what was free below it is on top now.
                assert_eq!(after.break_at, before.row("f").at);
                assert_eq!(after.rows, before.rows[..before.rows.len() - 1]);
                assert!(after.rows.last().is_some_and(|row| row.name == "free"), "{after:#?}");
                assert!(after.notes("was lowered") && after.notes("are left on top"), "{after:#?}");
                assert!(after.picture.ends_with(".|"), "{after:#?}");
            }
            _ => {
                assert_eq!((after.drawn(), after.break_at), (vec![(rounded(21), "a")], end_of_a), "stage {stage}");
                assert!(after.notes("was lowered") && !after.notes("are left on top"), "{after:#?}");
            }
        }
        // The last block in use is gone: stages 4 and 5 are empty again, stage 3 has no last block to lower the break
        // over, the first two never lower it.
        assert_eq!(steps[&13].rows.is_empty(), stage >= 4, "stage {stage}");
        assert_eq!(steps[&13].break_at == after.break_at, stage <= 3, "stage {stage}");
        assert!(steps[&14].notes("nothing changed"), "stage {stage}");
    }
}

#[test]
fn stages_1_and_2_show_the_byte_that_a_wrong_free_wrote() {
    for (stage, steps) in (1..).zip(stages()) {
        let believed = steps[&12].notes("which believed it");
        assert_eq!((believed, steps[&12].notes("nothing changed")), (stage <= 2, stage > 2), "stage {stage}");
        assert_eq!(steps[&12].rows, steps[&11].rows, "stage {stage}");
    }
}

#[test]
fn the_production_heap_reports_what_the_stages_ignored() {
    let steps = tour("heap");
    assert!(steps[&12].answer.contains("misaligned") && steps[&12].notes("nothing changed"), "{:#?}", steps[&12]);
    assert!(steps[&14].answer.contains("already free") && steps[&14].notes("nothing changed"), "{:#?}", steps[&14]);
    for step in steps.values() {
        // The break stood at a page of the kernel's, and the heap starts at the next one of its own.
        let mut end = step.rows[0].at;
        for row in &step.rows {
            assert_eq!((row.at, row.header), (end, 0), "{step:#?}");
            end += row.size;
        }
        assert_eq!(end, step.break_at, "{step:#?}");
    }
    assert_eq!(steps[&1].rows[0].name, "metadata", "headers lie apart");
    assert!(steps[&15].notes("was lowered") && steps[&15].break_at < steps[&14].break_at, "{:#?}", steps[&15]);
}

#[test]
fn a_wrong_argument_gets_the_usage_and_status_1() {
    for arguments in [
        &[][..],
        &["0"],
        &["6"],
        &["11"],
        &[""],
        &["heaps"],
        &["1", "2"],
        &["heap", "--help"],
        &["1", "--answers"],
        &["1", "--play", "2"],
    ] {
        let output = run(arguments, Stdio::piped());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty() && stderr(&output).contains("usage: tour"), "{arguments:?}: {output:?}");
    }
    assert!(
        stderr(&run(&["sixth\u{1b}[31m"], Stdio::piped())).starts_with("tour: there is no tour called sixth\u{fffd}")
    );
    let help = run(&["--help"], Stdio::piped());
    assert!(help.status.success() && stdout(&help).starts_with("usage: tour"), "{help:?}");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has /dev/full");
    let output = run(&["5", "--play"], full.into());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("tour: standard output: "), "{output:?}");
}

/// The answers to all questions of stage 5's tour, read off what it plays: the break's way, and where a payload lies.
fn foreseen() -> String {
    let (mut answers, mut before) = (String::new(), 0);
    for step in tour("5").values() {
        let way = match step.break_at.cmp(&before) {
            std::cmp::Ordering::Greater => "up",
            std::cmp::Ordering::Less => "down",
            std::cmp::Ordering::Equal => "stay",
        };
        before = step.break_at;
        answers += &format!("{way}\n");
        if let Some(at) = distance(&step.answer) {
            answers += &format!("{at}\n");
        }
    }
    answers
}

#[test]
fn it_asks_before_each_step_and_counts_what_was_foreseen() {
    let answers = foreseen();
    let count = answers.lines().count();
    assert_eq!(count, 14 + 6, "14 calls, 6 of which give a payload");
    let asked = |input: &str| stdout(&support::programs::run(Command::new(&*TOUR).arg("5"), input.as_bytes()));
    let text = asked(&answers);
    println!("{text}");
    assert!(text.ends_with(&format!("\nYou foresaw {count} of {count}.\n")), "{text}");
    assert_eq!((text.matches("    = right: ").count(), text.matches("    / no: ").count()), (count, 0));
    // Each question comes before what it asks for.
    let first = text.find("? at which + will the payload lie?").expect("a question");
    assert!(first < text.find("->  +").expect("an answer") && first < text.find("  the break\n").expect("a drawing"));
    // One wrong answer, one that is none, one that is passed over, and then no more.
    let text = asked("down\nsideways\n\nu\n");
    println!("{text}");
    assert!(text.contains("    / no: the break went up") && text.contains("that is no answer to this"), "{text}");
    assert!(
        text.contains("(no more answers: the rest is played)") && text.ends_with("\nYou foresaw 1 of 3.\n"),
        "{text}"
    );
    assert_eq!(text.matches("  the break\n").count(), 14, "the rest is drawn all the same");
}

#[test]
fn answers_come_from_a_file_too() {
    let file = support::places::scratch("tour-answers");
    std::fs::write(&file, foreseen()).expect("a file can be written");
    let file = file.to_str().expect("a path of text");
    let text = stdout(&run(&["5", "--answers", file], Stdio::piped()));
    assert!(text.ends_with("\nYou foresaw 20 of 20.\n"), "{text}");
    let output = run(&["5", "--answers", "/nowhere"], Stdio::piped());
    assert!(output.status.code() == Some(1) && stderr(&output).starts_with("tour: /nowhere: "), "{output:?}");
}

#[test]
fn it_is_static() {
    let bytes = std::fs::read(&*TOUR).expect("the program can be read");
    let file = object::File::parse(&*bytes).expect("the program is an ELF file");
    let names: Vec<_> = file.sections().filter_map(|section| section.name().ok().map(str::to_owned)).collect();
    assert!(names.iter().any(|name| name == ".text"), "{names:?}");
    assert!(!names.iter().any(|name| name == ".interp" || name == ".dynamic"), "{names:?}");
}
