//! Exercise 7: the learner's tests against stage 5 and 20 copies of it with one fault each.

use super::Grader;
use crate::played::{End, end};
use crate::workshop::{Source, feed};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// A fault, as what stands in stage 5 and what stands there instead, and in words (which the learner does not see).
pub const MUTANTS: [(&str, &str, &str); 20] = [
    (
        "size.max(1).checked_next_multiple_of(ALIGN) else { return null_mut() };\n        let found",
        "Some(size.max(1)) else { return null_mut() };\n        let found",
        "requests are not rounded",
    ),
    ("free && block >= size", "free && block > size", "a block of exactly the size is not used again"),
    ("free && block >= size", "free && block.saturating_add(16) >= size", "a block is used that is too small"),
    ("free && block >= size", "block >= size", "used blocks are handed out"),
    ("free && block >= size", "false && free && block >= size", "nothing is used again"),
    ("unsafe { self.fit(header, size, false) };", "unsafe { (*header).free = false };", "blocks are not split"),
    (
        "header.wrapping_byte_add(HEADER).cast()\n    }\n\n    /// Frees",
        "header.wrapping_byte_add(HEADER + 8).cast()\n    }\n\n    /// Frees",
        "the payload starts late",
    ),
    (
        "let found = self.walk().find(|&(header, _, free)| !free && header.addr() + HEADER == payload.addr());\n        let Some((header, ..)) = found else { return };",
        "let found = self.walk().find(|&(header, size, free)| !free && header.addr() + HEADER <= payload.addr() && payload.addr() < header.addr() + HEADER + size);\n        let Some((header, ..)) = found else { return };",
        "an address inside a block is freed",
    ),
    (
        "let Some((header, ..)) = found else { return };",
        "let Some((header, ..)) = found.or_else(|| self.walk().last()) else { return };",
        "a wrong free frees the last block",
    ),
    (
        "free && below.wrapping_byte_add(HEADER + size) == header",
        "free && below == header",
        "a free block below is not joined",
    ),
    (
        "count.saturating_mul(size);\n        // SAFETY: the caller's promise; a block",
        "count.wrapping_mul(size);\n        // SAFETY: the caller's promise; a block",
        "calloc's product wraps",
    ),
    (
        "payload.write_bytes(0, if payload.is_null() { 0 } else { bytes });",
        "payload.write_bytes(0, if payload.is_null() { 0 } else { bytes / 2 });",
        "calloc zeroes a half",
    ),
    (
        "return if size == 0 { null_mut() } else { self.hmalloc(size) };",
        "return null_mut();",
        "realloc(null) allocates nothing",
    ),
    (
        "moved.copy_from_nonoverlapping(payload, old);",
        "moved.copy_from_nonoverlapping(payload, old.min(16));",
        "realloc moves 16 bytes",
    ),
    (
        "moved.copy_from_nonoverlapping(payload, old);\n                self.hfree(payload);",
        "moved.copy_from_nonoverlapping(payload, old);",
        "realloc keeps the old block",
    ),
    ("self.fit(header, old, false); // The", "// The", "realloc in vain keeps the neighbour"),
    (
        "(*header).size += HEADER + (*(*header).next).size;",
        "(*header).size += 2 * HEADER + (*(*header).next).size;",
        "a joined block is too large",
    ),
    (
        "(*header).next == header.byte_add(HEADER + (*header).size) && (*(*header).next).free",
        "!(*header).next.is_null() && (*(*header).next).free",
        "neighbours are joined over what others have",
    ),
    ("let to = if free { header.addr() }", "let to = if free { end }", "the break never comes down"),
    (
        "(*header).size.saturating_sub(size) >= HEADER + ALIGN",
        "(*header).size.saturating_sub(size) >= HEADER + 64 * ALIGN",
        "only large rests are split off",
    ),
];
/// So many have to be killed.
const WANTED: usize = 18;

/// Stage 5 by the name `m0`, and its copies by `m1` to `m20`, written into `folder`.
///
/// # Errors
///
/// If they cannot be written, or stage 5 does not have what is to be changed.
pub fn mutant_sources(folder: &Path) -> Result<Vec<Source>, String> {
    let path = crate::workshop::path("../src/stages/s5_coalescing.rs");
    let right = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let mut sources = Vec::new();
    for number in 0..=MUTANTS.len() {
        let mut text = right.clone();
        if let Some((old, new, what)) = number.checked_sub(1).map(|index| MUTANTS[index]) {
            if !right.contains(old) {
                return Err(format!("stage 5 has changed: there is nothing to make of it: {what}"));
            }
            text = right.replacen(old, new, 1);
        }
        let file = folder.join(format!("m{number}.rs"));
        if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            let fresh = folder.join(format!("m{number}.{}", std::process::id()));
            fs::write(&fresh, &text).and_then(|()| fs::rename(&fresh, &file)).map_err(|error| error.to_string())?;
        }
        sources.push(Source { name: format!("m{number}"), kind: "stage5", file });
    }
    Ok(sources)
}

impl Grader<'_> {
    /// Runs the tests on a copy. The name of the test that fails, and how; nothing if all pass.
    fn tested(&self, copy: &str) -> Result<Option<(String, End)>, String> {
        let output = feed(Command::new(self.workshop.program()?).args([copy, &self.heap]), "")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().filter_map(|line| line.strip_prefix("test ")).next_back().unwrap_or_default();
        Ok(match end(&output) {
            End::Whole if last == "end" => None,
            End::Whole => Some((last.to_owned(), End::Failed("the process ended in the middle of it".into()))),
            end => Some((last.to_owned(), end)),
        })
    }

    /// True if something is wrong.
    pub(super) fn mutants(&self, output: &mut dyn Write) -> io::Result<bool> {
        let right = match self.tested("m0") {
            Ok(right) => right,
            Err(what) => {
                writeln!(output, "{what}")?;
                return Ok(true);
            }
        };
        if let Some((test, how)) = right {
            match how {
                End::Gap(what) => self.unfinished(&what, output)?,
                how => {
                    let how = how.to_string();
                    let how: Vec<&str> = how.lines().filter(|line| !line.starts_with("test ")).collect();
                    writeln!(
                        output,
                        "Wrong. This test accuses a heap that is right: {test}\n\n    {}",
                        how.join("\n    ")
                    )?;
                }
            }
            return Ok(true);
        }
        let (mut killed, mut alive) = (0, Vec::new());
        for number in 1..=MUTANTS.len() {
            match self.tested(&format!("m{number}")) {
                Ok(Some((test, _))) => {
                    killed += 1;
                    writeln!(output, "    copy {number:>2}  killed by: {test}")?;
                }
                Ok(None) => alive.push(number),
                Err(what) => {
                    writeln!(output, "{what}")?;
                    return Ok(true);
                }
            }
        }
        let names: Vec<String> = alive.iter().map(ToString::to_string).collect();
        writeln!(output, "\nkilled: {killed} of {}, and {WANTED} are wanted", MUTANTS.len())?;
        if !alive.is_empty() {
            writeln!(output, "alive: {}. The page says which promises stage 5 makes.", names.join(", "))?;
        }
        Ok(killed < WANTED)
    }
}
