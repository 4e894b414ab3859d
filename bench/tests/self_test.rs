//! The program checks what it stands on, and each of its children works as it does in a comparison.

use std::path::Path;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hmalloc-bench")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names that `--list` prints below `head`.
fn names(head: &str) -> Vec<String> {
    let list = text(&bench(&["--list"]).stdout);
    let (_, rest) = list.split_once(head).expect("the list has this part");
    let part = rest.lines().skip(1).take_while(|line| line.starts_with("  "));
    part.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_allocator_gives_memory_that_can_be_used_and_counts_are_right() {
    let output = bench(&["--self-test"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    let allocators = names("Allocators:");
    assert!(allocators.len() >= 15, "{allocators:?}");
    for part in allocators.iter().map(String::as_str).chain(["system calls", "instructions"]) {
        assert!(said.lines().any(|line| line == format!("ok {part}")), "{part} is missing:\n{said}");
    }
}

/// A program that every Linux has runs on both mallocs, with the same output, and its tables come again.
#[test]
fn a_program_runs_on_a_preloaded_allocator() {
    let folder = tempfile("programs");
    let out = folder.to_str().expect("a path that is text");
    let arguments = ["--programs", "--quick", "--rounds", "1", "--program", "sort", "--allocator", "hmalloc,system"];
    let output = bench(&[&arguments[..], &["--out", out]].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for part in ["wall time", "processor time", "peak resident", " sort ", "geometric mean of 1", "hmalloc to system"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    let again = text(&bench(&["--from", out]).stdout);
    assert!(said.starts_with(&again) && !again.is_empty(), "{again}\n{said}");
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

/// The heap under test names every wrong pointer, and what others do is not taken for that.
#[test]
fn mistakes_are_told_apart() {
    let output = bench(&["--misuse", "--allocator", "hmalloc,system,linked_list"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let row = |name: &str| said.lines().find(|line| line.starts_with(&format!(" {name} "))).expect("a row");
    assert!(row("hmalloc").contains("13 of 13"), "{said}");
    assert!(row("system").contains("stopped") && row("system").contains(" 0 of 13"), "{said}");
    assert!(row("linked_list").contains("DAMAGE"), "{said}");
}

/// A small run: all tables come, and the same ones come again from what it wrote down.
#[test]
fn tables_can_be_made_again_from_the_raw_data() {
    let folder = tempfile("tables");
    let out = folder.to_str().expect("a path that is text");
    let arguments =
        ["--quick", "--rounds", "1", "--workload", "pair,queue,trace-git", "--allocator", "hmalloc,system,empty"];
    let first = bench(&[&arguments[..], &["--syscalls", "--out", out]].concat());
    assert!(first.status.success(), "{}", text(&first.stderr));
    let tables = text(&first.stdout);
    for part in
        ["warm", "cold", "peak resident", "best peer", "one pair", "system calls", "trace-git", "left out by --quick"]
    {
        assert!(tables.contains(part), "{part} is missing:\n{tables}");
    }
    for file in ["processes.jsonl", "cells.csv", "time.svg", "footprint.svg"] {
        assert!(folder.join(file).metadata().expect("a file").len() > 300, "{file}");
    }
    let again = bench(&["--from", out]);
    assert_eq!(text(&again.stdout), tables);
    std::fs::remove_dir_all(&folder).expect("the folder was this test's own");
}

/// A small run with several threads, on every allocator that can: the same tables come again from what it wrote down.
#[test]
fn several_threads_have_tables_a_chart_and_raw_data() {
    let folder = tempfile("threads");
    let out = folder.to_str().expect("a path that is text");
    let arguments = ["--threads", "2", "--quick", "--rounds", "1", "--column", "churn2,remote64,short2"];
    let first = bench(&[&arguments[..], &["--markdown", "--out", out]].concat());
    assert!(first.status.success(), "{}", text(&first.stderr));
    let tables = text(&first.stdout);
    for part in
        ["with 2 threads", "wall ns per call", "resident at the most", "resident at the end", "best peer", "Neighbours"]
    {
        assert!(tables.contains(part), "{part} is missing:\n{tables}");
    }
    for name in ["hmalloc", "mimalloc", "jemalloc", "snmalloc", "rpmalloc", "system", "rusty_alloc", "talc-lock"] {
        let rows = tables.matches(&format!("\n| {name} ")).count();
        assert_eq!(rows, if name == "hmalloc" { 5 } else { 3 }, "{name}:\n{tables}");
    }
    assert!(!tables.contains(" - ") && !tables.contains("NaN"), "a process failed:\n{tables}");
    for file in ["threads.jsonl", "threads.csv", "threads.svg"] {
        assert!(folder.join(file).metadata().expect("a file").len() > 300, "{file}");
    }
    assert_eq!(text(&bench(&["--from", out, "--markdown"]).stdout), tables);
    std::fs::remove_dir_all(&folder).expect("the folder was this test's own");
}

/// Every part of `--memory`, small: each process answers.
#[test]
fn every_part_of_the_memory_figures_has_its_tables() {
    let arguments = ["--memory", "--quick", "--rest", "0.1", "--markdown"];
    let output = bench(&[&arguments[..], &["--allocator", "hmalloc,jemalloc,system,dlmalloc"]].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for (part, tables) in
        [("Resident after each burst", 5), ("Pinned growth", 1), ("At a limit", 3), ("The slowest single", 2)]
    {
        assert_eq!(said.matches(&format!("**{part}")).count(), tables, "{part}:\n{said}");
    }
    for name in ["hmalloc", "jemalloc", "system", "dlmalloc"] {
        assert_eq!(said.matches(&format!("\n| {name} ")).count(), 5 + 4 + 3, "{name}:\n{said}");
    }
    assert!(said.contains("no trim") && !said.contains("| - "), "{said}");
}

#[test]
fn what_is_not_known_is_refused() {
    for arguments in [
        &["--memory", "--part", "none"][..],
        &["--memory", "--allocator", "empty"],
        &["--workload", "none"],
        &["--threads", "3"],
        &["--threads", "--column", "none"],
        &["--threads", "--allocator", "hmalloc-alone"],
        &["--rounds", "0"],
        &["--quick", "--all"],
        &["--from", "/nowhere"],
    ] {
        let output = bench(arguments);
        assert!(!output.status.success() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

fn tempfile(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}", std::process::id()))
}
