//! The protocol between threads, in all interleavings of small programs: the package `models`, which runs the shipped files
//! under a model checker. It is no part of the workspace, so that the checker is no part of the library's dependencies.

use support::installed::{command, describe, run};
use support::places::{repository, scratch};

/// All models hold, each control is found out, and each ordering that is weakened makes a model fail.
///
/// Threads are interrupted twice, which is enough to find what the controls and the weakened orderings break; by itself the
/// package interrupts them three times.
#[test]
fn all_interleavings_within_two_preemptions() {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--release", "--quiet", "--target-dir"]).arg(scratch("models"));
    if std::env::var_os("HMALLOC_MODELS_PREEMPTIONS").is_none() {
        cargo.env("HMALLOC_MODELS_PREEMPTIONS", "2");
    }
    let output = run(cargo.current_dir(repository("models")));
    assert!(output.status.success(), "{}", describe(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = said.lines().find_map(|line| line.strip_prefix("test result: ok. ")?.split_once(" passed"));
    let count = passed.and_then(|(count, _)| count.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count > 20), "{}", describe(&output));
}
