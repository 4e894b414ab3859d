//! Programs on musl, whose malloc keeps its own idea of where the break is and lowers it to there.

use crate::build::{For, MUSL, finish_together, finishes, musl_gcc, plugin, program, times, with};
use std::path::PathBuf;
use support::installed::{Installed, command, succeed};
use support::places::repository;

const BOTH: [For; 2] = [For::MuslStatic, For::MuslDynamic];

#[test]
fn the_programs_are_what_they_are_said_to_be() {
    // Built for another libc, they would prove nothing.
    for (kind, interpreter) in [(For::MuslStatic, false), (For::MuslDynamic, true)] {
        let bytes = std::fs::read(program("source", kind)).expect("the program");
        let names = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
        assert_eq!(names(b"/lib/ld-musl-x86_64.so.1\0"), interpreter, "{kind:?}");
        assert!(!names(b"libc.so.6\0"), "{MUSL} is not glibc");
    }
}

#[test]
fn thousands_of_directories_are_open() {
    for kind in BOTH {
        finishes(&mut with(program("crowd", kind), &["directories", &times(1500)]));
    }
}

#[test]
fn hundreds_of_threads_are_parked() {
    for kind in BOTH {
        finishes(&mut with(program("crowd", kind), &["threads", &times(300)]));
    }
}

#[test]
fn children_of_busy_threads_allocate() {
    for kind in BOTH {
        finishes(&mut with(program("crowd", kind), &["forks", &times(60)]));
    }
}

#[test]
fn many_processes_at_once() {
    let crowd = program("crowd", For::MuslStatic);
    let modes = [["directories", "400"], ["threads", "100"], ["forks", "20"]];
    finish_together(modes.iter().cycle().take(12).map(|mode| with(&crowd, mode)).collect());
}

#[test]
fn its_malloc_works_in_another_thread() {
    let beside = program("beside", For::MuslStatic);
    ["malloc", "raw"].iter().for_each(|mode| drop(finishes(&mut with(&beside, &[mode, &times(30)]))));
}

/// musl keeps a library for good, with its handlers.
#[test]
fn a_library_with_its_own_heap_is_loaded() {
    let library = plugin(For::MuslDynamic).display().to_string();
    finishes(&mut with(program("loader", For::MuslDynamic), &[&library, &times(20)]));
}

fn compile(installed: &Installed, source: &str, flags: &[&str]) -> PathBuf {
    let program = installed.directory.path().join(format!("{source}{}", flags.concat()));
    let mut compile = command(musl_gcc());
    compile.args(["-std=gnu11", "-O1", "-fno-builtin", "-pthread", "-Wall", "-Wextra", "-Werror"]).args(flags);
    compile.arg("-I").arg(installed.prefix().join("include"));
    compile.arg("-I").arg(repository("tests/capi"));
    compile.arg(repository("tests/company").join(source)).arg(installed.archive());
    succeed(compile.arg("-o").arg(&program));
    program
}

/// The archive for C beside musl's own malloc, both in threads, and children that use both.
#[test]
fn the_archive_works_beside_its_malloc() {
    let installed = Installed::new();
    for flags in [&["-static"][..], &["-static", "-no-pie"], &["-DREGISTERS", "-static"], &[], &["-DREGISTERS"]] {
        let program = compile(&installed, "both.c", flags);
        let forks = times(100);
        assert_eq!(succeed(command(&program).arg(&forks)), format!("{forks} forks\n"), "{flags:?}");
    }
}
