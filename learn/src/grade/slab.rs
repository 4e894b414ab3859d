//! Exercise 6: random scripts on slabs, against a table of what is live; the shortest one that goes wrong, drawn in slots.

use super::Grader;
use crate::played::{End, end_of_script};
use crate::shrink::Patience;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// A call. Addresses are distances from the slab's start.
#[derive(Debug, Clone, Copy)]
enum Call {
    Allocate,
    /// Frees one of the live slots, chosen by a number, or what lies so many bytes behind its start.
    Near(usize, isize),
    /// Frees any multiple of the slot's size, in the slab, its tail or right behind it.
    Multiple(usize),
    /// Frees any address.
    At(isize),
}

const CASES: u32 = 300;

/// What is wrong: the last line of the script, the answer, and what it had to be.
struct Fault {
    script: Vec<String>,
    what: String,
    live: BTreeSet<usize>,
}

/// A slab from outside.
struct Model {
    bytes: usize,
    slot: usize,
    live: BTreeSet<usize>,
}

impl Model {
    fn capacity(&self) -> usize {
        self.bytes / self.slot
    }

    /// What a free of this address has to be answered with.
    fn free(&mut self, at: isize) -> &'static str {
        let Ok(at) = usize::try_from(at) else { return "Outside" };
        if at >= self.bytes {
            return "Outside";
        }
        if !at.is_multiple_of(self.slot) || at / self.slot >= self.capacity() {
            return "NotASlot";
        }
        if self.live.remove(&at) { "ok" } else { "AlreadyFree" }
    }

    /// Whether an answer to an allocation is right.
    fn allocated(&mut self, answer: &str) -> Result<(), String> {
        if answer == "full" {
            let full = self.live.len() == self.capacity();
            return if full { Ok(()) } else { Err("it is not full".into()) };
        }
        let at: usize = answer.parse().map_err(|_| format!("{answer} is below the slab"))?;
        if !at.is_multiple_of(self.slot) || at / self.slot >= self.capacity() {
            return Err(format!("no slot starts at +{at}"));
        }
        if self.live.insert(at) { Ok(()) } else { Err(format!("the slot at +{at} is live")) }
    }
}

impl Grader<'_> {
    /// True if something is wrong.
    pub(super) fn slab(&self, output: &mut dyn Write) -> io::Result<bool> {
        if let Err(what) = self.workshop.program() {
            writeln!(output, "{what}")?;
            return Ok(true);
        }
        let config =
            Config { cases: CASES, failure_persistence: None, max_shrink_iters: u32::MAX, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let near = (any::<usize>(), prop_oneof![3 => Just(0_isize), 1 => -20_isize..100]);
        let call = prop_oneof![
            5 => Just(Call::Allocate),
            4 => near.prop_map(|(which, by)| Call::Near(which, by)),
            2 => (0_usize..300).prop_map(Call::Multiple),
            2 => (-100_isize..9000).prop_map(Call::At),
        ];
        let shapes =
            prop::sample::select(vec![(4096, 64), (4096, 48), (8192, 80), (4096, 1024), (16_384, 16), (1000, 112)]);
        let (last, patience) = (RefCell::new(None), Patience::default());
        let found = runner.run(&(shapes, prop::collection::vec(call, 1..120)), |((bytes, slot), calls)| {
            if patience.is_over() {
                return Ok(());
            }
            match self.played(bytes, slot, &calls) {
                Ok(()) => Ok(()),
                Err(fault) => {
                    patience.begins();
                    let what = fault.0.what.clone();
                    *last.borrow_mut() = Some(((bytes, slot), fault));
                    Err(TestCaseError::fail(what))
                }
            }
        });
        let Err(TestError::Fail(_, ((bytes, slot), calls))) = found else {
            writeln!(output, "correct: {CASES} random scripts, with every kind of wrong address among them")?;
            return if self.whole { self.elsewhere(output) } else { Ok(false) };
        };
        let Err((fault, unfinished)) = self.played(bytes, slot, &calls) else { return Ok(true) };
        if unfinished {
            self.unfinished(&fault.what, output)?;
        } else {
            explain(bytes, slot, &fault, output)?;
        }
        Ok(true)
    }

    /// Plays a script call by call: what is live decides which address comes next.
    fn played(&self, bytes: usize, slot: usize, calls: &[Call]) -> Result<(), (Fault, bool)> {
        // The program answers a whole script; a right slab gives out its slots in some order of its own. So the script is
        // played again with each call more only where it goes wrong: first with the addresses that a first fit gives.
        let mut guess = Model { bytes, slot, live: BTreeSet::new() };
        let mut lines = Vec::new();
        for &call in calls {
            lines.push(match call {
                Call::Allocate => {
                    let next = (0..guess.capacity()).map(|number| number * slot).find(|at| !guess.live.contains(at));
                    guess.live.extend(next);
                    "a".to_owned()
                }
                Call::Near(which, by) => {
                    let at = guess.live.iter().nth(which % guess.live.len().max(1)).copied().unwrap_or(0);
                    let at = at.cast_signed() + by;
                    guess.free(at);
                    format!("f {at}")
                }
                Call::Multiple(number) => {
                    let at = (number % (guess.capacity() + 2) * slot).cast_signed();
                    guess.free(at);
                    format!("f {at}")
                }
                Call::At(at) => {
                    guess.free(at);
                    format!("f {at}")
                }
            });
        }
        let text = format!("n {bytes} {slot}\n{}\n", lines.join("\n"));
        let mut model = Model { bytes, slot, live: BTreeSet::new() };
        let fault = |count: usize, what: String, model: &Model| Fault {
            script: lines[..count].to_vec(),
            what,
            live: model.live.clone(),
        };
        let output = match self.workshop.run_script(&[&self.heap, "slab"], &text) {
            Ok(output) => output,
            Err(what) => return Err((fault(0, what, &model), false)),
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let answers: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("= ")).collect();
        for (number, (line, answer)) in lines.iter().zip(&answers).enumerate() {
            let before = Model { live: model.live.clone(), ..model };
            let verdict = match line.strip_prefix("f ").and_then(|at| at.parse().ok()) {
                None => model.allocated(answer),
                Some(at) => match model.free(at) {
                    right if right == *answer => Ok(()),
                    right => Err(format!("free({at:+}) was answered with {answer}, and {right} is right")),
                },
            };
            if let Err(what) = verdict {
                return Err((fault(number + 1, what, &before), false));
            }
        }
        match end_of_script(&output) {
            End::Whole => Ok(()),
            End::Gap(what) => Err((fault(answers.len(), what, &model), true)),
            other => Err((fault((answers.len() + 1).min(lines.len()), other.to_string(), &model), false)),
        }
    }
}

/// Draws the slab as it was before the last call: a sign for each slot.
fn explain(bytes: usize, slot: usize, fault: &Fault, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "Wrong. The shortest script found, on a slab of {bytes} bytes with slots of {slot}:\n")?;
    let words = fault.script.iter().map(|line| match line.strip_prefix("f ") {
        Some(at) => format!("free({at})"),
        None => "allocate()".to_owned(),
    });
    writeln!(output, "    {}\n", words.collect::<Vec<_>>().join(" "))?;
    writeln!(output, "before the last call (# live, . free, ~ the tail that no slot fills; up to 64 slots):")?;
    let capacity = bytes / slot;
    let sign = |number: usize| if fault.live.contains(&(number * slot)) { '#' } else { '.' };
    let signs: String = (0..capacity.min(64)).map(sign).collect();
    let tail = if capacity <= 64 && !bytes.is_multiple_of(slot) { "~" } else { "" };
    writeln!(output, "    |{signs}{tail}|\n\n    {}\n", fault.what)
}
