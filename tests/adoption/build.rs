//! Runs cargo as a user does.

use std::path::{Path, PathBuf};
use std::process::Command;
use support::installed::{command, describe, run};
use support::places::scratch;

/// Cargo in `folder`, with a target directory of its own.
pub(crate) fn cargo(folder: &Path, target: &str) -> Command {
    let mut cargo = command("cargo");
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", directory(target));
    cargo
}

/// A target directory of these tests.
pub(crate) fn directory(name: &str) -> PathBuf {
    scratch(Path::new("adoption").join(name))
}

/// Runs a command that must fail, and returns what it says.
pub(crate) fn refused(command: &mut Command) -> String {
    let output = run(command);
    assert!(!output.status.success(), "{command:?} is not refused: {}", describe(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The version that `Cargo.toml` says is the oldest.
pub(crate) fn oldest() -> String {
    let manifest = std::fs::read_to_string(support::places::repository("Cargo.toml")).expect("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a version");
    format!("{}.0", line.trim_matches('"'))
}
