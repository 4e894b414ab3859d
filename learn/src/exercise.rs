//! The eight exercises.

use crate::workshop::{Source, path};
use std::fs;
use std::io;
use std::path::PathBuf;

/// An exercise.
#[derive(Debug)]
pub struct Exercise {
    /// 1 to 8.
    pub number: u8,
    /// Its file in `learn/exercises`.
    pub file: &'static str,
    /// What the program has to make of the file.
    pub kind: &'static str,
    /// In words.
    pub title: &'static str,
}

const fn exercise(number: u8, file: &'static str, kind: &'static str, title: &'static str) -> Exercise {
    Exercise { number, file, kind, title }
}

/// All of them.
pub const EXERCISES: [Exercise; 8] = [
    exercise(1, "e1_first_fit.rs", "heap", "a header, and first fit"),
    exercise(2, "e2_alignment.rs", "heap", "alignment"),
    exercise(3, "e3_free.rs", "heap", "a free that works"),
    exercise(4, "e4_split.rs", "heap", "split, and trim"),
    exercise(5, "e5_coalesce.rs", "resizing", "coalesce, and realloc"),
    exercise(6, "e6_slab.rs", "slab", "a slab with bits and exact validation"),
    exercise(7, "e7_tests.rs", "tests", "write the tests"),
    exercise(8, "e8_orderings.rs", "orderings", "choose the orderings"),
];

/// A gap that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Counted from 1.
    pub line: usize,
    /// What it asks for.
    pub hint: String,
}

impl Exercise {
    /// The learner's file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path("exercises").join(self.file)
    }

    /// What the program that grades it is built from: the learner's file, or another in its place.
    #[must_use]
    pub fn sources(&self, file: Option<PathBuf>) -> Vec<Source> {
        let file = file.unwrap_or_else(|| self.path());
        match self.kind {
            "orderings" => Vec::new(),
            kind => vec![Source { name: format!("e{}", self.number), kind, file }],
        }
    }

    /// The gaps in the learner's file.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn gaps(&self) -> io::Result<Vec<Gap>> {
        Ok(gaps(&fs::read_to_string(self.path())?))
    }
}

/// The gaps in a text.
#[must_use]
pub fn gaps(text: &str) -> Vec<Gap> {
    let mut found = Vec::new();
    for (line, code) in (1..).zip(text.lines()).filter(|(_, code)| !code.trim_start().starts_with("//")) {
        for (at, _) in code.match_indices("gap!(\"") {
            let hint = code[at + 6..].split('"').next().unwrap_or_default();
            found.push(Gap { line, hint: hint.to_owned() });
        }
        for _ in code.match_indices("Choice::Blank") {
            found.push(Gap { line, hint: "an ordering".to_owned() });
        }
    }
    found
}
