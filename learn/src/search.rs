//! Looks for a script that a heap answers wrongly, and makes it as short as it can.

use crate::counterexample::{Counterexample, example};
use crate::judge::judge;
use crate::level::Level;
use crate::script::{Call, Script, name};
use crate::shrink::{Patience, shorter};
use crate::workshop::Workshop;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;

/// Blocks that are live at once, at most.
const MOST_LIVE: usize = 24;
const LONGEST: usize = 40;
/// Random scripts that a grade plays.
pub const CASES: u32 = 400;
/// What a random script is made of. Blocks are chosen by a number among those that are live.
#[derive(Debug, Clone)]
enum Op {
    Malloc(usize),
    Calloc(usize),
    Free(usize),
    Realloc(usize, usize),
    /// The block that was allocated last.
    FreeLast,
    /// The last free once more.
    Twice,
    /// An address that many bytes into a block.
    Inside(usize, usize),
    Null,
    /// So many bytes below the largest number.
    Huge(usize),
    RefuseRaises(bool),
    RefuseLowering(bool),
    Other(usize),
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..70, 3 => 1_usize..300, 1 => 1_usize..4000]
}

/// One call, or a few in an order that chance would hardly find.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop_oneof![
        40 => op().prop_map(|op| vec![op]),
        // A free block that stayed on top is freed once more, when it could be returned.
        1 => size().prop_map(|size| {
            vec![Op::RefuseLowering(true), Op::Malloc(size), Op::FreeLast, Op::RefuseLowering(false), Op::Twice]
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => size().prop_map(Op::Malloc),
        7 => any::<usize>().prop_map(Op::Free),
        3 => (any::<usize>(), size()).prop_map(|(block, size)| Op::Realloc(block, size)),
        1 => size().prop_map(Op::Calloc),
        1 => Just(Op::Twice),
        1 => (any::<usize>(), 1_usize..64).prop_map(|(block, by)| Op::Inside(block, by)),
        1 => Just(Op::Null),
        1 => (0_usize..40).prop_map(Op::Huge),
        1 => any::<bool>().prop_map(Op::RefuseRaises),
        1 => any::<bool>().prop_map(Op::RefuseLowering),
        2 => (1_usize..200).prop_map(Op::Other),
    ]
}

/// The calls of a script that an exercise of this level can be asked.
fn script(level: Level, offset: usize, ops: &[Op]) -> Script {
    let mut script = Script { offset, ..Script::default() };
    let (mut live, mut freed): (Vec<usize>, Option<usize>) = (Vec::new(), None);
    for op in ops {
        let one_of = |number: usize| (!live.is_empty()).then(|| number % live.len());
        let fresh = script.names.len();
        let call = match *op {
            Op::Malloc(_) | Op::Calloc(_) if live.len() == MOST_LIVE => continue,
            Op::Malloc(size) => Call::Malloc(fresh, size),
            Op::Calloc(size) if level >= Level(5) => Call::Calloc(fresh, 1, size),
            Op::Huge(less) if level >= Level(5) && less % 2 == 1 => Call::Calloc(fresh, usize::MAX / 2 + 1, 1 + less),
            Op::Huge(less) => Call::Malloc(fresh, usize::MAX - less),
            Op::Free(number) => match one_of(number) {
                Some(at) => Call::Free(live[at], 0),
                None => continue,
            },
            Op::FreeLast => match live.last() {
                Some(&block) => Call::Free(block, 0),
                None => continue,
            },
            Op::Realloc(number, size) if level >= Level(5) => match one_of(number) {
                Some(at) => Call::Realloc(live[at], size),
                None => continue,
            },
            Op::Twice if level >= Level(3) => match freed {
                Some(block) => Call::Free(block, 0),
                None => continue,
            },
            Op::Inside(number, by) if level >= Level(3) => match one_of(number) {
                Some(at) => Call::Free(live[at], by.cast_signed()),
                None => continue,
            },
            Op::Null if level >= Level(3) => Call::FreeNull,
            Op::RefuseRaises(refuse) => Call::RefuseRaises(refuse),
            Op::RefuseLowering(refuse) if level >= Level(3) => Call::RefuseLowering(refuse),
            Op::Other(bytes) if level >= Level(3) => Call::Other(bytes),
            _ => continue,
        };
        match call {
            Call::Malloc(block, _) | Call::Calloc(block, ..) => {
                script.names.push(name(fresh));
                if !matches!(op, Op::Huge(_)) {
                    live.push(block);
                }
                freed = None;
            }
            Call::Free(block, 0) => {
                live.retain(|&other| other != block);
                freed = Some(block);
            }
            Call::Realloc(block, size) => {
                live.retain(|&other| other != block || size > 0);
                freed = None;
            }
            _ => {}
        }
        script.calls.push(call);
    }
    script
}

/// Tries `cases` random scripts on a heap, the same ones each time.
///
/// # Errors
///
/// If the heap does not compile, or its program does not start.
pub fn search(workshop: &Workshop, heap: &str, level: Level, cases: u32) -> Result<Option<Counterexample>, String> {
    workshop.program()?;
    let config = Config { cases, failure_persistence: None, max_shrink_iters: u32::MAX, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let trouble = RefCell::new(None);
    let offsets = prop_oneof![3 => Just(0_usize), 1 => 1_usize..40];
    let strategy = (offsets, prop::collection::vec(ops(), 1..LONGEST));
    let patience = Patience::default();
    let found = runner.run(&strategy, |(offset, ops)| {
        if patience.is_over() {
            return Ok(());
        }
        let script = script(level, offset, &ops.concat());
        match workshop.play(heap, &script, false) {
            Ok(played) => match judge(&script, &played, level) {
                Some(fault) => {
                    patience.begins();
                    Err(TestCaseError::fail(fault.what))
                }
                None => Ok(()),
            },
            Err(what) => {
                *trouble.borrow_mut() = Some(what);
                Ok(())
            }
        }
    });
    if let Some(what) = trouble.into_inner() {
        return Err(what);
    }
    let Err(TestError::Fail(_, (offset, ops))) = found else { return Ok(None) };
    shorter(workshop, heap, level, script(level, offset, &ops.concat())).map(Some)
}

/// The counterexample in a script that is given, if it is one.
///
/// # Errors
///
/// As [`search`].
pub fn examine(
    workshop: &Workshop,
    heap: &str,
    level: Level,
    script: &Script,
) -> Result<Option<Counterexample>, String> {
    let played = workshop.play(heap, script, false)?;
    if judge(script, &played, level).is_none() {
        return Ok(None);
    }
    example(workshop, heap, level, script.clone()).map(Some)
}
