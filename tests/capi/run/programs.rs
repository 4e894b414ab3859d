//! A folder of programs and scripts to run, and what becomes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use support::installed::{Installed, command, describe, run, succeed};

const SOURCE: &str = "#include <stdio.h>\n#include <stdlib.h>\n\
    int main(int argc, char **argv) { char *volatile block = malloc(10); free(block); puts(argc > 1 ? argv[1] : \"ran\"); return 0; }\n";

/// A folder of programs and scripts, which is also in the PATH.
pub(crate) struct Programs {
    pub(crate) installed: Installed,
    folder: PathBuf,
}

impl Programs {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn compile(&self, name: &str, compiler: &str, flags: &[&str]) {
        let mut compile = command(compiler);
        succeed(
            compile.args(["-w", "-fno-builtin"]).args(flags).arg(self.path("source.c")).arg("-o").arg(self.path(name)),
        );
    }

    /// A file that can be executed; `@` stands for the folder.
    pub(crate) fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), text.replace('@', self.folder.to_str().expect("a path"))).expect("a script");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("it can be executed");
    }

    /// `dynamic` with one byte changed.
    pub(crate) fn patch(&self, name: &str, offset: usize, byte: u8) {
        let mut bytes = fs::read(self.path("dynamic")).expect("a program");
        bytes[offset] = byte;
        fs::write(self.path(name), bytes).expect("a program");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("it can be executed");
    }

    /// Runs words in the folder, and tells how many processes were on the library.
    pub(crate) fn on(&self, start: Command, words: &[&str]) -> (Output, usize) {
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

    pub(crate) fn hmalloc_run(&self) -> Command {
        command(self.installed.prefix().join("bin/hmalloc-run"))
    }

    pub(crate) fn runs(&self, words: &[&str], said: &str) {
        let (output, processes) = self.on(self.hmalloc_run(), words);
        let right = output.status.success() && String::from_utf8_lossy(&output.stdout) == said;
        assert!(right && processes > 0, "{words:?}, {processes} processes: {}", describe(&output));
    }

    pub(crate) fn refuses(&self, words: &[&str], status: i32, why: &str) {
        let (output, processes) = self.on(self.hmalloc_run(), words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let right = output.status.code() == Some(status) && stderr.contains(why) && output.stdout.is_empty();
        assert!(right && stderr.lines().count() == 1 && processes == 0, "{words:?}: {}", describe(&output));
    }

    /// The control of a refusal: with the variable alone the program does run, without the library.
    pub(crate) fn would_run_without(&self, words: &[&str]) {
        let (output, processes) = self.on(self.installed.preloaded(self.path(words[0])), &words[1..]);
        assert!(output.status.success() && processes == 0, "{words:?}, {processes}: {}", describe(&output));
    }
}
