//! Tools that watch a heap see a Rust program's, by the cargo features `valgrind` and `heaptrack`: the program makes a mistake, or
//! none, which is the control.

use crate::build::{self, For, cargo};
use std::path::PathBuf;
use std::process::Command;
use support::installed::{describe, run};
use support::packages;

/// The program, built with what tells the tools.
fn program() -> PathBuf {
    let mut build = cargo("build", For::Glibc);
    let output = run(build.args(["--features", "watched", "--bin", "watched"]));
    assert!(output.status.success(), "{}", describe(&output));
    build::built(For::Glibc).join("watched")
}

/// What valgrind says of the program.
fn valgrind(mistake: &str) -> String {
    let mut valgrind = Command::new(packages::program(&["valgrind"], "valgrind"));
    let output = run(valgrind.arg("--leak-check=full").arg(program()).arg(mistake));
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn valgrind_sees_leaks_and_reads_after_a_free() {
    let leaks = valgrind("leak");
    // The last pointers may still stand in registers or on the stack.
    let lost = leaks.lines().find(|line| line.contains("definitely lost: "));
    let words = lost.unwrap_or_else(|| panic!("{leaks}")).split_whitespace();
    let numbers: Vec<usize> = words.filter_map(|word| word.replace(',', "").parse().ok()).collect();
    assert!(matches!(numbers[..], [bytes, blocks @ 5..=10] if bytes == 1234 * blocks), "{leaks}");
    assert!(leaks.contains("watched::leak_here"), "{leaks}");
    let after = valgrind("after");
    assert!(
        after.contains("Invalid read of size 1") && after.contains("50 bytes inside a block of size 100 free'd"),
        "{after}"
    );
    let none = valgrind("none");
    assert!(none.contains("ERROR SUMMARY: 0 errors") && !none.contains("definitely lost: 1"), "{none}");
}

#[test]
fn heaptrack_sees_the_blocks() {
    let heaptrack = packages::program(&["heaptrack"], "heaptrack");
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    let output = run(Command::new(heaptrack).arg("-o").arg(&record).arg(program()).arg("leak"));
    assert!(output.status.success(), "{}", describe(&output));
    let record = std::fs::read_dir(&folder).expect("the folder").next().expect("a record").expect("an entry").path();
    let print = packages::program(&["heaptrack_print"], "heaptrack");
    let said = run(Command::new(print).arg(record).args(["--print-leaks", "1"]));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let leaks = said.split_once("MEMORY LEAKS").map_or("", |(_, leaks)| leaks);
    assert!(leaks.contains("leak_here"), "{said}");
}
