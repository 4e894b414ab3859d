//! The figures that are counted rather than timed: the static program's size and the lines of `src/`.

use crate::base::build;
use anyhow::Result;
use std::path::Path;

/// Lines of one kind of source.
#[derive(Default)]
struct Lines {
    code: usize,
    comment: usize,
    blank: usize,
}

/// The program is the root's main one, built as `cargo run --release` builds it there, only stripped.
pub(crate) fn print() -> Result<()> {
    let (mut production, mut stages) = (Lines::default(), Lines::default());
    count(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"), &mut production, &mut stages);
    for (name, Lines { code, comment, blank }) in [("src/", production), ("src/stages/", stages)] {
        println!("{name:13} {} lines: {code} code, {comment} comment, {blank} blank", code + comment + blank);
    }
    let program = build::release("", "words", "figures", &["--config", "profile.release.strip=true"])?;
    println!("{:13} {} bytes, stripped", "words", build::size(&program)?);
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
