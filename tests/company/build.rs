//! Builds the programs of `tests/programs`, and runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::installed::{command, describe, run};
use support::packages;
use support::places::{repository, scratch};
use support::rustup::require_targets;

pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// What a program is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Glibc,
    MuslStatic,
    MuslDynamic,
}

pub(crate) fn package() -> PathBuf {
    repository("tests/programs")
}

/// The command that builds something of the package. Ends the test with what to install if there is no compiler for it.
pub(crate) fn cargo(word: &str, kind: For) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([word, "--release", "--quiet", "--target-dir"]).arg(target(kind)).current_dir(package());
    if kind != For::Glibc {
        require_targets(&[MUSL]);
        cargo.args(["--target", MUSL]);
    }
    if kind == For::MuslDynamic {
        let flags = format!("-Ctarget-feature=-crt-static -L{}", unwinder().display());
        cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", musl_gcc());
        cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS", flags);
    }
    cargo
}

fn target(kind: For) -> PathBuf {
    scratch(if kind == For::MuslDynamic { "company-dynamic" } else { "company" })
}

/// The compiler for C with musl.
pub(crate) fn musl_gcc() -> PathBuf {
    packages::program(&["musl-gcc"], "musl-tools")
}

fn rust_libraries() -> PathBuf {
    let output = run(command("rustc").args(["--print", "sysroot"]));
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&sysroot).join("lib/rustlib").join(MUSL).join("lib")
}

/// A folder in which dynamic musl programs find what unwinds their stacks. Rust asks for a shared library that musl-gcc
/// does not have; the static one that comes with Rust does.
fn unwinder() -> PathBuf {
    let folder = target(For::MuslDynamic).join("unwinder");
    std::fs::create_dir_all(&folder).expect("a folder");
    let archive = rust_libraries().join("self-contained/libunwind.a");
    assert!(archive.exists(), "{} comes with Rust's library for musl", archive.display());
    let (script, own) = (folder.join("libgcc_s.so"), folder.join(format!("script-{}", std::process::id())));
    // By renaming, for another test may read it at this moment.
    std::fs::write(&own, format!("INPUT({})\n", archive.display())).expect("a file");
    std::fs::rename(own, script).expect("a file");
    folder
}

pub(crate) fn built(kind: For) -> PathBuf {
    let folder = if kind == For::Glibc { target(kind) } else { target(kind).join(MUSL) };
    folder.join("release")
}

/// The path of a program, built now if it has to be.
pub(crate) fn program(name: &str, kind: For) -> PathBuf {
    succeed(cargo("build", kind).args(["--bin", name]));
    built(kind).join(name)
}

/// The path of the library that programs load and let go.
pub(crate) fn plugin(kind: For) -> PathBuf {
    succeed(cargo("build", kind).args(["--example", "plugin"]));
    built(kind).join("examples/libplugin.so")
}

fn succeed(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", describe(&output));
}

/// How much larger than usual the volumes are to be: `HMALLOC_TEST_FACTOR`.
pub(crate) fn times(count: usize) -> String {
    let factor = std::env::var("HMALLOC_TEST_FACTOR").map_or(1, |text| text.parse().expect("a number"));
    (count * factor).to_string()
}

/// Runs a program, which must say at its end that it has finished, and from which source its heap lived. Returns what
/// it said.
pub(crate) fn finishes(command: &mut Command) -> String {
    check(&run(end_it(command)), command)
}

/// Runs several programs at once.
pub(crate) fn finish_together(commands: Vec<Command>) {
    std::thread::scope(|scope| {
        for mut command in commands {
            scope.spawn(move || finishes(&mut command));
        }
    });
}

/// No backtrace: what it allocates, the limits that a program has set may refuse.
fn end_it(command: &mut Command) -> &mut Command {
    command.env("RUST_BACKTRACE", "0")
}

fn check(output: &Output, command: &Command) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let finished = said.lines().last().is_some_and(|line| line == "finished from OwnBreak");
    assert!(output.status.success() && finished, "{command:?}: {}", describe(output));
    said
}

/// A program with its arguments, to be run.
pub(crate) fn with(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = command(program);
    command.args(arguments);
    command
}
