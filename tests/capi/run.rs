//! `hmalloc-run`: a program runs on the library, or is refused and told why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::installed::{Installed, as_root, capi, command, describe, run, succeed};
use support::packages;

const SOURCE: &str = "#include <stdio.h>\n#include <stdlib.h>\n\
    int main(int argc, char **argv) { char *volatile block = malloc(10); free(block); puts(argc > 1 ? argv[1] : \"ran\"); return 0; }\n";

/// A folder of programs and scripts, which is also in the PATH.
struct Programs {
    installed: Installed,
    folder: PathBuf,
}

impl Programs {
    fn new() -> Self {
        let installed = Installed::new();
        let folder = installed.directory.path().join("programs");
        fs::create_dir(&folder).expect("a folder");
        for path in [installed.directory.path(), &folder] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be entered");
        }
        fs::write(folder.join("source.c"), SOURCE).expect("a source file");
        let programs = Self { installed, folder };
        programs.compile("dynamic", "cc", &["-pie", "-fPIE"]);
        programs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn compile(&self, name: &str, compiler: &str, flags: &[&str]) {
        let mut compile = command(compiler);
        succeed(
            compile.args(["-w", "-fno-builtin"]).args(flags).arg(self.path("source.c")).arg("-o").arg(self.path(name)),
        );
    }

    /// A file that can be executed; `@` stands for the folder.
    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), text.replace('@', self.folder.to_str().expect("a path"))).expect("a script");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("it can be executed");
    }

    /// `dynamic` with one byte changed.
    fn patch(&self, name: &str, offset: usize, byte: u8) {
        let mut bytes = fs::read(self.path("dynamic")).expect("a program");
        bytes[offset] = byte;
        fs::write(self.path(name), bytes).expect("a program");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("it can be executed");
    }

    /// Runs words in the folder, and tells how many processes were on the library.
    fn on(&self, start: Command, words: &[&str]) -> (Output, usize) {
        let log = self.installed.directory.path().join("log");
        fs::write(&log, "").expect("a log");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).expect("anyone may write to it");
        let mut start = start;
        let path = format!("{}::{}", self.folder.display(), std::env::var("PATH").unwrap_or_default());
        start
            .args(words)
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("HMALLOC_STATS", "1")
            .env("HMALLOC_LOG", &log);
        let output = run(&mut start);
        (output, fs::read_to_string(log).expect("the log").lines().count())
    }

    fn hmalloc_run(&self) -> Command {
        command(self.installed.prefix().join("bin/hmalloc-run"))
    }

    fn runs(&self, words: &[&str], said: &str) {
        let (output, processes) = self.on(self.hmalloc_run(), words);
        let right = output.status.success() && String::from_utf8_lossy(&output.stdout) == said;
        assert!(right && processes > 0, "{words:?}, {processes} processes: {}", describe(&output));
    }

    fn refuses(&self, words: &[&str], status: i32, why: &str) {
        let (output, processes) = self.on(self.hmalloc_run(), words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let right = output.status.code() == Some(status) && stderr.contains(why) && output.stdout.is_empty();
        assert!(right && stderr.lines().count() == 1 && processes == 0, "{words:?}: {}", describe(&output));
    }

    /// The control of a refusal: with the variable alone the program does run, without the library.
    fn would_run_without(&self, words: &[&str]) {
        let (output, processes) = self.on(self.installed.preloaded(self.path(words[0])), &words[1..]);
        assert!(output.status.success() && processes == 0, "{words:?}, {processes}: {}", describe(&output));
    }
}

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
    link(&programs.installed.shared(), &["-Wl,--no-as-needed", stub.to_str().expect("a path")]);
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
    // Who has these rights already gets none.
    programs.compile("own", "cc", &[]);
    fs::set_permissions(programs.path("own"), fs::Permissions::from_mode(0o6755)).expect("one's own file");
    programs.runs(&["own"], "ran\n");
}

/// They count for others than root only, so it is nobody who starts the program.
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
