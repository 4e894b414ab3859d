//! Builds the programs of the `qemu` package the way a user does, and runs them.

use crate::places::{repository, scratch};
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// How the tests are built: what instruments them (coverage, sanitizers) cannot be linked without a libc, nor into a
/// library for C.
const BUILD_SETTINGS: [&str; 5] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"];

/// What is built by a test is run a few times, and nobody looks at it with a debugger: what helps with that, and what makes a
/// later build after a change shorter, takes a third of the time.
const ONCE: [(&str, &str); 2] = [("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")];

/// Has cargo, or what runs it, build without the settings that the tests were built with.
pub fn plainly(command: &mut Command) -> &mut Command {
    BUILD_SETTINGS.iter().for_each(|name| _ = command.env_remove(name));
    command.envs(ONCE)
}

/// Cargo, without the settings that the tests were built with.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")));
    plainly(&mut cargo);
    cargo
}

/// The release build of one program: static, at a fixed address or, if `pie`, at one that the kernel chooses.
///
/// The first test to ask builds it, in a target directory of the tests' own: the one that these tests were built in may
/// be locked.
pub fn program(name: &str, pie: bool) -> PathBuf {
    let (folder, pie) = if pie { ("programs-pie", "1") } else { ("programs", "0") };
    let target = scratch(folder);
    let output = cargo()
        .args(["build", "--release", "--quiet", "--package", "hmalloc-qemu", "--bin", name, "--target-dir"])
        .arg(&target)
        .current_dir(repository(""))
        .env("HMALLOC_PIE", pie)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "building {name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    target.join("release").join(name)
}

/// Runs `command` with `input` as its standard input, and returns its output.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // Small writes of odd sizes: what the program reads at once is cut at arbitrary places. It may exit before it reads
    // them all.
    for piece in input.chunks(4093) {
        if stdin.write_all(piece).is_err() {
            break;
        }
    }
    drop(stdin);
    child.wait_with_output().expect("the program can be waited for")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the program writes UTF-8")
}
