//! Each example is built and run as its README says: the commands are the README's, and so is what they print.

use crate::build::{cargo, directory};
use std::fs;
use std::path::Path;
use support::installed::{command, describe, run};
use support::packages;
use support::places::repository;
use support::rustup::require_targets;

/// The blocks of a README that are marked `sh`, each with the block marked `text` that follows.
pub(crate) fn dialogues(readme: &str) -> Vec<(String, String)> {
    let mut dialogues = Vec::new();
    let mut rest = readme;
    while let Some((_, after)) = rest.split_once("\n```sh\n") {
        let (commands, after) = after.split_once("\n```\n").expect("the block ends");
        let (_, after) = after.split_once("\n```text\n").expect("what the commands print follows");
        let (printed, after) = after.split_once("\n```").expect("the block ends");
        dialogues.push((commands.to_owned(), format!("{printed}\n")));
        rest = after;
    }
    dialogues
}

/// Whether `text` is `pattern`, in which `…` stands for anything within a line.
fn agrees(text: &str, pattern: &str) -> bool {
    text.lines().count() == pattern.lines().count()
        && text.lines().zip(pattern.lines()).all(|(text, pattern)| {
            let mut rest = text;
            let mut pieces = pattern.split('…');
            let first = pieces.next().unwrap_or_default();
            let Some(after) = rest.strip_prefix(first) else { return false };
            rest = after;
            let pieces: Vec<&str> = pieces.collect();
            let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
            for piece in middle {
                let Some((_, after)) = rest.split_once(piece) else { return false };
                rest = after;
            }
            rest.ends_with(last)
        })
}

/// Does what the README of an example says, and compares.
fn follow(name: &str) {
    let folder = repository("examples").join(name);
    let readme = fs::read_to_string(folder.join("README.md")).expect("a README");
    let dialogues = dialogues(&readme);
    assert!(!dialogues.is_empty(), "{name} has commands");
    for (commands, printed) in dialogues {
        let script = format!("set -e\n{commands}");
        let mut shell = command("sh");
        shell.args(["-c", &script]).current_dir(&folder);
        shell.env("CARGO_TARGET_DIR", directory("examples")).env("CARGO_TERM_QUIET", "true");
        let output = run(&mut shell);
        let said = String::from_utf8_lossy(&output.stdout);
        let right = output.status.success() && agrees(&said, &printed);
        assert!(right, "examples/{name}:\n{commands}\nwas to print\n{printed}\n{}", describe(&output));
    }
}

/// What the commands install themselves is installed before, one at a time.
fn prepare() {
    require_targets(&[
        "x86_64-unknown-linux-musl",
        "x86_64-unknown-none",
        "thumbv7em-none-eabi",
        "wasm32-unknown-unknown",
    ]);
    require_targets(&["aarch64-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu"]);
    for emulator in ["qemu-aarch64", "qemu-riscv64"] {
        packages::program(&[emulator], "qemu-user");
    }
}

#[test]
fn each_works_as_its_readme_says() {
    prepare();
    let folder = repository("examples");
    let entries = fs::read_dir(folder).expect("examples");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["arena", "bare", "musl", "origin", "service", "std"]);
    names.iter().for_each(|name| follow(name));
}

/// A lock file that is not right any more would be renewed in silence by the commands above.
#[test]
fn their_lock_files_are_right() {
    for name in ["arena", "bare", "musl", "origin", "service", "std"] {
        let folder = repository("examples").join(name);
        support::installed::succeed(cargo(&folder, "examples").args(["metadata", "--locked", "--format-version", "1"]));
    }
}

/// From nothing to a program without a libc.
#[test]
fn the_bare_one_is_short() {
    let lines = |path: &str| fs::read_to_string(repository(path)).expect("a file").lines().count();
    let count = lines("examples/bare/src/main.rs") + lines("examples/bare/build.rs");
    assert!(count < 40, "{count} lines");
}

/// The comparison finds differences.
#[test]
fn what_is_printed_is_compared() {
    assert!(agrees("12 blocks of 3 bytes\n", "… blocks of … bytes\n") && agrees("a\n", "a\n"));
    assert!(agrees("0x1 and 0x2\n", "0x… and 0x…\n"));
    let wrong =
        [("a\nb\n", "a\n"), ("ab\n", "a\n"), ("12 block of 3 bytes\n", "… blocks of … bytes\n"), ("ab\n", "…a\n")];
    assert!(wrong.iter().all(|(text, pattern)| !agrees(text, pattern)));
    assert!(Path::new(&repository("examples")).exists());
}
