//! The grade of an exercise.

mod correctness;
mod figures;
mod machines;
mod misuse;
mod mutants;
mod orderings;
mod peers;
mod slab;
mod table;
mod traces;

pub use machines::{Machine, death, machines, slab_difference};
pub use mutants::{MUTANTS, mutant_sources};
pub use orderings::run as run_orderings;

use crate::exercise::Exercise;
use crate::level::Level;
use crate::workshop::Workshop;
use std::io::{self, Write};

/// Grades one exercise, which the workshop's program has by the name `heap`.
pub struct Grader<'g> {
    /// Where it is built.
    pub workshop: &'g Workshop,
    /// Which one.
    pub exercise: &'g Exercise,
    /// What the program calls it.
    pub heap: String,
    /// Whether figures are wanted, too.
    pub whole: bool,
}

impl Grader<'_> {
    fn level(&self) -> Level {
        Level(self.exercise.number)
    }

    /// Grades, and says what came of it. True if something is wrong.
    ///
    /// # Errors
    ///
    /// If the output cannot be written.
    pub fn grade(&self, output: &mut dyn Write) -> io::Result<bool> {
        writeln!(output, "Exercise {}: {}\n", self.exercise.number, self.exercise.title)?;
        match self.exercise.kind {
            "slab" => self.slab(output),
            "tests" => self.mutants(output),
            "orderings" => orderings::grade(self.exercise, output),
            _ => self.heap(output),
        }
    }

    /// What is wrong is wrong; figures of it would say nothing.
    fn heap(&self, output: &mut dyn Write) -> io::Result<bool> {
        if self.correctness(output)? {
            return Ok(true);
        }
        if self.whole {
            self.table(output)?;
        }
        Ok(false)
    }
}
