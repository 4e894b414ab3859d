//! The production heap on the real break: its promises, checked on the machine that the probe runs on.

use crate::blocks::sound;
use crate::moves::{foreign_moves, limit_honoured, refused, trim};
use crate::requests::{alignments, impossible, misuse, random_work, resizing, sizes, zeroed};
use crate::steps::{Failure, ensure};
use core::fmt::Write;
use hmalloc::Heap;
use hmalloc::brk::Linux;
use hmalloc_runtime::Output;

type Step = fn(&mut Heap<Linux>) -> Result<(), Failure>;

const STEPS: [(&str, Step); 9] = [
    ("sizes", sizes),
    ("alignments", alignments),
    ("zeroed memory", zeroed),
    ("resizing", resizing),
    ("misuse", misuse),
    ("random work", random_work),
    ("foreign moves", foreign_moves),
    ("a break that is refused", refused),
    ("requests that nobody can meet", impossible),
];

pub(crate) fn run(output: &mut Output) -> Result<(), Failure> {
    // First, while nothing else has moved the break.
    trim(&mut Heap::new(Linux))?;
    say(output, "trimming");
    let mut heap = Heap::new(Linux);
    for (name, step) in STEPS {
        step(&mut heap)?;
        sound(&heap)?;
        ensure(heap.stats().live_blocks == 0, "a step left blocks behind", heap.stats().live_blocks)?;
        say(output, name);
    }
    if limit_honoured()? {
        say(output, "a data limit");
    } else {
        let _ = writeln!(output, "the data limit has no effect here");
    }
    Ok(())
}

fn say(output: &mut Output, name: &str) {
    let _ = writeln!(output, "{name}: kept");
    let _ = output.flush();
}
