//! Threads, fork, programs executed and signals, all at once.
//!
//! `HMALLOC_TEST_FORKS` and `HMALLOC_TEST_SECONDS` make these longer.

use support::installed::{Installed, command, succeed};
use support::places::repository;

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
fn a_child_of_a_busy_program_allocates() {
    let installed = Installed::new();
    let program = installed.compile("fork.c");
    let forks = setting("HMALLOC_TEST_FORKS", "10000");
    assert_eq!(succeed(installed.preloaded(&program).arg(&forks)), format!("{forks} forks\n"));
}

/// The same program on the archive: the handlers find their way to libc from there, too.
#[test]
fn a_child_of_a_busy_program_with_the_archive_allocates() {
    let installed = Installed::new();
    let program = installed.directory.path().join("fork");
    let source = repository("tests/capi/fork.c");
    for flags in [&[][..], &["-static"]] {
        let mut compile = command("cc");
        compile.args(["-std=gnu11", "-O1", "-fno-builtin", "-pthread", "-include", "hmalloc.h"]).args(flags);
        compile.args(["-Dmalloc=hmalloc", "-Dfree=hfree", "-Drealloc=hrealloc", "-I"]);
        compile.arg(installed.prefix().join("include")).arg(&source).arg(installed.archive());
        succeed(compile.arg("-o").arg(&program));
        assert_eq!(succeed(command(&program).arg("500")), "500 forks\n");
    }
}

#[test]
fn mixed_load_leaves_nothing_behind() {
    let installed = Installed::new();
    let program = installed.compile("soak.c");
    let said = succeed(installed.preloaded(&program).arg(setting("HMALLOC_TEST_SECONDS", "5")));
    println!("{said}");
    assert!(said.contains(" calls, "), "{said}");
}
