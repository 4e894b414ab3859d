//! The figures that are counted rather than timed: the static program's size and the lines of `src/`.

use crate::base::cargo;
use std::path::{Path, PathBuf};

/// Lines of one kind of source.
#[derive(Default)]
struct Lines {
    code: usize,
    comment: usize,
    blank: usize,
}

pub(crate) fn print() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut production, mut stages) = (Lines::default(), Lines::default());
    count(&root.join("src"), &mut production, &mut stages);
    for (name, lines) in [("src/", production), ("src/stages/", stages)] {
        let total = lines.code + lines.comment + lines.blank;
        println!("{name:13} {total} lines: {} code, {} comment, {} blank", lines.code, lines.comment, lines.blank);
    }
    let (path, bytes) = program(&root).map_err(|message| format!("no size of the static program: {message}"))?;
    println!("{:13} {bytes} bytes, stripped", path.file_name().unwrap_or_default().to_string_lossy());
    Ok(())
}

/// Counts the Rust files below `folder`; those of the stages apart. A line that starts with `//` is a comment.
fn count(folder: &Path, production: &mut Lines, stages: &mut Lines) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            count(&path, production, stages);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_stage = path.components().any(|part| part.as_os_str() == "stages");
            let lines = if is_stage { &mut *stages } else { &mut *production };
            for line in std::fs::read_to_string(&path).unwrap_or_default().lines().map(str::trim) {
                match line {
                    "" => lines.blank += 1,
                    _ if line.starts_with("//") => lines.comment += 1,
                    _ => lines.code += 1,
                }
            }
        }
    }
}

/// Builds the main program as `cargo run --release` in the repository's root does, only stripped, apart from the
/// user's own build.
fn program(root: &Path) -> Result<(PathBuf, u64), String> {
    let path = cargo::build(root, "figures", &["--bin", "words", "--config", "profile.release.strip=true"])?;
    let bytes = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
    Ok((path, bytes))
}
