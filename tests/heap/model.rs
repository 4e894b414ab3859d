//! Random operations against the oracle, on every kind of kernel.
//!
//! A failing case prints `Setup { .. }` and a list of operations, shrunk, as Rust. To replay it, paste both into
//! [`REPLAYS`] and run
//!
//! ```text
//! cargo nextest run --test heap replays
//! ```
//!
//! `PROPTEST_CASES=100000 cargo nextest run --release --test heap operations` runs more of them.

use hmalloc::{BlockState, MisuseKind, PAGE, SpanKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use support::broken::{Broken, Fault};
use support::calls::layout;
use support::ensure;
use support::oracle::Verdict;
use support::setup::Setup;
use support::subject::Subject;
use support::world::{EmulatedWorld, World};

/// One step. Numbers that choose a payload wrap around the count of live ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Allocate { size: usize, align: usize },
    Zeroed { size: usize, align: usize },
    Burst { count: usize, size: usize },
    Free { which: usize },
    FreeSized { which: usize },
    FreeMany { first: usize, step: usize, count: usize },
    Resize { which: usize, size: usize, align: usize },
    ResizeSized { which: usize, size: usize, align: usize },
    Trim { keep: usize },
    ForeignRaise { bytes: usize },
    ForeignLower { bytes: usize },
    RefuseRaises { after: usize },
    RefuseOnce { after: usize },
    RefuseLowering { refuse: bool },
    LiftRefusals,
    Probe { bad: Bad, number: usize },
}
use Op::*;

/// A pointer that is no payload, by how someone would come by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    Null,
    Wild,
    Misaligned,
    Interior,
    Metadata,
    Foreign,
    FreeSpace,
    FreedBefore,
    SlabTail,
    NeverHandedOut,
    BelowHeap,
    BeyondBreak,
}
use Bad::*;

/// Sequences that failed once, or that a reader wants to see run.
const REPLAYS: &[(Setup, &[Op])] = &[
    (
        Setup { arena: 1 << 20, offset: 0, page: 4096, dirty: false, discard: false, mappings: 0 },
        &[Allocate { size: 40, align: 8 }, Probe { bad: Interior, number: 1 }, Free { which: 0 }],
    ),
    (
        Setup { arena: 1 << 20, offset: 100, page: 65536, dirty: true, discard: true, mappings: 1 << 19 },
        &[
            Burst { count: 300, size: 100 },
            ForeignRaise { bytes: 5000 },
            Zeroed { size: 200_000, align: 4096 },
            RefuseRaises { after: 0 },
            Resize { which: 7, size: 300_000, align: 8 },
            FreeMany { first: 0, step: 2, count: 400 },
            LiftRefusals,
            Trim { keep: 0 },
        ],
    ),
    // A raise that cannot extend the last block must not happen at all: here because of a neighbour,
    (
        Setup { arena: 557_056, offset: 0, page: 4096, dirty: false, discard: false, mappings: 0 },
        &[
            Allocate { size: 0, align: 1 },
            ForeignRaise { bytes: 1 },
            Free { which: 0 },
            Allocate { size: 32_769, align: 1 },
            Resize { which: 0, size: 278_528, align: 1 },
        ],
    ),
    // and here because metadata has to come between.
    (
        Setup { arena: 12 << 20, offset: 0, page: 4096, dirty: true, discard: false, mappings: 0 },
        &[
            Allocate { size: 1_500_001, align: 8 },
            Allocate { size: 280 << 10, align: 8 },
            RefuseRaises { after: 1 },
            Resize { which: 1, size: 600_000, align: 8 },
        ],
    ),
    // A block that kept its slack for lack of memory still has the alignment it has.
    (
        Setup { arena: 65_536, offset: 0, page: 4096, dirty: false, discard: false, mappings: 0 },
        &[Burst { count: 17, size: 1793 }, ResizeSized { which: 0, size: 0, align: 1 }, FreeSized { which: 0 }],
    ),
    // Room to grow and a large alignment together exceed twice the request: its layout is right all the same.
    (
        Setup { arena: 65_536, offset: 0, page: 65_536, dirty: false, discard: false, mappings: 0 },
        &[
            Allocate { size: 209, align: 1 },
            Resize { which: 0, size: 97, align: 1 },
            Resize { which: 0, size: 113, align: 128 },
            ResizeSized { which: 0, size: 0, align: 1 },
        ],
    ),
];

/// The address that a bad pointer of this kind would have in the heap as it is.
fn bad_address<'a, S: Subject<'a>>(world: &World<'a, S>, bad: Bad, number: usize) -> Option<usize> {
    let nth = |addresses: Vec<usize>| (!addresses.is_empty()).then(|| addresses[number % addresses.len()]);
    let tiles = |state| {
        let of_state = world.last.blocks.iter().filter(move |block| block.state == state);
        of_state.map(|block| block.address + number * 16 % block.size).collect::<Vec<_>>()
    };
    let slabs = world.last.spans.iter().filter_map(|span| match span.kind {
        SpanKind::Slab { slot, capacity, .. } => Some((span.address, span.bytes, slot, capacity)),
        _ => None,
    });
    let live = || world.nth_live(number).map(|payload| (payload, world.oracle.live[&payload].usable));
    match bad {
        Null => Some(0),
        Wild => Some(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        Misaligned => live().map(|(payload, usable)| payload + 1 + number % usable),
        Interior => live().map(|(payload, usable)| payload + 16 * (1 + number % (usable / 16).max(1))),
        Metadata => nth(tiles(BlockState::Metadata)),
        Foreign => nth(tiles(BlockState::Foreign)),
        FreeSpace => nth(tiles(BlockState::Free)),
        FreedBefore => nth(world.oracle.freed.keys().copied().collect()),
        SlabTail => {
            let tails = slabs.filter(|(_, bytes, slot, capacity)| slot * capacity < *bytes);
            nth(tails.map(|(address, _, slot, capacity)| address + slot * capacity).collect())
        }
        NeverHandedOut => nth(slabs.map(|(at, _, slot, capacity)| at + slot * (number % capacity)).collect()),
        BelowHeap => Some(world.start - 1 - number % (4 * PAGE)),
        BeyondBreak => Some(world.break_now() + number % (4 * PAGE)),
    }
}

impl Op {
    fn run<'a, S: Subject<'a>>(self, world: &mut World<'a, S>) -> Verdict {
        match self {
            Allocate { size, align } => world.allocate(layout(size, align)).map(drop),
            Zeroed { size, align } => world.allocate_zeroed(layout(size, align)).map(drop),
            Burst { count, size } => (0..count).try_for_each(|_| world.allocate(layout(size, 8)).map(drop)),
            Free { which } => world.nth_live(which).map_or(Ok(()), |payload| world.free(payload)),
            FreeSized { which } => world.nth_live(which).map_or(Ok(()), |payload| world.free_sized(payload)),
            FreeMany { first, step, count } => {
                let every = world.oracle.live.keys().copied().skip(first).step_by(step);
                let chosen: Vec<usize> = every.take(count).collect();
                chosen.into_iter().try_for_each(|payload| world.free(payload))
            }
            Resize { which, size, align } => {
                let live = world.nth_live(which);
                live.map_or(Ok(()), |payload| world.resize(payload, layout(size, align)).map(drop))
            }
            ResizeSized { which, size, align } => {
                let live = world.nth_live(which);
                live.map_or(Ok(()), |payload| world.resize_sized(payload, layout(size, align)).map(drop))
            }
            Trim { keep } => world.trim(keep).map(drop),
            ForeignRaise { bytes } => world.foreign_raise(bytes),
            ForeignLower { bytes } => world.foreign_lower(bytes),
            Probe { bad, number } => bad_address(world, bad, number).map_or(Ok(()), |address| world.misuse(address)),
            fault => {
                fault.set(world);
                Ok(())
            }
        }
    }

    /// Sets or lifts a refusal.
    fn set<'a, S: Subject<'a>>(self, world: &mut World<'a, S>) {
        match self {
            RefuseRaises { after } => world.brk().fail_after(after),
            RefuseOnce { after } => world.brk().fail_once(after),
            RefuseLowering { refuse } => return world.brk().refuse_lowering(refuse),
            _ => {
                world.brk().fail_after(usize::MAX);
                world.brk().fail_once(usize::MAX);
            }
        }
        world.refused = self != LiftRefusals;
    }
}

/// Runs one sequence on an untouched heap.
fn run<'a, S: Subject<'a>>(mut world: World<'a, S>, ops: &[Op]) -> Verdict {
    for (index, op) in ops.iter().enumerate() {
        op.run(&mut world).map_err(|what| format!("step {index}, {op:?}: {what}"))?;
    }
    world.finish().map_err(|what| format!("at the end: {what}"))
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0_usize..=128,
        8 => 1_usize..2048,
        6 => 1_usize..=16 << 10,
        3 => 16_usize << 10..=56 << 10,
        3 => 56_usize << 10..128 << 10,
        2 => 128_usize << 10..2 << 20,
        1 => (0_usize..=64).prop_map(|near| near * PAGE),
        1 => 0_usize..8 << 20,
        1 => (0_usize..1 << 21).prop_map(|below| (isize::MAX as usize - (1 << 20)) - below),
    ]
}

fn aligns() -> impl Strategy<Value = usize> {
    prop_oneof![
        12 => (0_u32..=4).prop_map(|log| 1 << log),
        3 => (5_u32..=12).prop_map(|log| 1 << log),
        1 => (13_u32..=20).prop_map(|log| 1 << log),
    ]
}

fn bads() -> impl Strategy<Value = Bad> {
    prop::sample::select(vec![
        Null,
        Wild,
        Misaligned,
        Interior,
        Metadata,
        Foreign,
        FreeSpace,
        FreedBefore,
        SlabTail,
        NeverHandedOut,
        BelowHeap,
        BeyondBreak,
    ])
}

fn operations() -> impl Strategy<Value = Op> {
    let number = || 0_usize..10_000;
    prop_oneof![
        10 => (sizes(), aligns()).prop_map(|(size, align)| Allocate { size, align }),
        6 => (sizes(), aligns()).prop_map(|(size, align)| Zeroed { size, align }),
        1 => (1_usize..200, 0_usize..2048).prop_map(|(count, size)| Burst { count, size }),
        10 => number().prop_map(|which| Free { which }),
        3 => number().prop_map(|which| FreeSized { which }),
        1 => (0_usize..200, 1_usize..5, 1_usize..400)
            .prop_map(|(first, step, count)| FreeMany { first, step, count }),
        6 => (number(), sizes(), aligns()).prop_map(|(which, size, align)| Resize { which, size, align }),
        2 => (number(), sizes(), aligns()).prop_map(|(which, size, align)| ResizeSized { which, size, align }),
        2 => prop_oneof![Just(0), 0_usize..1 << 20].prop_map(|keep| Trim { keep }),
        1 => (1_usize..200_000).prop_map(|bytes| ForeignRaise { bytes }),
        2 => (1_usize..300_000).prop_map(|bytes| ForeignLower { bytes }),
        1 => (0_usize..3).prop_map(|after| RefuseRaises { after }),
        1 => (0_usize..3).prop_map(|after| RefuseOnce { after }),
        1 => any::<bool>().prop_map(|refuse| RefuseLowering { refuse }),
        3 => Just(LiftRefusals),
        8 => (bads(), number()).prop_map(|(bad, number)| Probe { bad, number }),
    ]
}

fn setups() -> impl Strategy<Value = Setup> {
    let arena = prop_oneof![2 => 64_usize << 10..512 << 10, 2 => 512_usize << 10..2 << 20, 1 => 2_usize << 20..8 << 20];
    let offset = prop_oneof![Just(0), 1_usize..65_536, (0_usize..4096).prop_map(|words| words * 16)];
    let page = prop::sample::select(vec![4096, 8192, 16_384, 65_536, 262_144]);
    let mappings = prop_oneof![2 => Just(0), 1 => 64_usize << 10..4 << 20];
    (arena, offset, page, any::<bool>(), any::<bool>(), mappings).prop_map(
        |(arena, offset, page, dirty, discard, mappings)| Setup { arena, offset, page, dirty, discard, mappings },
    )
}

fn cases() -> impl Strategy<Value = (Setup, Vec<Op>)> {
    let ops = prop_oneof![
        3 => prop::collection::vec(operations(), 1..40),
        1 => prop::collection::vec(operations(), 1..200),
    ];
    (setups(), ops)
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

/// The model finds `fault`, and says what it is in one of these words.
fn is_found(fault: Fault, words: &[&str]) {
    // The same cases every time: whether a fault is found, and how far it is shrunk, is then no matter of luck.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let verdict = |setup: &Setup, ops: &[Op]| {
        let mut memory = setup.memory();
        run(setup.world_of(&mut memory, |heap| Broken::new(heap, fault)), ops)
    };
    let found = TestRunner::new_with_rng(config(3000), random)
        .run(&cases(), |(setup, ops)| verdict(&setup, &ops).map_err(TestCaseError::fail));
    let Err(TestError::Fail(why, (setup, ops))) = found else {
        panic!("nobody noticed {fault:?}");
    };
    let ops = fewest(ops, |ops| verdict(&setup, ops).is_err());
    assert!(words.iter().any(|word| why.message().contains(word)), "{fault:?} was taken for {why}");
    assert!(ops.len() <= 12, "{fault:?} was shrunk to {} steps only: {setup:?} {ops:?}", ops.len());
}

#[test]
fn broken_allocation_is_found() {
    is_found(Fault::HandsOutTwice, &["overlaps"]);
    is_found(Fault::StaleZeroed, &["is not zero"]);
    is_found(Fault::IgnoresAlignment, &["is not aligned"]);
    is_found(Fault::ClaimsTooMuch, &["is not memory", "overlaps", "instead of payload", "is foreign"]);
    is_found(Fault::LosesOnFailure, &["out of memory for", "but changed"]);
}

#[test]
fn broken_free_is_found() {
    is_found(Fault::KeepsFreed, &["used but not live"]);
    is_found(Fault::AcceptsInterior, &["free: accepted"]);
    is_found(Fault::AcceptsTwice, &["free: accepted"]);
    is_found(Fault::SaysMisaligned, &["free: wrong kind"]);
    is_found(Fault::AcceptsAnyLayout, &["was answered with Ok", "free_sized: accepted"]);
}

#[test]
fn broken_resize_and_trim_are_found() {
    is_found(Fault::LosesTheLastByte, &["contents changed"]);
    is_found(Fault::WritesPastTheEnd, &["contents changed"]);
    is_found(Fault::UnderstatesTrim, &["trim gave"]);
}

#[test]
fn the_model_meets_every_kind_of_misuse() {
    let mut met: Vec<MisuseKind> = Vec::new();
    let setup = Setup::plain(1 << 20);
    let mut memory = setup.memory();
    let mut world = setup.world(&mut memory);
    let meet = |world: &EmulatedWorld<'_>, bad| -> Verdict<MisuseKind> {
        let address = bad_address(world, bad, 2).ok_or_else(|| format!("no address for {bad:?}"))?;
        let answer = world.subject.usable_size(std::ptr::without_provenance(address));
        let kind = answer.map_or_else(|misuse| Ok(misuse.kind), |size| Err(format!("{size} bytes at {bad:?}")))?;
        ensure!(
            world.last.expected(&world.oracle, address) == support::oracle::Expected::Kind(kind),
            "{bad:?}: {kind:?}"
        );
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
