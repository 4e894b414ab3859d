//! Tasks that share memory are killed inside the heap, and the others go on.
//!
//! `HMALLOC_TEST_KILLS` is how many.

use std::process::Command;
use support::programs::{program, run, stderr, stdout};

#[test]
fn tasks_are_killed_while_they_use_the_heap() {
    let kills = std::env::var("HMALLOC_TEST_KILLS").unwrap_or_else(|_| "200".to_owned());
    let output = run(Command::new(program("probe", false)).args(["killed", &kills]), b"");
    let said = stdout(&output);
    assert!(output.status.success(), "{}\n{said}{}", output.status, stderr(&output));
    assert!(said.starts_with(&format!("{kills} tasks killed, ")) && said.ends_with("survived\n"), "{said}");
}
