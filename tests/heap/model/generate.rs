//! Random kernels and random operations.

use crate::operations::Op::{self, *};
use crate::operations::{Bad, Which::Nth};
use hmalloc::PAGE;
use proptest::prelude::*;
use support::setup::Setup;

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

fn operations() -> impl Strategy<Value = Op> {
    let number = || 0_usize..10_000;
    let live = || number().prop_map(Nth);
    let bad = prop::sample::select(Bad::ALL);
    prop_oneof![
        10 => (sizes(), aligns()).prop_map(|(size, align)| Allocate { size, align }),
        6 => (sizes(), aligns()).prop_map(|(size, align)| Zeroed { size, align }),
        1 => (1_usize..200, 0_usize..2048).prop_map(|(count, size)| Burst { count, size }),
        10 => live().prop_map(|which| Free { which }),
        3 => live().prop_map(|which| FreeSized { which }),
        1 => (0_usize..200, 1_usize..5, 1_usize..400)
            .prop_map(|(first, step, count)| FreeMany { first, step, count }),
        6 => (live(), sizes(), aligns()).prop_map(|(which, size, align)| Resize { which, size, align }),
        2 => (live(), sizes(), aligns()).prop_map(|(which, size, align)| ResizeSized { which, size, align }),
        2 => prop_oneof![Just(0), 0_usize..1 << 20].prop_map(|keep| Trim { keep }),
        1 => (1_usize..200_000).prop_map(|bytes| ForeignRaise { bytes }),
        2 => (1_usize..300_000).prop_map(|bytes| ForeignLower { bytes }),
        1 => (0_usize..3).prop_map(|after| RefuseRaises { after }),
        1 => (0_usize..3).prop_map(|after| RefuseOnce { after }),
        1 => any::<bool>().prop_map(|refuse| RefuseLowering { refuse }),
        3 => Just(LiftRefusals),
        1 => (0_usize..4).prop_map(|count| Relocations { count }),
        1 => prop_oneof![0_u64..200, 0_u64..5000].prop_map(|milliseconds| Clock { milliseconds }),
        1 => any::<bool>().prop_map(|locked| Lock { locked }),
        8 => (bad, number()).prop_map(|(bad, number)| Probe { bad, number }),
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

pub(crate) fn cases() -> impl Strategy<Value = (Setup, Vec<Op>)> {
    let ops = prop_oneof![
        3 => prop::collection::vec(operations(), 1..40),
        1 => prop::collection::vec(operations(), 1..200),
    ];
    (setups(), ops)
}
