//! Sequences that failed once, or that show how one is written.

use crate::operations::Bad::*;
use crate::operations::Op::{self, *};
use crate::operations::Which::*;
use support::setup::Setup;

pub(crate) const REPLAYS: &[(Setup, &[Op])] = &[
    (
        Setup { arena: 1 << 20, offset: 0, page: 4096, dirty: false, discard: false, mappings: 0 },
        &[Allocate { size: 40, align: 8 }, Probe { bad: Interior, number: 1 }, Free { which: Nth(0) }],
    ),
    (
        Setup { arena: 1 << 20, offset: 100, page: 65536, dirty: true, discard: true, mappings: 1 << 19 },
        &[
            Burst { count: 300, size: 100 },
            ForeignRaise { bytes: 5000 },
            Zeroed { size: 200_000, align: 4096 },
            RefuseRaises { after: 0 },
            Resize { which: Nth(7), size: 300_000, align: 8 },
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
            Free { which: Nth(0) },
            Allocate { size: 32_769, align: 1 },
            Resize { which: Nth(0), size: 278_528, align: 1 },
        ],
    ),
    // and here because metadata has to come between.
    (
        Setup { arena: 12 << 20, offset: 0, page: 4096, dirty: true, discard: false, mappings: 0 },
        &[
            Allocate { size: 1_500_001, align: 8 },
            Allocate { size: 280 << 10, align: 8 },
            RefuseRaises { after: 1 },
            Resize { which: Nth(1), size: 600_000, align: 8 },
        ],
    ),
    // A block that kept its slack for lack of memory still has the alignment it has.
    (
        Setup { arena: 65_536, offset: 0, page: 4096, dirty: false, discard: false, mappings: 0 },
        &[
            Burst { count: 17, size: 1793 },
            ResizeSized { which: Nth(0), size: 0, align: 1 },
            FreeSized { which: Nth(0) },
        ],
    ),
    // Room to grow and a large alignment together exceed twice the request: its layout is right all the same.
    (
        Setup { arena: 65_536, offset: 0, page: 65_536, dirty: false, discard: false, mappings: 0 },
        &[
            Allocate { size: 209, align: 1 },
            Resize { which: Nth(0), size: 97, align: 1 },
            Resize { which: Nth(0), size: 113, align: 128 },
            ResizeSized { which: Nth(0), size: 0, align: 1 },
        ],
    ),
    // The first request that a limit does not let have a long slab gets a short one.
    (
        Setup { arena: 524_288, offset: 0, page: 4096, dirty: true, discard: true, mappings: 131_072 },
        &[Allocate { size: 36_704, align: 1 }, Burst { count: 83, size: 23_378 }],
    ),
];
