//! The targets: where there is no Linux, the heap over bytes of the program's own works, and what needs Linux says so.

use crate::build::{cargo, directory, oldest, refused};
use std::fs;
use std::process::Command;
use support::installed::{command, describe, run, succeed};
use support::packages;
use support::places::repository;
use support::rustup::{require_targets, require_toolchain};

/// Instructions of a microcontroller (32 bits, no atomics of 64), of web pages, and of a kernel.
const PORTABLE: [&str; 3] = ["thumbv7em-none-eabi", "wasm32-unknown-unknown", "x86_64-unknown-none"];

/// Systems that are not Linux.
const WITHOUT: [&str; 2] = ["x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// Runs a web page's module with node.
const PAGE: &str = "
const { readFileSync } = require('node:fs');
let memory;
const say = (at, length) => process.stderr.write(Buffer.from(memory.buffer, at, length));
WebAssembly.instantiate(readFileSync(process.argv[1]), { page: { say } }).then(({ instance }) => {
    memory = instance.exports.memory;
    process.exit(instance.exports.start());
});
";

/// The command that runs what was built for `target`.
fn runner(target: &str) -> Command {
    let built = directory("portable").join(target).join("release/portable");
    match target {
        "thumbv7em-none-eabi" => {
            let mut emulator = command(packages::program(&["qemu-arm", "qemu-arm-static"], "qemu-user"));
            emulator.arg(built);
            emulator
        }
        "wasm32-unknown-unknown" => {
            let mut node = command(packages::program(&["node", "nodejs"], "nodejs"));
            node.args(["-e", PAGE]).arg(built.with_extension("wasm"));
            node
        }
        _ => command(built),
    }
}

#[test]
fn the_heap_over_bytes_works_without_linux() {
    require_targets(&PORTABLE);
    let mut build = cargo(&repository("tests/portable"), "portable");
    build.args(["build", "--release", "--quiet", "--locked", "--bin", "portable"]);
    // Its programs bring entry points of their own, which relocate nothing.
    build.env("RUSTFLAGS", "-Crelocation-model=static");
    PORTABLE.iter().for_each(|target| _ = build.args(["--target", target]));
    succeed(&mut build);
    for target in PORTABLE {
        let output = run(&mut runner(target));
        assert!(output.status.success(), "{target}: {}", describe(&output));
    }
}

/// The same with all cargo features left out: what makes the heap small changes no answer.
#[test]
fn the_heap_without_its_cargo_features_works() {
    let target = PORTABLE[2];
    require_targets(&[target]);
    let mut build = cargo(&repository("tests/portable"), "small");
    build.args(["build", "--release", "--quiet", "--locked", "--bin", "portable", "--no-default-features"]);
    build.env("RUSTFLAGS", "-Crelocation-model=static").args(["--target", target]);
    succeed(&mut build);
    let output = run(&mut command(directory("small").join(target).join("release/portable")));
    assert!(output.status.success(), "{}", describe(&output));
}

/// Each line of the program that needs Linux is refused in words, and says what to do instead.
#[test]
fn what_needs_linux_says_so_elsewhere() {
    let source = fs::read_to_string(repository("tests/portable/src/bin/needs_linux.rs")).expect("the program");
    let statics = source.lines().filter(|line| line.starts_with("static ") && !line.contains("Arena")).count();
    for target in WITHOUT {
        require_targets(&[target]);
        let mut check = cargo(&repository("tests/portable"), "portable");
        check.args(["check", "--quiet", "--locked", "--bin", "needs_linux", "--target", target]);
        let said = refused(&mut check);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error[")).collect();
        let words = errors.iter().filter(|line| line.contains("hmalloc: ") && line.contains("needs Linux")).count();
        assert_eq!((words, errors.len()), (statics, statics), "{target}:\n{said}");
        assert!(said.contains("Bytes") && said.contains("target.'cfg("), "{target}: what to do instead:\n{said}");
    }
}

/// The oldest compiler is enough, for Android as well. The other targets of README.md's table are built above, or by examples.
#[test]
fn the_oldest_compiler_is_enough() {
    let version = oldest();
    let word = require_toolchain(&version);
    let android = "aarch64-linux-android";
    let add = ["target", "add", "--toolchain", &version, android];
    assert!(packages::succeeds("rustup", &add), "run `rustup {}` and the tests again", add.join(" "));
    let check = |arguments: &[&str]| {
        let mut check = cargo(&repository(""), "oldest");
        succeed(check.args([&word, "check", "--quiet", "--locked", "--package", "hmalloc"]).args(arguments));
    };
    check(&["--all-features", "--package", "hmalloc-runtime"]);
    check(&["--target", android]);
}

#[test]
fn the_readme_names_the_targets() {
    let readme = fs::read_to_string(repository("README.md")).expect("README.md");
    let named = ["aarch64-linux-android", "x86_64-unknown-linux-musl"].into_iter().chain(PORTABLE).chain(WITHOUT);
    named.for_each(|target| assert!(readme.contains(target), "README.md names {target}"));
}
