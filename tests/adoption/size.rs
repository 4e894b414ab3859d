//! How much longer a small static program is with the smallest heap that has all checks.

use crate::build::{cargo, directory};
use std::fs;
use std::io::Write;
use std::process::Stdio;
use support::installed::{command, succeed};
use support::places::repository;

/// What the heap may add.
const MOST: u64 = 16 << 10;

/// Builds the benchmark's tiny program for size, without tables for unwinding, and returns how long it is and what it says.
fn tiny(allocator: &str) -> (u64, String) {
    let mut build = cargo(&repository("bench/tiny"), "tiny");
    build.args(["build", "--release", "--quiet", "--locked", "--config", "profile.release.opt-level=\"s\""]);
    succeed(build.args(["--features", &format!("{allocator},lean")]));
    let program = directory("tiny").join("release/tiny");
    let bytes = fs::metadata(&program).expect("what was built").len();
    let mut child = command(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    // Twice it waits for a byte.
    child.stdin.take().expect("a pipe").write_all(b"..").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{allocator}: {:?}", output.status);
    (bytes, String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_smallest_heap_adds_no_more_than_is_said() {
    let (without, expected) = tiny("bump");
    let (with, said) = tiny("hmalloc-smallest");
    assert_eq!(said, expected);
    assert!((without..=without + MOST).contains(&with), "{with} bytes instead of {without}: more than {MOST}");
}
