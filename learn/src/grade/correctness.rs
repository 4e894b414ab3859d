//! Correctness: random scripts, and the shortest one that goes wrong drawn as a heap before and after.

use super::Grader;
use crate::counterexample::Counterexample;
use crate::draw::{Known, draw};
use crate::exercise::gaps;
use crate::judge::Reason;
use crate::played::Seen;
use crate::search::{CASES, search};
use crate::sim::answer;
use std::io::{self, Write};

impl Grader<'_> {
    /// True if something is wrong.
    pub(super) fn correctness(&self, output: &mut dyn Write) -> io::Result<bool> {
        match search(self.workshop, &self.heap, self.level(), CASES) {
            Err(what) => {
                writeln!(output, "{what}")?;
                Ok(true)
            }
            Ok(None) => {
                writeln!(output, "correct: {CASES} random scripts of up to 40 calls were answered as they should be")?;
                Ok(false)
            }
            Ok(Some(found)) if found.fault.reason == Reason::Unfinished => {
                self.unfinished(&found.fault.what, output)?;
                Ok(true)
            }
            Ok(Some(found)) => {
                self.explain(&found, output)?;
                Ok(true)
            }
        }
    }

    /// A gap is no mistake.
    pub(super) fn unfinished(&self, what: &str, output: &mut dyn Write) -> io::Result<()> {
        let what = what.trim_start_matches("not written yet: ");
        let place = what.rsplit_once("exercises/").map_or(what, |(_, place)| place);
        writeln!(output, "Not finished yet, and that is fine. The first script reached this gap:\n\n    {place}\n")?;
        if let Ok(text) = std::fs::read_to_string(self.exercise.path()) {
            let left = gaps(&text);
            if left.len() > 1 {
                writeln!(output, "In learn/exercises/{} there are {} in all:", self.exercise.file, left.len())?;
                for gap in left {
                    writeln!(output, "    line {:>3}  {}", gap.line, gap.hint)?;
                }
            }
        }
        writeln!(output, "\nThe page is learn/book/src/exercise-{}.md.", self.exercise.number)
    }

    fn explain(&self, found: &Counterexample, output: &mut dyn Write) -> io::Result<()> {
        let Counterexample { script, played, fault } = found;
        let count = script.calls.len();
        let calls = if count == 1 { "one call".to_owned() } else { format!("{count} calls") };
        writeln!(output, "Wrong. The shortest script found that shows it has {calls}:\n\n    {script}\n")?;
        let mut known = Known::default();
        let before = script.calls.iter().zip(&played.steps).take(fault.step);
        let mut last = Seen::default();
        for (&call, seen) in before {
            known.note(call, seen);
            last = seen.clone();
        }
        writeln!(output, "before the last call:")?;
        draw(script, &known, &last, output)?;
        let Some(&call) = script.calls.get(fault.step) else { return Ok(()) };
        if let Some(seen) = played.steps.get(fault.step) {
            writeln!(output, "\nafter {}{}:", script.say(call), answer(call, seen))?;
            known.note(call, seen);
            draw(script, &known, seen, output)?;
        } else {
            writeln!(output, "\n{} did not come back.", script.say(call))?;
        }
        writeln!(output, "\n    {}\n", fault.what)?;
        writeln!(output, "Watch it: cargo run -p learn -- sim --exercise {} '{script}'", self.exercise.number)
    }
}
