//! The operations of sequences, random ones (`model`) and short ones (`exhaustive`): each is done on a heap while its
//! oracle looks on.

use hmalloc::brk::Brk;
use hmalloc::{BlockState, PAGE, SpanKind};
use support::calls::layout;
use support::oracle::Verdict;
use support::subject::Subject;
use support::world::World;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Allocate {
        size: usize,
        align: usize,
    },
    Zeroed {
        size: usize,
        align: usize,
    },
    Burst {
        count: usize,
        size: usize,
    },
    Free {
        which: Which,
    },
    FreeSized {
        which: Which,
    },
    FreeMany {
        first: usize,
        step: usize,
        count: usize,
    },
    Resize {
        which: Which,
        size: usize,
        align: usize,
    },
    ResizeSized {
        which: Which,
        size: usize,
        align: usize,
    },
    Trim {
        keep: usize,
    },
    ForeignRaise {
        bytes: usize,
    },
    ForeignLower {
        bytes: usize,
    },
    RefuseRaises {
        after: usize,
    },
    RefuseOnce {
        after: usize,
    },
    RefuseLowering {
        refuse: bool,
    },
    LiftRefusals,
    /// So many relocations are granted.
    Relocations {
        count: usize,
    },
    /// Time passes.
    Clock {
        milliseconds: u64,
    },
    Lock {
        locked: bool,
    },
    Probe {
        bad: Bad,
        number: usize,
    },
}
use Op::*;

/// A live payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// By its rank in address order; a number beyond the last wraps around.
    Nth(usize),
    Oldest,
    Middle,
    Newest,
}
use Which::*;

macro_rules! bad_pointers {
    ($($kind:ident)*) => {
        /// A pointer that is no payload, by where a caller may have it from.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Bad {
            $($kind),*
        }

        impl Bad {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];
        }
    };
}

bad_pointers! {
    Null Wild Misaligned Interior Metadata Foreign FreeSpace FreedBefore SlabTail NeverHandedOut BelowHeap BeyondBreak
}
use Bad::*;

impl Which {
    fn of<'a, S: Subject<'a>>(self, world: &World<'a, S>) -> Option<usize> {
        let by_age = |numerator: usize, denominator: usize| {
            let mut ages: Vec<_> = world.oracle.live.iter().map(|(at, live)| (live.seed, *at)).collect();
            ages.sort_unstable();
            ages.get(ages.len().saturating_sub(1) * numerator / denominator).map(|(_, at)| *at)
        };
        match self {
            Nth(number) => world.nth_live(number),
            Oldest => by_age(0, 1),
            Middle => by_age(1, 2),
            Newest => by_age(1, 1),
        }
    }
}

impl Bad {
    /// The address that such a pointer has in the heap as it is.
    pub(crate) fn address<'a, S: Subject<'a>>(self, world: &World<'a, S>, number: usize) -> Option<usize> {
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
        match self {
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
}

impl Op {
    /// Whether it asks for a block.
    pub(crate) fn allocates(self) -> bool {
        matches!(self, Allocate { .. } | Zeroed { .. })
    }

    /// Does it. `false` where it asked for a block and the heap ran out.
    pub(crate) fn run<'a, S: Subject<'a>>(self, world: &mut World<'a, S>) -> Verdict<bool> {
        match self {
            Allocate { size, align } => return world.allocate(layout(size, align)).map(|got| got.is_some()),
            Zeroed { size, align } => return world.allocate_zeroed(layout(size, align)).map(|got| got.is_some()),
            Burst { count, size } => (0..count).try_for_each(|_| world.allocate(layout(size, 8)).map(drop)),
            Free { which } => which.of(world).map_or(Ok(()), |payload| world.free(payload)),
            FreeSized { which } => which.of(world).map_or(Ok(()), |payload| world.free_sized(payload)),
            FreeMany { first, step, count } => {
                let every = world.oracle.live.keys().copied().skip(first).step_by(step);
                let chosen: Vec<usize> = every.take(count).collect();
                chosen.into_iter().try_for_each(|payload| world.free(payload))
            }
            Resize { which, size, align } => {
                let live = which.of(world);
                live.map_or(Ok(()), |payload| world.resize(payload, layout(size, align)).map(drop))
            }
            ResizeSized { which, size, align } => {
                let live = which.of(world);
                live.map_or(Ok(()), |payload| world.resize_sized(payload, layout(size, align)).map(drop))
            }
            Trim { keep } => world.trim(keep).map(drop),
            ForeignRaise { bytes } => world.foreign_raise(bytes),
            ForeignLower { bytes } => world.foreign_lower(bytes),
            Relocations { count } => {
                world.brk().allow_relocations(count);
                Ok(())
            }
            Clock { milliseconds } => {
                let now = world.brk().now().unwrap_or(0);
                world.brk().set_clock(now + milliseconds);
                Ok(())
            }
            Lock { locked } => {
                world.brk().set_locked(locked);
                Ok(())
            }
            Probe { bad, number } => bad.address(world, number).map_or(Ok(()), |address| world.misuse(address)),
            refusal => {
                refusal.set(world);
                Ok(())
            }
        }
        .map(|()| true)
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
