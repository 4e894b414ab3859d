//! Random operations against the oracle, on every kind of kernel.
//!
//! A failing case prints `Setup { .. }` and a list of operations, shrunk, as Rust. To replay it, paste both into
//! `replays.rs` and run
//!
//! ```text
//! cargo nextest run --test heap replays
//! ```
//!
//! `PROPTEST_CASES=100000 cargo nextest run --release --test heap operations` runs more of them.

mod broken;
mod generate;
mod replays;

use crate::operations::Bad::{self, *};
use crate::operations::Op;
use generate::cases;
use hmalloc::MisuseKind;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use replays::REPLAYS;
use support::calls::layout;
use support::ensure;
use support::oracle::{Expected, Verdict};
use support::setup::Setup;
use support::subject::Subject;
use support::world::{EmulatedWorld, World};

/// Runs one sequence on an untouched heap.
fn run<'a, S: Subject<'a>>(mut world: World<'a, S>, ops: &[Op]) -> Verdict {
    for (index, op) in ops.iter().enumerate() {
        op.run(&mut world).map_err(|what| format!("step {index}, {op:?}: {what}"))?;
    }
    world.finish().map_err(|what| format!("at the end: {what}"))
}

fn config(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    config
}

/// Leaves out steps for as long as the rest still fails. proptest tries each step once; one that has become needless
/// since is only found by trying again.
fn fewest(mut ops: Vec<Op>, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    loop {
        let (before, mut at) = (ops.len(), 0);
        while at < ops.len() {
            let step = ops.remove(at);
            if !fails(&ops) {
                ops.insert(at, step);
                at += 1;
            }
        }
        if ops.len() == before {
            return ops;
        }
    }
}

fn verdict(setup: &Setup, ops: &[Op]) -> Verdict {
    run(setup.world(&mut setup.memory()), ops)
}

#[test]
fn operations_agree_with_the_oracle() {
    let found =
        TestRunner::new(config(2000)).run(&cases(), |(setup, ops)| verdict(&setup, &ops).map_err(TestCaseError::fail));
    match found {
        Ok(()) => {}
        Err(TestError::Abort(why)) => panic!("gave up: {why}"),
        Err(TestError::Fail(why, (setup, ops))) => {
            let ops = fewest(ops, |ops| verdict(&setup, ops).is_err());
            let why = verdict(&setup, &ops).err().unwrap_or_else(|| why.to_string());
            panic!("{why}\nreplay with\n({setup:?},\n&{ops:?}),");
        }
    }
}

#[test]
fn replays_agree_with_the_oracle() {
    for (setup, ops) in REPLAYS {
        if let Err(what) = verdict(setup, ops) {
            panic!("{what}\n{setup:?}\n{ops:?}");
        }
    }
}

#[test]
fn the_model_meets_every_kind_of_misuse() {
    let mut met: Vec<MisuseKind> = Vec::new();
    let setup = Setup::plain(1 << 20);
    let mut memory = setup.memory();
    let mut world = setup.world(&mut memory);
    let meet = |world: &EmulatedWorld<'_>, bad: Bad| -> Verdict<MisuseKind> {
        let address = bad.address(world, 2).ok_or_else(|| format!("no address for {bad:?}"))?;
        let answer = world.subject.usable_size(std::ptr::without_provenance(address));
        let kind = answer.map_or_else(|misuse| Ok(misuse.kind), |size| Err(format!("{size} bytes at {bad:?}")))?;
        ensure!(world.last.expected(&world.oracle, address) == Expected::Kind(kind), "{bad:?}: {kind:?}");
        Ok(kind)
    };
    let built = (0..100).try_for_each(|_| world.allocate(layout(48, 8)).map(drop));
    built.and_then(|()| world.free(world.nth_live(50).expect("100 blocks"))).expect("a heap without faults");
    for bad in [Null, Misaligned, Interior, Metadata, FreedBefore, BeyondBreak] {
        met.push(meet(&world, bad).expect("an answer"));
    }
    assert_eq!(
        met,
        [
            MisuseKind::OutsideHeap,
            MisuseKind::Misaligned,
            MisuseKind::NotABlock,
            MisuseKind::NotABlock,
            MisuseKind::AlreadyFree,
            MisuseKind::OutsideHeap
        ]
    );
}
