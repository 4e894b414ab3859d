//! Exercise 8: the package `learn/orderings` runs the learner's orderings in all interleavings.

use crate::exercise::{Exercise, gaps};
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
/// If it does not compile.
pub fn run(target: &Path, file: &Path) -> Result<(bool, String), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--release", "--quiet", "--target-dir"]).arg(target).current_dir(path("orderings"));
    let output = cargo.env("HMALLOC_LEARN_ORDERINGS", file).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.is_empty() {
        return Err(format!("it does not compile:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok((!output.status.success(), said))
}
