//! Exercise 8: the package `learn/orderings` runs the learner's orderings in all interleavings.

use crate::exercise::{Exercise, gaps};
use crate::played::end;
use crate::workshop::{own_target, path};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// True if something is wrong.
pub(super) fn grade(exercise: &Exercise, output: &mut dyn Write) -> io::Result<bool> {
    let left = gaps(&fs::read_to_string(exercise.path())?);
    if !left.is_empty() {
        writeln!(output, "Not finished yet, and that is fine. {} orderings are to be chosen:\n", left.len())?;
        for gap in left {
            writeln!(output, "    learn/exercises/{}, line {}", exercise.file, gap.line)?;
        }
        writeln!(output, "\nThe page is learn/book/src/exercise-8.md.")?;
        return Ok(true);
    }
    match run(&own_target().join("learn-orderings"), &exercise.path()) {
        Ok((wrong, text)) => {
            output.write_all(text.as_bytes())?;
            Ok(wrong)
        }
        Err(what) => {
            writeln!(output, "{what}")?;
            Ok(true)
        }
    }
}

/// Builds the checker with this file, and runs it. Whether something is wrong, and what it says.
///
/// # Errors
///
/// If it does not compile, or comes to no verdict.
pub fn run(target: &Path, file: &Path) -> Result<(bool, String), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet", "--target-dir"]).arg(target).current_dir(path("orderings"));
    let built = cargo.env("HMALLOC_LEARN_ORDERINGS", file).output().map_err(|error| error.to_string())?;
    if !built.status.success() {
        return Err(format!("it does not compile:\n{}", String::from_utf8_lossy(&built.stderr)));
    }
    let output = Command::new(target.join("release/orderings")).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) if said.lines().any(|line| line.starts_with("correct: ")) => Ok((false, said)),
        Some(1) if !said.is_empty() => Ok((true, said)),
        Some(status) => Err(format!("it ended with status {status}, before there was a verdict\n{said}")),
        None => Err(format!("{}, before there was a verdict\n{said}", end(&output))),
    }
}
