//! No safe function of the crate, in any order, leads to undefined behaviour.

use crate::build::{For, cargo, finishes, package, program, with};
use std::path::Path;
use std::process::Output;
use support::installed::{describe, run};

fn safe(mode: &str) {
    finishes(&mut with(program("safe", For::Glibc), &[mode]));
}

#[test]
fn somebody_moves_an_emulated_break_to_the_extremes() {
    safe("foreign");
}

#[test]
fn the_size_of_emulated_pages_is_changed_late() {
    safe("pages");
}

#[test]
fn heaps_exchange_what_is_under_them() {
    safe("swapped");
}

#[test]
fn more_heaps_than_locks_come_move_go_and_fork() {
    safe("many");
}

#[test]
fn heaps_are_used_and_exchanged_inside_of_one_another() {
    safe("nested");
}

/// Compiles a program of `tests/programs/refused`.
fn compile(source: &Path) -> Output {
    run(cargo("check", For::Glibc).args(["--bin", "refused"]).env("HMALLOC_REFUSED", source))
}

/// Each file says in comments at its top what the compiler has to say, and nothing else is wrong with it.
#[test]
fn what_safe_code_must_not_do_does_not_compile() {
    let folder = package().join("refused");
    let control = compile(&folder.join("nothing_is_wrong.rs"));
    assert!(control.status.success(), "the control compiles: {}", describe(&control));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_stem().is_some_and(|name| name == "nothing_is_wrong") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a program");
        let reasons: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("// ")).collect();
        assert!(!reasons.is_empty(), "{} says why it is wrong", path.display());
        assert_refused(&path, &reasons);
        count += 1;
    }
    assert!(count >= 21, "{count} programs");
}

fn assert_refused(path: &Path, reasons: &[&str]) {
    let output = compile(path);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{} compiles", path.display());
    let errors = said.lines().filter(|line| line.starts_with("error") && !line.contains("could not compile"));
    let errors: Vec<_> = errors.collect();
    let missing: Vec<_> = reasons.iter().filter(|reason| !errors.iter().any(|line| says(line, reason))).collect();
    let other: Vec<_> = errors.iter().filter(|line| !reasons.iter().any(|reason| says(line, reason))).collect();
    assert!(missing.is_empty() && other.is_empty(), "{}: {missing:#?} not said, but {other:#?}", path.display());
}

/// Whether a line begins with a reason, in which `…` stands for a name's path: compilers write those differently.
fn says(line: &str, reason: &str) -> bool {
    let (before, after) = reason.split_once('…').unwrap_or((reason, ""));
    line.strip_prefix(before).is_some_and(|rest| rest.contains(after))
}
