//! A kernel, an emulator or a neighbour that refuses, under both libraries.

use std::path::Path;
use std::process::Command;
use support::installed::{Installed, cases, command, describe, run, succeed};
use support::packages;

const GIB: &str = "a_heap_of_one_gib";

/// Runs every hostile case of a program, made runnable by `prepare`.
fn endure(program: &Path, prepare: impl Fn(&Path) -> Command) {
    let broken: Vec<_> = cases(program)
        .iter()
        .map(|name| (name, run(prepare(program).arg(name))))
        .filter(|(_, output)| !output.status.success())
        .map(|(name, output)| format!("{name}: {}", describe(&output)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_preloaded_library_endures() {
    let installed = Installed::new();
    endure(&installed.compile("hostile.c"), |program| installed.preloaded(program));
}

#[test]
fn the_archive_endures() {
    let installed = Installed::new();
    for flags in [&[][..], &["-static"]] {
        let flags = [flags, &["-DFAMILY"]].concat();
        endure(&installed.compile_with_archive("cc", "hostile.c", &flags), |program| command(program));
    }
}

/// The peak of the heap, from the line that is written at exit.
fn peak(line: &str) -> Option<u64> {
    line.split_once("at most ")?.1.split_once(';')?.0.parse().ok()
}

/// Under an emulator, a heap of a GiB does not fit below the first thing in the program break's way.
fn a_gib_under(emulator: &str, package: &str, arguments: &[&str]) {
    let installed = Installed::new();
    packages::program(&[emulator], package);
    let program = installed.compile("hostile.c");
    let mut emulated = installed.preloaded(emulator);
    emulated.env("HMALLOC_STATS", "1").args(arguments).arg(&program).arg(GIB);
    let output = run(&mut emulated);
    // The emulator may be on the library, too; it has no such heap.
    let stderr = String::from_utf8_lossy(&output.stderr);
    let large = stderr.lines().find(|line| peak(line) >= Some(1 << 30)).unwrap_or_default();
    assert!(output.status.success() && large.contains("; own break; "), "{}", describe(&output));
    let program = installed.compile_with_archive("cc", "hostile.c", &["-DFAMILY", "-static"]);
    succeed(command(emulator).args(arguments).arg(program).arg(GIB));
}

#[test]
fn a_gib_under_valgrind() {
    a_gib_under("valgrind", "valgrind", &["-q", "--tool=none"]);
}

#[test]
fn a_gib_under_qemu() {
    a_gib_under(&format!("qemu-{}", std::env::consts::ARCH), "qemu-user", &[]);
}
