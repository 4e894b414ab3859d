//! What each allocator does about a wrong pointer: each mistake in a process of its own.
//!
//! ```text
//!   parent (this file)                   a process for each mistake and allocator
//!     verdict.rs     how it ended  <-----  mistakes.rs   what is allocated before, and the wrong call
//!                                          after.rs      is the heap still sound?
//! ```

mod after;
mod mistakes;
mod verdict;

use crate::allocators::candidate::{Entry, Kind};
use crate::allocators::{self, versions};
use crate::base::progress::Progress;
use crate::base::table::Table;
use crate::base::{child as process, kernel, machine};
use crate::options::Options;
use after::Blocks;
use anyhow::{Context, Result};
use mistakes::{MISTAKES, Mistake, SIZE};
use std::process::Stdio;
use verdict::Verdict;

/// A process that takes more seconds ends itself: some mistakes make a list a circle.
const PATIENCE: u32 = 5;

/// Makes every mistake on every allocator, and prints what came of it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let entries = options.allocators(|entry| entry.kind != Kind::Boundary && allocators::is_for_one_thread(entry));
    println!("{}\n{}\n", machine::here_and_now(), versions(&entries).join(", "));
    let progress = Progress::new(entries.len() * MISTAKES.len());
    progress.part("misuse");
    let title = "A wrong pointer is freed: what the allocator does about it";
    let header = MISTAKES.iter().map(|mistake| mistake.name).chain(["named", "harmless"]);
    let mut table = Table::new(title, header, options.markdown);
    for entry in entries {
        let verdict = |mistake: &Mistake| {
            progress.step(&format!("{} on {}", entry.name, mistake.name));
            Verdict::of(entry, mistake)
        };
        let verdicts = MISTAKES.iter().map(verdict).collect::<Result<Vec<_>>>()?;
        let made = verdicts.iter().filter(|verdict| **verdict != Verdict::NotMade).count();
        let count =
            |is: fn(&Verdict) -> bool| format!("{} of {made}", verdicts.iter().filter(|found| is(found)).count());
        let counts = [count(|found| *found == Verdict::Named), count(|found| found.is_harmless())];
        table.row(entry.name, verdicts.iter().map(Verdict::to_string).chain(counts));
    }
    progress.end();
    print!("{table}{}", verdict::LEGEND);
    Ok(())
}

impl Verdict {
    /// Runs one mistake in a process of its own, and reads how that ended.
    fn of(entry: &Entry, mistake: &Mistake) -> Result<Self> {
        if mistake.has_threads && entry.threads.is_none() {
            return Ok(Self::NotMade);
        }
        let mut command = process::command(&["mistake", entry.name, mistake.name]);
        let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
        let [said, complaint] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Self::read(&said, &complaint, output.status).with_context(|| format!("{} on {}", entry.name, mistake.name))
    }
}

/// The process that makes a mistake. It says the wrong pointer, then that it goes on, then whether the heap is sound.
pub(crate) fn child(arguments: &[String]) -> Result<()> {
    let [allocator, name] = arguments else { anyhow::bail!("not a child's arguments") };
    let entry = allocators::find(allocator).context("an allocator")?;
    let mistake = MISTAKES.iter().find(|mistake| mistake.name == name).context("a mistake")?;
    kernel::limit_time(PATIENCE);
    (entry.prepare)();
    let mut blocks = Blocks::new(entry, SIZE);
    let wrong = (mistake.pointer)(entry, &mut blocks);
    kernel::say(format_args!("{:#x}\n", wrong.addr()));
    (mistake.call)(entry, wrong);
    kernel::say(format_args!("{}\n", verdict::WENT_ON));
    let said = if after::is_sound(entry, &blocks) { verdict::SOUND } else { verdict::BROKEN };
    kernel::say(format_args!("{said}\n"));
    // What runs at exit may use the heap, and may find it broken: that is no longer part of the question.
    // SAFETY: ends the process; nothing is left to be written.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        let mut names: Vec<&str> = MISTAKES.iter().map(|mistake| mistake.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), MISTAKES.len());
    }
}
