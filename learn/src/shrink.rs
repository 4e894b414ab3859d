//! Makes a script that goes wrong as short as it can be.

use crate::counterexample::{Counterexample, example};
use crate::judge::judge;
use crate::level::Level;
use crate::script::{Call, Script, name};
use crate::workshop::Workshop;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// So long shorter scripts are tried, twice: a heap that hangs takes its time for each.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the shrinking of what failed after a while: from then on nothing shorter fails.
#[derive(Default)]
pub(crate) struct Patience(Cell<Option<Instant>>);

impl Patience {
    /// Something failed.
    pub(crate) fn begins(&self) {
        self.0.set(self.0.get().or_else(|| Some(Instant::now())));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.get().is_some_and(|begin| begin.elapsed() > PATIENCE)
    }
}

/// Leaves out each call in turn, with all that names its block, and takes smaller sizes, as long as the same thing goes wrong.
/// (What was found before chooses blocks by numbers, which change their meaning when a call is left out.)
pub(crate) fn shorter(workshop: &Workshop, heap: &str, level: Level, script: Script) -> Result<Counterexample, String> {
    let (mut best, begin) = (example(workshop, heap, level, script)?, Instant::now());
    loop {
        let before = best.script.clone();
        for at in (0..before.calls.len()).rev() {
            for smaller in without(&best.script, at).into_iter().chain(reduced(&best.script, at)) {
                if begin.elapsed() > PATIENCE {
                    break;
                }
                let played = workshop.play(heap, &smaller, false)?;
                let fault = judge(&smaller, &played, level);
                if fault.is_some_and(|fault| fault.reason == best.fault.reason) {
                    best = example(workshop, heap, level, smaller)?;
                    break;
                }
            }
        }
        if best.script == before || begin.elapsed() > PATIENCE {
            best.script = renamed(&best.script);
            return Ok(best);
        }
    }
}

/// Names in the order in which the blocks come up. (Numbers stay, so what was played is still right.)
fn renamed(script: &Script) -> Script {
    let mut script = script.clone();
    let mut order: Vec<usize> = Vec::new();
    for call in &script.calls {
        if let Call::Malloc(block, _) | Call::Calloc(block, ..) = *call {
            order.push(block);
        }
    }
    for (number, block) in order.into_iter().enumerate() {
        script.names[block] = name(number);
    }
    script
}

/// The block that a call makes, or names.
fn block_of(call: Call) -> Option<usize> {
    match call {
        Call::Malloc(block, _) | Call::Calloc(block, ..) | Call::Realloc(block, _) | Call::Free(block, _) => {
            Some(block)
        }
        _ => None,
    }
}

/// The script without a call, and without what follows from it.
fn without(script: &Script, at: usize) -> Option<Script> {
    let (mut shorter, removed) = (script.clone(), *script.calls.get(at)?);
    shorter.calls.remove(at);
    if matches!(removed, Call::Malloc(..) | Call::Calloc(..)) {
        shorter.calls.retain(|&call| block_of(call) != block_of(removed));
    }
    // Without its free a block stays live, and its second free would be its first.
    (!shorter.calls.is_empty()).then_some(shorter)
}

/// The script with a smaller size in one call.
fn reduced(script: &Script, at: usize) -> Vec<Script> {
    let Some(&call) = script.calls.get(at) else { return Vec::new() };
    let with = |call| {
        let mut reduced = script.clone();
        reduced.calls[at] = call;
        reduced
    };
    let smaller =
        |size: usize| [0, 1, 8, 16, 24, 32, 48, 64, 100, size / 2].into_iter().filter(move |&other| other < size);
    match call {
        Call::Malloc(block, size) if size < 1 << 20 => {
            smaller(size).map(|size| with(Call::Malloc(block, size))).collect()
        }
        Call::Calloc(block, 1, size) => smaller(size).map(|size| with(Call::Malloc(block, size))).collect(),
        Call::Realloc(block, size) => {
            smaller(size).filter(|&size| size > 0).map(|size| with(Call::Realloc(block, size))).collect()
        }
        _ => Vec::new(),
    }
}
