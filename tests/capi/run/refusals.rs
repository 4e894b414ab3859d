//! What would run without the library, or not at all, is refused with the reason.

use super::programs::Programs;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::installed::{as_root, command, describe, succeed};
use support::packages;

#[test]
fn static_programs_and_their_scripts_are_refused() {
    let programs = Programs::new();
    programs.compile("static", "cc", &["-static"]);
    programs.compile("static-pie", "cc", &["-static-pie"]);
    programs.script("script", "#!@/static\n");
    programs.script("nested", "#! @/script x\n");
    programs.script("by-env", "#!/usr/bin/env static\n");
    programs.script("by-env-split", "#!/usr/bin/env -S A=1 static\n");
    for name in ["static", "static-pie", "script", "nested", "by-env"] {
        programs.refuses(&[name, "x"], 126, " is a static program: it would run without hmalloc\n");
        if !name.starts_with("by-env") {
            programs.would_run_without(&[name, "x"]);
        }
    }
    programs.refuses(&["by-env-split", "x"], 126, "/static is a static program");
    programs.refuses(&["env", "A=1", "static", "x"], 126, "/static is a static program");
}

/// Word size, byte order and machine are bytes of the header.
#[test]
fn programs_of_other_architectures_are_refused() {
    let programs = Programs::new();
    let header = fs::read(programs.path("dynamic")).expect("a program");
    for (name, offset) in [("size", 4), ("order", 5), ("machine", 18), ("high", 19)] {
        programs.patch(name, offset, 3 - header[offset].min(2));
        programs.refuses(&[name], 126, " is for another architecture than ");
    }
    // The control: a byte that says nothing of that kind.
    programs.patch("version", 15, 1);
    programs.runs(&["version"], "ran\n");
}

/// No refusal is needed for a library that needs another libc, here one with the name that Alpine gives to musl: the loader
/// stops by itself. A program of musl's is fine: musl takes glibc's name for its own.
#[test]
fn a_library_of_another_libc_does_not_go_unnoticed() {
    let programs = Programs::new();
    let stub = programs.path("stub.so");
    let link = |output: &Path, flags: &[&str]| {
        let mut compile = command("cc");
        compile.args(["-shared", "-fPIC", "-nostdlib", "-w", "-x", "c", "/dev/null", "-x", "none"]).args(flags);
        succeed(compile.arg("-o").arg(output));
    };
    link(&stub, &["-Wl,-soname,libc.musl-x86_64.so.1"]);
    // The name by which programs, and this script, find it.
    let library = programs.installed.shared().with_file_name("libhmalloc.so.0");
    fs::remove_file(&library).expect("a link");
    link(&library, &["-Wl,--no-as-needed", stub.to_str().expect("a path")]);
    programs.refuses(&["dynamic"], 127, "libc.musl-x86_64.so.1: cannot open shared object file");
}

#[test]
fn programs_that_cannot_be_executed_are_named() {
    let programs = Programs::new();
    programs.script("no-interpreter", "#!@/missing\n");
    programs.script("no-command", "#!/usr/bin/env missing-command\n");
    for words in ["missing-command", "./missing", "no-interpreter", "no-command", ""] {
        programs.refuses(&[words], 127, ": not found\n");
    }
    for words in ["source.c", "./source.c", "/", "./"] {
        programs.refuses(&[words], 126, ": not a program that can be executed\n");
    }
    // A file that cannot be executed hides none of that name further down the PATH.
    fs::write(programs.path("echo"), "").expect("a file");
    programs.runs(&["echo", "hi"], "hi\n");
}

#[test]
fn programs_with_more_rights_are_refused() {
    let programs = Programs::new();
    for (name, mode, owner, why) in [
        ("user", "4755", "1:0", Some("is set-user-ID")),
        ("group", "2755", "0:1", Some("is set-group-ID")),
        ("other", "755", "1:1", None),
        ("locking", "2745", "0:1", None),
    ] {
        programs.compile(name, "cc", &[]);
        succeed(as_root("chown").arg(owner).arg(programs.path(name)));
        succeed(as_root("chmod").arg(mode).arg(programs.path(name)));
        match why {
            Some(why) => {
                programs.refuses(&[name], 126, why);
                programs.would_run_without(&[name]);
            }
            None => programs.runs(&[name], "ran\n"),
        }
    }
    // A user who has these rights already gets none from the program.
    programs.compile("own", "cc", &[]);
    fs::set_permissions(programs.path("own"), fs::Permissions::from_mode(0o6755)).expect("one's own file");
    programs.runs(&["own"], "ran\n");
}

/// They count for others than root only, so the user `nobody` starts the program.
#[test]
fn programs_with_capabilities_are_refused() {
    let programs = Programs::new();
    packages::program(&["setcap"], "libcap2-bin");
    programs.compile("capable", "cc", &[]);
    let as_nobody = |variable: String, program: PathBuf| {
        let mut start = as_root("setpriv");
        start.args(["--reuid=65534", "--regid=65534", "--clear-groups", "env"]).arg(variable).arg(program);
        start
    };
    let hmalloc_run = programs.installed.prefix().join("bin/hmalloc-run");
    let on_it = || programs.on(as_nobody("A=1".to_owned(), hmalloc_run.clone()), &["./capable"]);
    let (output, processes) = on_it();
    assert!(output.stdout == b"ran\n" && processes == 1, "{}", describe(&output));
    succeed(as_root("setcap").arg("cap_net_raw+ep").arg(programs.path("capable")));
    let (output, processes) = on_it();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("./capable has file capabilities: it would run without hmalloc\n"),
        "{}",
        describe(&output)
    );
    assert_eq!((output.status.code(), processes), (Some(126), 0));
    let preload = format!("LD_PRELOAD={}", programs.installed.shared().display());
    let (output, processes) = programs.on(as_nobody(preload, programs.path("capable")), &[]);
    assert!(output.stdout == b"ran\n" && processes == 0, "{}", describe(&output));
}

#[test]
fn a_library_whose_path_cannot_be_said_is_refused() {
    let programs = Programs::new();
    let directory = programs.installed.directory.path();
    for name in ["my own", "a:b", "tab\there", "line\nbreak", "$LIB", "plain-1.0_x", "b@r+,=~"] {
        let moved = directory.join(name);
        succeed(command("cp").arg("-r").arg(programs.installed.prefix()).arg(&moved));
        let (output, processes) = programs.on(command(moved.join("bin/hmalloc-run")), &["dynamic"]);
        let refused = output.status.code() == Some(1)
            && output.stdout.is_empty()
            && String::from_utf8_lossy(&output.stderr).contains("LD_PRELOAD cannot express");
        let ran = output.status.success() && processes == 1;
        assert!(if name.contains(['-', '@']) { ran } else { refused }, "{name:?}: {}", describe(&output));
        // The control: the loader does not take it for one library.
        let mut alone = command(programs.path("dynamic"));
        alone.env("LD_PRELOAD", moved.join("lib/libhmalloc.so"));
        assert_eq!(programs.on(alone, &[]).1, usize::from(ran || name.contains(['\t', '\n'])), "{name:?}");
    }
}
