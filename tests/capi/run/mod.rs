//! `hmalloc-run`: a program runs on the library, or is refused and told why.

mod options;
mod programs;
mod refusals;

use programs::Programs;
use std::path::Path;
use support::installed::{Installed, capi, command, describe, run};
use support::packages;

#[test]
fn it_works_from_a_clone_and_from_a_prefix() {
    let installed = Installed::new();
    for script in [capi().join("hmalloc-run"), installed.prefix().join("bin/hmalloc-run")] {
        let mut run_it = command(&script);
        run_it.env("HMALLOC_STATS", "1").args(["perl", "-e", "print \"@ARGV\\n\"; exit 3", "two words"]);
        let output = run(&mut run_it);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
        assert_eq!(output.stdout, b"two words\n");
        assert!(stderr.starts_with("hmalloc: process ") && stderr.ends_with("; sound\n"), "{stderr}");
        assert_eq!(run(&mut command(&script)).status.code(), Some(2));
    }
}

#[test]
fn ordinary_programs_run_on_the_library() {
    let programs = Programs::new();
    programs.compile("fixed", "cc", &["-no-pie"]);
    programs.compile("of musl", packages::program(&["musl-gcc"], "musl-tools").to_str().expect("a path"), &[]);
    programs.compile("-dash", "cc", &[]);
    programs.compile("*", "cc", &[]);
    for name in ["dynamic", "./dynamic", "../programs/dynamic", "fixed", "of musl", "./-dash", "*"] {
        programs.runs(&[name, "two words"], "two words\n");
    }
    let whole = programs.path("dynamic");
    programs.runs(&[whole.to_str().expect("a path"), "*"], "*\n");
    // A shell has commands of these names itself.
    programs.runs(&["echo", "-n", "a  b"], "a  b");
    programs.runs(&["printf", "%s.", "x", "y"], "x.y.");
    programs.runs(&["test", "1", "=", "1"], "");
    programs.runs(&["true"], "");
    programs.runs(&["env", "A=1", "dynamic", "hi"], "hi\n");
    programs.script("text", "/bin/echo \"$1\"\n");
    programs.runs(&["env", "A=1", "./text", "hi"], "hi\n");
    let loader = "/lib64/ld-linux-x86-64.so.2";
    if Path::new(loader).exists() {
        programs.runs(&[loader, "./dynamic", "hi"], "hi\n");
    }
}

#[test]
fn scripts_run_on_the_library() {
    let programs = Programs::new();
    for (name, text) in [
        ("plain", "#!/bin/sh\n/bin/echo \"$1\"\n"),
        ("blanks", "#! \t/bin/sh -e\t\n/bin/echo \"$1\"\n"),
        ("env", "#!/usr/bin/env sh\n/bin/echo \"$1\"\n"),
        ("split", "#!/usr/bin/env -S A=1 sh -e\n/bin/echo \"$1\"\n"),
        ("nested", "#!@/plain\n"),
        ("own", "#!@/dynamic\n"),
        ("no end", "#!@/dynamic"),
        ("text", "/bin/echo \"$1\"\n"),
        ("empty", ""),
    ] {
        programs.script(name, text);
        let said = match name {
            "empty" => String::new(),
            "nested" | "own" | "no end" => format!("./{name}\n"),
            _ => "two words\n".to_owned(),
        };
        // A script that is run by a program of ours hands it its own path first.
        let (output, processes) = programs.on(programs.hmalloc_run(), &[&format!("./{name}"), "two words"]);
        let right = output.status.success() && String::from_utf8_lossy(&output.stdout) == said;
        assert!(right && (processes > 0 || name == "empty"), "{name}, {processes}: {}", describe(&output));
    }
}
