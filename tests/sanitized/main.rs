//! Storms under tools that see data races: ThreadSanitizer here, Miri in `interpreted.rs`.
//!
//! The sanitizer knows of each access by which the threads are ordered: it sees a race also where the processor did what was
//! meant. The storm and the library are built with instrumentation, by a nightly toolchain. The standard library is not: of it
//! the storm uses threads, whose start and end the sanitizer sees, and atomics, which are compiled into the storm. What it does
//! not know is a membarrier. It need not: each time when a revoker finds an owner at rest, or an owner finds its lease given back, one
//! of them has read what the other has released, and that it sees.
//!
//! Controls: a copy of the library in which one ordering is weaker must be found out.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

mod interpreted;
#[allow(dead_code, reason = "it is built by itself, see below")]
mod storm;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::installed::{command, describe, run};
use support::places::{repository, scratch};
use support::rustup::require_toolchain;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Operations of each of the storm's threads. `HMALLOC_TEST_STORM` is how many, for the library as it is.
const OPERATIONS: u32 = 40_000;

/// An ordering that is weakened: the file, a line that stands once behind another one, and what it is instead.
struct Weaker(&'static str, &'static str, &'static str, &'static str);

const WEAKER: &[Weaker] = &[
    Weaker(
        "ground/freed.rs",
        "pub(crate) fn free(",
        "compare_exchange_weak(seen, seen | Word::from(bit), Release, Acquire)",
        "compare_exchange_weak(seen, seen | Word::from(bit), Relaxed, Acquire)",
    ),
    Weaker(
        "ground/lease.rs",
        "pub(crate) fn leave_as(",
        "self.state.store(holder, Release)",
        "self.state.store(holder, Relaxed)",
    ),
];

/// Builds the storm on the library in a folder, in a package of its own beside it.
fn build(library: &Path, name: &str) -> PathBuf {
    let package = scratch(format!("sanitized/{name}"));
    fs::create_dir_all(&package).expect("a folder");
    let (source, library) = (repository("tests/sanitized/storm.rs"), library.display());
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n[[bin]]\nname = \"{name}\"\npath = {source:?}\n[workspace]\n\
         [dependencies]\nhmalloc = {{ path = \"{library}\" }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    fs::copy(repository("Cargo.lock"), package.join("Cargo.lock")).expect("a lockfile");
    let built = scratch("sanitized/target");
    let mut cargo = command("cargo");
    cargo.args([&require_toolchain("nightly"), "build", "--quiet", "--target", TARGET, "--target-dir"]).arg(&built);
    cargo.env("RUSTFLAGS", "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer");
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    cargo.env_remove("RUSTUP_TOOLCHAIN").env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    let output = run(cargo.current_dir(&package));
    assert!(output.status.success(), "{}", describe(&output));
    built.join(TARGET).join("debug").join(name)
}

/// The library's manifest for a package outside of this workspace. What only its tests in other files depend on is not built.
fn alone() -> String {
    let manifest = fs::read_to_string(repository("Cargo.toml")).expect("a manifest");
    let (library, _) = manifest.split_once("[dev-dependencies]").expect("what its tests depend on");
    format!("{library}\n[workspace]\n")
}

/// A copy of the library in which an ordering is weaker.
fn weakened(number: usize, Weaker(file, behind, line, weaker): &Weaker) -> PathBuf {
    let folder = scratch(format!("sanitized/library-{number}"));
    fs::create_dir_all(&folder).expect("a folder");
    // What another version of the source has left.
    let _ = fs::remove_dir_all(folder.join("src"));
    let copied = Command::new("cp").arg("-r").args([repository("src"), repository("README.md")]).arg(&folder).status();
    assert!(copied.expect("cp").success());
    let manifest = alone();
    fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    let path = folder.join("src").join(file);
    let text = fs::read_to_string(&path).expect("a source file");
    let (before, after) = text.split_once(behind).expect("the line before");
    assert!(after.contains(line), "{file}: `{line}` is not there any more");
    fs::write(path, format!("{before}{behind}{}", after.replacen(line, weaker, 1))).expect("a source file");
    folder
}

fn run_storm(program: &Path, operations: u32) -> Output {
    run(command(program).arg(operations.to_string()).env("TSAN_OPTIONS", "halt_on_error=1"))
}

#[test]
fn no_race_is_seen_and_weaker_orderings_are() {
    let operations = std::env::var("HMALLOC_TEST_STORM").map_or(OPERATIONS, |text| text.parse().expect("a number"));
    let output = run_storm(&build(&repository(""), "shipped"), operations);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.ends_with("survived\n"), "{}", describe(&output));
    for (number, weaker) in WEAKER.iter().enumerate() {
        let program = build(&weakened(number, weaker), &format!("weaker-{number}"));
        let output = run_storm(&program, OPERATIONS);
        let said = String::from_utf8_lossy(&output.stderr);
        let is_race = said.contains("WARNING: ThreadSanitizer: data race");
        assert!(!output.status.success() && is_race, "{} is not found out: {}", weaker.3, describe(&output));
    }
}
