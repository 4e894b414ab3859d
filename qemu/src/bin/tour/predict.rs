//! Questions before each step, and what the answers are worth.

use core::cmp::Ordering;
use core::fmt::{self, Write};
use hmalloc_runtime::{File, Output};

/// Bytes of the longest answer that is read whole.
const LONGEST: usize = 64;

/// Where the answers come from, and how many were right.
pub(crate) struct Questions {
    answers: File,
    buffer: [u8; LONGEST],
    asked: usize,
    right: usize,
    /// There are no more answers: what is left is shown without questions.
    ended: bool,
}

/// What somebody expects of a call. Nothing, where the answer was an empty line.
#[derive(Clone, Copy, Default)]
pub(crate) struct Predicted {
    way: Option<Ordering>,
    payload: Option<isize>,
}

/// `up`, `down`, `stay`, or a first letter of these.
fn way(answer: &str) -> Option<Ordering> {
    let words = [("up", Ordering::Greater), ("down", Ordering::Less), ("stay", Ordering::Equal)];
    words.into_iter().find(|(word, _)| word.starts_with(answer)).map(|(_, way)| way)
}

fn distance(answer: &str) -> Option<isize> {
    answer.trim_start_matches('+').parse().ok()
}

impl Questions {
    pub(crate) fn new(answers: File) -> Self {
        Self { answers, buffer: [0; LONGEST], asked: 0, right: 0, ended: false }
    }

    /// The next line of the answers, without spaces around it. What is longer than any answer is cut.
    fn line(&mut self) -> Option<&str> {
        let mut filled = 0;
        loop {
            let mut byte = [0];
            match self.answers.read(&mut byte) {
                Ok(1) if byte[0] == b'\n' => break,
                Ok(1) if filled == LONGEST => {}
                Ok(1) => {
                    self.buffer[filled] = byte[0];
                    filled += 1;
                }
                _ if filled > 0 => break,
                _ => {
                    self.ended = true;
                    return None;
                }
            }
        }
        Some(core::str::from_utf8(&self.buffer[..filled]).unwrap_or("?").trim())
    }

    /// Asks until there is an answer that `understood` takes, an empty line, or no line any more.
    fn ask<T>(
        &mut self,
        text: &str,
        understood: fn(&str) -> Option<T>,
        output: &mut Output,
    ) -> Result<Option<T>, fmt::Error> {
        loop {
            if self.ended {
                return Ok(None);
            }
            write!(output, "    ? {text} ")?;
            output.flush().map_err(|_| fmt::Error)?;
            let Some(line) = self.line() else {
                writeln!(output, "\n    (no more answers: the rest is played)")?;
                return Ok(None);
            };
            let (empty, answer) = (line.is_empty(), understood(line));
            if empty || answer.is_some() {
                writeln!(output)?;
                self.asked += 1;
                return Ok(answer.filter(|_| !empty));
            }
            writeln!(output, "\n    that is no answer to this; an empty line goes on")?;
        }
    }

    /// Asks what a call will do.
    pub(crate) fn predict(&mut self, allocates: bool, output: &mut Output) -> Result<Predicted, fmt::Error> {
        let way = self.ask("will the break go up, down or stay?", way, output)?;
        let payload = if allocates { self.ask("at which + will the payload lie?", distance, output)? } else { None };
        Ok(Predicted { way, payload })
    }

    /// Says what was right, and counts it. `payload` is for calls that give one.
    pub(crate) fn reveal(
        &mut self,
        predicted: Predicted,
        moved: Ordering,
        payload: Option<isize>,
        output: &mut Output,
    ) -> fmt::Result {
        if let Some(way) = predicted.way {
            let what = match moved {
                Ordering::Greater => "the break went up",
                Ordering::Less => "the break came down",
                Ordering::Equal => "the break stayed",
            };
            self.mark(way == moved, format_args!("{what}"), output)?;
        }
        if let (Some(expected), Some(at)) = (predicted.payload, payload) {
            self.mark(expected == at, format_args!("the payload lies at {at:+}"), output)?;
        }
        Ok(())
    }

    fn mark(&mut self, right: bool, what: fmt::Arguments<'_>, output: &mut Output) -> fmt::Result {
        self.right += usize::from(right);
        writeln!(output, "    {} {what}", if right { "= right:" } else { "/ no:" })
    }

    pub(crate) fn score(&self, output: &mut Output) -> fmt::Result {
        writeln!(output, "\nYou foresaw {} of {}.", self.right, self.asked)
    }
}
