//! Threads, fork, programs executed and signals, all at once.
//!
//! `HMALLOC_TEST_FORKS` and `HMALLOC_TEST_SECONDS` make these longer.

use support::installed::{Installed, command, succeed};

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
fn a_child_of_a_busy_program_allocates() {
    let installed = Installed::new();
    let program = installed.compile("fork.c");
    let forks = setting("HMALLOC_TEST_FORKS", "1000");
    assert_eq!(succeed(installed.preloaded(&program).arg(&forks)), format!("{forks} forks\n"));
}

/// The same program on the archive: the handlers find their way to libc from there, too.
#[test]
fn a_child_of_a_busy_program_with_the_archive_allocates() {
    let installed = Installed::new();
    let renamed = ["-include", "hmalloc.h", "-Dmalloc=hmalloc", "-Dfree=hfree", "-Drealloc=hrealloc"];
    for flags in [&[][..], &["-static"]] {
        let program = installed.compile_with_archive("cc", "fork.c", &[&renamed, flags].concat());
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
