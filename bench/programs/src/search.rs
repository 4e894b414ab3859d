//! Searches a folder for lines that match a few patterns, with a thread for each processor of two.

use crate::Outcome;
use ignore::{WalkBuilder, WalkState};
use regex::Regex;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};

const THREADS: usize = 2;

/// What is looked for: rare and frequent, with groups whose text is printed.
const PATTERNS: [&str; 3] =
    [r"\b(\w+)ing (\w+)\b", r"(?i)\b([a-z]{4})(ra|lo|mi)([a-z]*) \w+ (\w{9,})\b", r"^(\w+) .* (\w+)er$"];

/// A line that matches.
type Found = (PathBuf, usize, String);

pub(super) fn run(folder: &str, output: &mut impl Write) -> Outcome {
    let patterns = PATTERNS.map(Regex::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let (sender, receiver) = channel();
    WalkBuilder::new(folder).threads(THREADS).build_parallel().run(|| {
        let (patterns, sender) = (patterns.clone(), sender.clone());
        Box::new(move |entry| {
            match entry {
                Ok(entry) if entry.path().is_file() => search(entry.into_path(), &patterns, &sender),
                _ => {}
            }
            WalkState::Continue
        })
    });
    drop(sender);
    let mut found: Vec<Found> = receiver.into_iter().collect();
    found.sort();
    for (path, line, text) in found {
        writeln!(output, "{}:{line}: {text}", path.display())?;
    }
    Ok(())
}

/// Sends the lines of one file, its matches named. A file that cannot be read is missing in the output, which is compared.
fn search(path: PathBuf, patterns: &[Regex], sender: &Sender<Found>) {
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    for (index, line) in text.lines().enumerate() {
        for pattern in patterns {
            for captures in pattern.captures_iter(line) {
                let groups: Vec<&str> = captures.iter().skip(1).flatten().map(|group| group.as_str()).collect();
                let found = (path.clone(), index + 1, groups.join("|"));
                sender.send(found).expect("the receiver lives as long as the search");
            }
        }
    }
}
