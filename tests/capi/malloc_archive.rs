//! The archive that defines malloc, in static programs of two libcs and in dynamic ones: the link line is the archive and nothing
//! else. The programs are those that the preloaded library runs, too.

use crate::misuse::{judge, report};
use std::ffi::OsStr;
use std::path::PathBuf;
use support::installed::{Installed, cases, command, describe, run, succeed};
use support::packages;

/// The ways to link it: compiler and flags.
fn ways() -> [Vec<String>; 3] {
    let musl = packages::program(&["musl-gcc"], "musl-tools").display().to_string();
    [vec![musl, "-static".into()], vec!["cc".into(), "-static".into()], vec!["cc".into()]]
}

fn build(installed: &Installed, way: &[String], source: &str) -> PathBuf {
    let line: Vec<&str> = way.iter().map(String::as_str).chain(["-std=gnu11"]).collect();
    installed.build(&source.replace('.', "-"), &line, source, &[installed.malloc_archive().as_os_str()])
}

#[test]
fn every_promise_is_kept_in_static_programs_too() {
    let installed = Installed::new();
    let mut broken = Vec::new();
    for way in ways() {
        let program = build(&installed, &way, "promises.c");
        for name in cases(&program) {
            let output = run(command(&program).arg(&name).env("EXPECT_HMALLOC", "1"));
            if output.status.success() == (name == "control") {
                broken.push(format!("{way:?} {name}: {}", describe(&output)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Under the policy that the environment names: a program with this archive is configured as one that is preloaded.
#[test]
fn misuse_is_named_in_static_programs_too() {
    let installed = Installed::new();
    let (mut wrong, mut made) = (Vec::new(), 0);
    for way in ways() {
        let program = build(&installed, &way, "misuse.c");
        for name in cases(&program) {
            for (policy, number) in [("report", 2), ("abort", 3)] {
                wrong.extend(judge(command(&program).arg(&name).env("HMALLOC_POLICY", policy), number));
                made += 1;
            }
        }
        wrong.extend(judge(command(&program).arg("free_stack").env("HMALLOC_POLICY", "ignore"), 1));
    }
    report(&wrong, made);
}

#[test]
fn children_of_busy_static_programs_allocate() {
    let installed = Installed::new();
    for way in ways() {
        let program = build(&installed, &way, "fork.c");
        assert_eq!(succeed(command(&program).arg("200")), "200 forks\n", "{way:?}");
    }
}

#[test]
fn handlers_of_static_programs_fork_and_allocate() {
    let installed = Installed::new();
    let program = build(&installed, &ways()[0], "handlers.c");
    for name in ["one_of_many_forks", "allocating_handlers_of_threads"] {
        let output = run(command(&program).arg(name));
        assert!(output.status.success(), "{name}: {}", describe(&output));
    }
}

/// A program that calls none of the family itself: libc does. With the flag that pkg-config gives, the archive is taken for that,
/// too; the control is a link without it, where nothing of the archive is.
#[test]
fn what_libc_allocates_comes_from_it() {
    let installed = Installed::new();
    let source = installed.directory.path().join("stream.c");
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { return fopen(\"/dev/null\", \"r\") == NULL; }\n")
        .expect("a source file");
    for way in ways() {
        for (flag, blocks) in [("-Wl,-u,malloc", true), ("-Wl,--no-undefined", false)] {
            let program = installed.directory.path().join("stream");
            let mut compile = command(&way[0]);
            compile.args(&way[1..]).arg(flag).arg(&source).arg(installed.malloc_archive()).arg("-o").arg(&program);
            succeed(&mut compile);
            let output = run(command(&program).env("HMALLOC_STATS", "1"));
            let stderr = String::from_utf8_lossy(&output.stderr);
            let counted = stderr.starts_with("hmalloc: process ") && !stderr.contains(": 0 blocks in use");
            assert!(output.status.success() && counted == blocks, "{way:?} {flag}: {}", describe(&output));
        }
    }
}

/// What a linker makes of it where the program has a malloc of its own: two definitions, which it says, or the program's alone.
#[test]
fn it_is_taken_as_a_whole_or_not_at_all() {
    let installed = Installed::new();
    let source = installed.directory.path().join("own.c");
    let own =
        "#include <stddef.h>\nstatic char bytes[1000];\nvoid *malloc(size_t size) { (void)size; return bytes; }\n";
    let archive = installed.malloc_archive();
    let link = |more: &str| {
        std::fs::write(&source, format!("{own}{more}")).expect("a source file");
        let program = installed.directory.path().join("own");
        let flags: [&OsStr; 3] = ["-w".as_ref(), "-fno-builtin".as_ref(), "-static".as_ref()];
        run(command("cc").args(flags).arg(&source).arg(&archive).arg("-o").arg(program))
    };
    let both = link("extern void *calloc(size_t, size_t);\nint main(void) { return malloc(1) == calloc(1, 1); }\n");
    let stderr = String::from_utf8_lossy(&both.stderr);
    assert!(!both.status.success() && stderr.contains("multiple definition of `malloc'"), "{stderr}");
}
