//! The journal's five milestones and the production heap, held to one table of promises.
//!
//! Every promise has one experiment, which looks for evidence that it is broken. The table says where evidence has to
//! turn up and where none may. A stage that keeps a promise it is listed to break fails as much as the other way round:
//! the faults are the journal's lesson.

use super::control::Careless;
use super::experiments::{EXPERIMENTS, Experiment};
use super::subject::{OfStage, Subject};
use hmalloc::Heap;
use hmalloc::brk::Emulated;
use hmalloc::stages::s1_minimal::Minimal;
use hmalloc::stages::s2_aligned::Aligned;
use hmalloc::stages::s3_linked::Linked;
use hmalloc::stages::s4_splitting::Splitting;
use hmalloc::stages::s5_coalescing::Coalescing;
use support::arena::Arena;

/// The table, word for word as in the documentation of `hmalloc::stages`.
const TABLE: &str = "\
| promise                                     | s1     | s2     | s3     | s4     | s5     | heap   |
|---------------------------------------------|--------|--------|--------|--------|--------|--------|
| payloads are aligned                        | broken | kept   | kept   | kept   | kept   | kept   |
| blocks are disjoint                         | kept   | kept   | kept   | kept   | kept   | kept   |
| freed space is used again                   | kept   | kept   | kept   | kept   | kept   | kept   |
| the break is lowered                        | broken | broken | kept   | kept   | kept   | kept   |
| no free block is left on top                | broken | broken | broken | kept   | kept   | kept   |
| an invalid free is ignored or reported      | broken | broken | kept   | kept   | kept   | kept   |
| a double free is ignored or reported        | kept   | kept   | kept   | kept   | kept   | kept   |
| the rest of a large block is split off      | broken | broken | broken | kept   | kept   | kept   |
| free neighbours are joined                  | broken | broken | broken | broken | kept   | kept   |
| a refused brk changes nothing               | kept   | kept   | kept   | kept   | kept   | kept   |
| a size that overflows is answered with null | kept   | kept   | kept   | kept   | kept   | kept   |
";

/// Bytes of the arena under each experiment.
const ARENA: usize = 48 << 20;

/// Hands a fresh heap over `brk` to `look`.
pub(crate) fn with<'a, R>(heap: &str, brk: Emulated<'a>, look: impl FnOnce(&mut dyn Subject<'a>) -> R) -> R {
    match heap {
        "s1" => look(&mut OfStage(Minimal::new(brk))),
        "s2" => look(&mut OfStage(Aligned::new(brk))),
        "s3" => look(&mut OfStage(Linked::new(brk))),
        "s4" => look(&mut OfStage(Splitting::new(brk))),
        "s5" => look(&mut OfStage(Coalescing::new(brk))),
        "heap" => look(&mut Heap::new(brk)),
        "the control" => look(&mut Careless::new(brk)),
        other => panic!("no heap is called {other}"),
    }
}

/// Runs an experiment on a fresh heap over a fresh arena. `Err` is the evidence that the promise is broken.
fn observe(heap: &str, experiment: Experiment) -> Result<(), String> {
    let mut arena = Arena::new(ARENA);
    with(heap, arena.brk(), |subject| experiment(subject))
}

/// The cells of a row, without the spaces around them.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// The experiment for a promise, by the promise's words.
fn experiment(promise: &str) -> Experiment {
    let named = |(name, _): &&(&str, Experiment)| *name == promise;
    EXPERIMENTS.iter().find(named).unwrap_or_else(|| panic!("no experiment for: {promise}")).1
}

#[test]
fn every_heap_does_what_the_table_says() {
    let mut rows = TABLE.lines();
    let heaps = cells(rows.next().expect("a table has a first row"));
    let mut surprises = Vec::new();
    for row in rows.skip(1).map(cells) {
        let promise = row[0];
        assert_eq!(row.len(), heaps.len(), "{promise}");
        for (heap, listed) in heaps.iter().zip(&row).skip(1) {
            let seen = observe(heap, experiment(promise));
            println!("{promise}: {heap}: {}", seen.as_ref().err().map_or("kept", String::as_str));
            match (*listed, seen) {
                ("kept", Ok(())) | ("broken", Err(_)) => {}
                ("kept", Err(evidence)) => surprises.push(format!("{heap} breaks \"{promise}\": {evidence}")),
                ("broken", Ok(())) => surprises.push(format!("{heap} keeps \"{promise}\", which is listed as broken")),
                (other, _) => panic!("{promise}, {heap}: {other} is neither kept nor broken"),
            }
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn every_promise_of_the_table_has_an_experiment_and_every_experiment_a_row() {
    let promises: Vec<_> = TABLE.lines().skip(2).map(|row| cells(row)[0]).collect();
    let experiments: Vec<_> = EXPERIMENTS.iter().map(|(promise, _)| *promise).collect();
    assert_eq!(promises, experiments);
}

#[test]
fn every_experiment_sees_a_promise_broken() {
    for (promise, experiment) in EXPERIMENTS {
        let seen = observe("the control", experiment);
        assert!(seen.is_err(), "a heap that keeps no promise at all kept: {promise}");
    }
}

#[test]
fn the_documentation_shows_the_same_table() {
    let documentation = include_str!("../../src/stages/mod.rs");
    let shown: Vec<_> = documentation.lines().filter_map(|line| line.strip_prefix("//! ")).collect();
    let table: Vec<_> = TABLE.lines().collect();
    assert!(shown.windows(table.len()).any(|lines| lines == table), "src/stages/mod.rs has to contain:\n{TABLE}");
}
