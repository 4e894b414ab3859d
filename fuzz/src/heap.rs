//! A heap over an emulated break: the operations, the kernels and the oracle of `tests/heap`.
//!
//! A finding prints a kernel and a list of operations as Rust. In `tests/heap/model/replays.rs` they are a test.

use crate::asan::POISON;
use crate::input::{STEPS_MAX, align, below, size, which};
use crate::operations::Op::{self, *};
use crate::operations::{Bad, Which::Nth};
use arbitrary::{Result, Unstructured};
use std::cell::RefCell;
use support::arena::Arena;
use support::setup::Setup;
use support::subject::Subject;

/// Bytes of the largest arena.
const ARENA_MAX: usize = 6 << 20;

thread_local! {
    /// The arenas of all runs, one after the other.
    static ARENA: RefCell<Arena> = RefCell::new(Arena::new(ARENA_MAX));
}

fn setup(input: &mut Unstructured<'_>) -> Result<Setup> {
    const PAGES: [usize; 8] = [4096, 4096, 4096, 4096, 8192, 16_384, 65_536, 262_144];
    let arena = (64 << 10) << below(input, 6)?;
    let offset = below(input, 4)? * usize::from(input.arbitrary::<u8>()?) * 85;
    let (page, flags) = (PAGES[below(input, 8)?], input.arbitrary::<u8>()?);
    let mappings = if flags & 4 == 0 { 0 } else { arena / 4 + below(input, 4)? * (256 << 10) };
    let arena = (arena + usize::from(input.arbitrary::<u8>()?) * 4096).min(ARENA_MAX);
    Ok(Setup { arena, offset, page, dirty: flags & 1 != 0, discard: flags & 2 != 0, mappings })
}

fn operation(input: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match below(input, 64)? {
        0..=11 => Allocate { size: size(input)?, align: align(input)? },
        12..=17 => Zeroed { size: size(input)?, align: align(input)? },
        18 | 19 => Burst { count: 1 + below(input, 40)?, size: size(input)? },
        20..=29 => Free { which: Nth(which(input)?) },
        30..=32 => FreeSized { which: Nth(which(input)?) },
        33 => FreeMany { first: below(input, 200)?, step: 1 + below(input, 4)?, count: 1 + below(input, 256)? },
        34..=39 => Resize { which: Nth(which(input)?), size: size(input)?, align: align(input)? },
        40..=42 => ResizeSized { which: Nth(which(input)?), size: size(input)?, align: align(input)? },
        43 => Trim { keep: 0 },
        44 => Trim { keep: which(input)? * 16 },
        45 => ForeignRaise { bytes: 1 + which(input)? * 3 },
        46 | 47 => ForeignLower { bytes: 1 + which(input)? * 4 },
        48 => RefuseRaises { after: below(input, 3)? },
        49 => RefuseOnce { after: below(input, 3)? },
        50 => RefuseLowering { refuse: input.arbitrary()? },
        51..=53 => LiftRefusals,
        54 => Relocations { count: below(input, 4)? },
        55 => Clock { milliseconds: which(input)? as u64 / 13 },
        56 => Lock { locked: input.arbitrary()? },
        _ => Probe { bad: Bad::ALL[below(input, Bad::ALL.len())?], number: which(input)? },
    })
}

/// Runs one sequence. Panics with what was wrong, and how to see it again.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok(setup) = setup(&mut input) else { return };
    ARENA.with_borrow_mut(|arena| {
        arena.place(setup.arena, setup.offset);
        (POISON.show)(arena.start(), setup.arena);
        let mut world = setup.world(arena);
        world.hide_by(POISON);
        let mut done = Vec::new();
        while !input.is_empty() && done.len() < STEPS_MAX {
            let Ok(op) = operation(&mut input) else { break };
            done.push(op);
            // The sanitizer's reports come from within: they need the sequence before the step.
            crate::books::note(|| format!("{setup:?},\n{done:?}"));
            if let Err(what) = op.run(&mut world) {
                panic!("{what}\nreplay with\n({setup:?},\n&{done:?}),");
            }
        }
        if let Err(what) = world.finish() {
            panic!("at the end: {what}\nreplay with\n({setup:?},\n&{done:?}),");
        }
        assert_eq!(world.subject.heap().check(), Ok(()));
    });
}
